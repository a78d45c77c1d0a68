// What a network answers to a reader's own image, as panels: `OWN_RENDERERS` of a network from its arrays, what is known of it, a pick.

const STRONGEST = -1; // the option of the axis `target` that means the class with the largest logit

/** The renderers of a network: the axes each depends on and its panels from {image, outputs, about, pick}. */
function ownRenderers(about) {
  const scores = { axes: [], panels: (at) => [seenPanel(at), scoresPanel(at)] };
  const maps = { axes: ["layer"], panels: (at) => mapsPanels(at) };
  const one = { axes: ["layer", "filter"], panels: (at) => filterPanels(at) };
  if (!about.indices) return [scores, maps, one];
  return [scores, { axes: ["target"], panels: (at) => classPanels(at) }, maps, one];
}

const plane = ({ shape, values }, k) => values.subarray(k * shape[1] * shape[2], (k + 1) * shape[1] * shape[2]);
const largestAt = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
const magnitude = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
const fixed = (value, digits = 3) => (Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : "–");

/** A signed picture of the protocol, red positive, in steps of its largest magnitude or of `limit`. */
function ownSigned(values, [h, w], { alt, label = "", pick = null, limit = magnitude(values) }) {
  const steps = Int8Array.from(values, (value) => (limit > 0 ? Math.round(Math.max(-1, Math.min(1, value / limit)) * 127) : 0));
  return { values: { dtype: "int8", shape: [h, w], data: steps }, low: -limit, high: limit, alt, label, pick, frame: null };
}

/** An image in [0, 1], planes [c, h, w], as it is. */
function imagePicture(image, [c, h, w], alt, label = "") {
  const steps = new Uint8Array(c * h * w);
  for (let i = 0; i < h * w; i++) for (let k = 0; k < c; k++) steps[i * c + k] = Math.round(255 * image[k * h * w + i]);
  const shape = c === 1 ? [h, w] : [h, w, c];
  return { values: { dtype: "uint8", shape, data: steps }, low: 0, high: 1, alt, label, pick: null, frame: null };
}

const ownPictures = (title, note, pictures, size) => ({ kind: "pictures", title, note, pictures, columns: null, arrows: false, size });
const ownNumbers = (title, rows) => ({ kind: "numbers", title, note: "", rows });

function seenPanel({ image, about }) {
  const [, h, w] = about.size;
  const picture = imagePicture(image, about.size, `your image as ${about.network} receives it, ${h} by ${w} pixels`);
  return ownPictures(`What ${about.network} sees`, `${h} × ${w} pixels`, [picture], 168);
}

/** The class a reader is told about. */
function targetOf({ outputs, pick }) {
  return pick.target === undefined || pick.target === STRONGEST ? largestAt(outputs.logits.values) : pick.target;
}

function softmaxOf(values, k) {
  const top = values[largestAt(values)];
  return Math.exp(values[k] - top) / values.reduce((sum, value) => sum + Math.exp(value - top), 0);
}

/** What a network makes of an image, in words; of an empty board too, which no class is for. */
function readAs({ image, outputs, about }) {
  const logits = outputs.logits.values;
  const best = largestAt(logits);
  const share = 100 * softmaxOf(logits, best);
  const percent = share >= 99.95 ? "over 99.9" : fixed(share, 1);
  const read = `reads ${about.classes[best]}: logit ${fixed(logits[best])}, softmax ${percent} %`;
  const isEmpty = about.size[0] === 1 && image.every((value) => value === 0);
  return isEmpty ? `Nothing is drawn. ${about.network} has no class for that and ${read}` : `${about.network} ${read}`;
}

function scoresPanel(at) {
  const { outputs, about } = at;
  const series = [{ name: about.indices ? "all features" : "logit", values: [...outputs.logits.values] }];
  let note = `${readAs(at)}.`;
  if (about.indices) {
    const few = outputs.decomposed.values;
    series.push({ name: `${about.indices[0].length} a class`, values: [...few] });
    note += ` With the ${about.indices[0].length} influential features of each class alone: ${about.classes[largestAt(few)]}.`;
  }
  const picks = about.indices ? about.classes.map((_, k) => ({ target: k })) : null;
  const highlight = largestAt(outputs.logits.values);
  return { kind: "bars", title: "Class scores", note, labels: about.classes, series, highlight, picks, cut: null };
}

// ----------------------------------------------------------------------------------------------------- filters of a layer

function mapsPanels({ outputs, about, pick }) {
  const maps = outputs[`maps.${pick.layer}`];
  const [count, h, w] = maps.shape;
  const panels = [];
  if (h * w > 1) {
    const limit = magnitude(maps.values);
    const pictures = Array.from({ length: count }, (_, k) => {
      const alt = `map of filter ${k} of ${pick.layer}, ${h} by ${w} units`;
      return ownSigned(plane(maps, k), [h, w], { alt, label: String(k), pick: { filter: k }, limit });
    });
    const scale = `one scale, largest ${words(limit)}`;
    const note = `${h} × ${w} units each, before anything that follows; ${scale}. Click a map to see its filter.`;
    panels.push(ownPictures(`Maps of every filter of ${pick.layer}`, note, pictures, 56));
  }
  panels.push(peaksPanel({ outputs, about, pick }));
  return panels;
}

const peakOf = (values) => values.reduce((most, value) => Math.max(most, value), -Infinity);
const peaksOf = (maps) => Array.from({ length: maps.shape[0] }, (_, k) => peakOf(plane(maps, k)));
const scaledToOne = (values) => values.map((value) => value / Math.max(magnitude(values), 1e-12));

function peaksPanel({ outputs, pick }) {
  const maps = outputs[`maps.${pick.layer}`];
  const answered = outputs[`responses.${pick.layer}`];
  const series = [{ name: "network", values: peaksOf(maps) }];
  let note = "The strongest answer of each filter to your image.";
  if (answered) {
    series.push({ name: "decoded picture", values: peaksOf(answered) });
    for (const one of series) one.values = scaledToOne(one.values);
    note += " Each side scaled to its own largest.";
  }
  const labels = Array.from({ length: maps.shape[0] }, (_, k) => String(k));
  const picks = labels.map((_, k) => ({ filter: k }));
  return { kind: "bars", title: `Every filter of ${pick.layer}`, note, labels, series, highlight: null, picks, cut: null };
}

/** A filter's decoded picture, stored in steps of 1/127 of its peak. */
function decodedPicture(about, { layer, filter }) {
  const [, h, w] = about.decoded[layer].shape;
  const data = numbersOf(about.decoded[layer]).slice(filter * h * w, (filter + 1) * h * w);
  const high = about.peaks[layer][filter];
  const alt = `filter ${filter} of ${layer} decoded, a signed picture of ${h} by ${w} pixels`;
  return { values: { dtype: "int8", shape: [h, w], data }, low: -high, high, alt, label: "decoded picture", pick: null, frame: null };
}

function filterPanels({ outputs, about, pick }) {
  const maps = outputs[`maps.${pick.layer}`];
  const answered = outputs[`responses.${pick.layer}`];
  const [, h, w] = maps.shape;
  const name = `filter ${pick.filter} of ${pick.layer}`;
  const pictures = about.decoded ? [decodedPicture(about, pick)] : [];
  const mapOf = (all, alt, label) => h * w > 1 && pictures.push(ownSigned(plane(all, pick.filter), [h, w], { alt, label }));
  mapOf(maps, `map of ${name} for your image`, "the network's map");
  if (answered) mapOf(answered, `answer of the decoded ${name} to your image`, "the picture's answer");
  const peaks = peaksOf(maps);
  const place = `number ${peaks.filter((peak) => peak > peaks[pick.filter]).length + 1} of ${peaks.length} filters`;
  const note = `Red positive, blue negative, each on its own scale. Strongest answer ${fixed(peaks[pick.filter])}, ${place}.`;
  const title = `Filter ${pick.filter} of ${pick.layer}`;
  const panels = pictures.length ? [ownPictures(title, note, pictures, 150)] : [];
  return answered ? [...panels, matchPanel({ maps, answered, k: pick.filter, place })] : panels;
}

/** How far a filter's decoded picture stands in for it, and those of the layer for all. */
function matchPanel({ maps, answered, k, place }) {
  const [peaks, theirs] = [peaksOf(maps), peaksOf(answered)];
  const own = plane(maps, k);
  const [mine, other] = [largestAt(peaks), largestAt(theirs)];
  const explained = "its correlation with the image; without biases, and larger by what unpooling copies";
  const rows = [
    ["strongest answer, network", fixed(peaks[k]), place],
    ["strongest answer, picture", fixed(theirs[k]), explained],
    ["correlation of the two maps", fixed(correlationOf(own, plane(answered, k))), own.length > 1 ? "" : "a single unit has none"],
    ["correlation, all filters", fixed(correlationOf(maps.values, answered.values)), ""],
    ["strongest filter", `${mine} and ${other}`, mine === other ? "network and pictures agree" : "network and pictures differ"],
  ];
  return ownNumbers("How well does the picture stand in?", rows);
}

/** Pearson's r; NaN where one side is constant. */
function correlationOf(a, b) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += (a[i] - ma) * (b[i] - mb);
    aa += (a[i] - ma) ** 2;
    bb += (b[i] - mb) ** 2;
  }
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : NaN;
}

// --------------------------------------------------------------------------------------------------------------- a class

function classPanels(at) {
  const { image, outputs, about } = at;
  const [, h, w] = about.size;
  const target = targetOf(at);
  const called = about.classes[target];
  const cam = ownSigned(plane(outputs.cam, target), [h, w], { alt: `class activation map of ${called}`, label: `CAM of ${called}` });
  const seen = imagePicture(image, about.size, "your image", "your image");
  const note = "Red speaks for the class, blue against it; the mean of the map before it is enlarged, plus the bias, is the logit.";
  return [
    ownPictures(`Where ${called} is seen`, note, [seen, cam], 150),
    ...featuresPanels(at, target),
  ];
}

function featuresPanels({ outputs, about }, target) {
  const own = about.indices[target];
  const weight = about.weight[target];
  const added = [...outputs.features.values].map((value, i) => value * weight[i]);
  const rest = added.map((_, i) => i).filter((i) => !own.includes(i));
  rest.sort((a, b) => Math.abs(added[b]) - Math.abs(added[a]));
  const order = [...own, ...rest];
  const called = about.classes[target];
  const sum = (some) => some.reduce((total, i) => total + added[i], 0);
  const parts = `before the line its ${own.length} influential features, beyond it the others, largest first`;
  const note = `What each feature adds to the logit of ${called}: ${parts}.`;
  const rows = [
    ["logit, all features", fixed(outputs.logits.values[target]), ""],
    [`logit, ${own.length} influential features`, fixed(outputs.decomposed.values[target]), ""],
    ["added by these", fixed(sum(own)), `features ${own.join(", ")}`],
    ["added by the others", fixed(sum(rest)), ""],
    ["bias", fixed(about.bias[target]), ""],
  ];
  const series = [{ name: "", values: order.map((i) => added[i]) }];
  const shown = { labels: order.map(String), series, highlight: null, picks: null, cut: own.length };
  return [{ kind: "bars", title: `What decides ${called}`, note, ...shown }, ownNumbers(`The logit of ${called}, taken apart`, rows)];
}
