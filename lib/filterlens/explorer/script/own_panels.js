// What a network answers to a reader's own image, as panels: `OWN_RENDERERS` of a network from its arrays, what is known of it, a pick.

const STRONGEST = -1; // the option of the axis `target` that means the class with the largest logit

/** The renderers of a network: the axes each depends on and its panels from {image, outputs, about, pick}. */
function ownRenderers(about) {
  const scores = { axes: [], panels: (at) => [seenPanel(at), scoresPanel(at)] };
  const maps = { axes: ["layer"], panels: (at) => mapsPanels(at) };
  const one = { axes: ["layer", "filter"], panels: (at) => filterPanels(at) };
  if (!about.indices) return [scores, one, maps];
  return [scores, { axes: ["target"], panels: (at) => classPanels(at) }, one, maps];
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

function seenPanel({ image, about }) {
  const [, h, w] = about.size;
  const picture = imagePicture(image, about.size, `your image as ${about.network} receives it, ${h} by ${w} pixels`);
  return { kind: "pictures", title: `What ${about.network} sees`, note: `${h} × ${w} pixels`, pictures: [picture], columns: null, arrows: false, size: 168 };
}

/** The class a reader is told about. */
function targetOf({ outputs, pick }) {
  return pick.target === undefined || pick.target === STRONGEST ? largestAt(outputs.logits.values) : pick.target;
}

function softmaxOf(values, k) {
  const top = values[largestAt(values)];
  return Math.exp(values[k] - top) / values.reduce((sum, value) => sum + Math.exp(value - top), 0);
}

function readAs({ outputs, about }) {
  const logits = outputs.logits.values;
  const best = largestAt(logits);
  return `${about.network} reads ${about.classes[best]}: logit ${fixed(logits[best])}, softmax ${fixed(100 * softmaxOf(logits, best), 1)} %`;
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
  return { kind: "bars", title: "Class scores", note, labels: about.classes, series, highlight: largestAt(outputs.logits.values), picks, cut: null };
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
    const note = `${h} × ${w} units each, before anything that follows; one scale, largest ${words(limit)}. Click a map to see its filter.`;
    panels.push({ kind: "pictures", title: `Maps of every filter of ${pick.layer}`, note, pictures, columns: null, arrows: false, size: 56 });
  }
  panels.push(peaksPanel({ outputs, about, pick }));
  return panels;
}

const peaksOf = (maps) => Array.from({ length: maps.shape[0] }, (_, k) => plane(maps, k).reduce((most, value) => Math.max(most, value), -Infinity));
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

function filterPanels({ outputs, about, pick }) {
  const maps = outputs[`maps.${pick.layer}`];
  const answered = outputs[`responses.${pick.layer}`];
  const [, h, w] = maps.shape;
  const name = `filter ${pick.filter} of ${pick.layer}`;
  const pictures = [];
  if (about.decoded) {
    const { shape } = about.decoded[pick.layer];
    const [height, width] = shape.slice(1);
    const all = numbersOf(about.decoded[pick.layer]);
    const steps = all.slice(pick.filter * height * width, (pick.filter + 1) * height * width);
    const high = about.peaks[pick.layer][pick.filter];
    const alt = `${name} decoded, a signed picture of ${height} by ${width} pixels`;
    pictures.push({ values: { dtype: "int8", shape: [height, width], data: steps }, low: -high, high, alt, label: "decoded picture", pick: null, frame: null });
  }
  if (h * w > 1) pictures.push(ownSigned(plane(maps, pick.filter), [h, w], { alt: `map of ${name} for your image`, label: "the network's map" }));
  if (answered && h * w > 1) {
    pictures.push(ownSigned(plane(answered, pick.filter), [h, w], { alt: `answer of the decoded ${name} to your image`, label: "the picture's answer" }));
  }
  const peaks = peaksOf(maps);
  const place = `number ${peaks.filter((peak) => peak > peaks[pick.filter]).length + 1} of ${peaks.length} filters`;
  const note = `Red positive, blue negative, each on its own scale. Strongest answer ${fixed(peaks[pick.filter])}, ${place}.`;
  const title = `Filter ${pick.filter} of ${pick.layer}`;
  const shown = { kind: "pictures", title, note, pictures, columns: null, arrows: false, size: 150 };
  const panels = pictures.length ? [shown] : [];
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
  return { kind: "numbers", title: "How well does the picture stand in?", note: "", rows };
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
    { kind: "pictures", title: `Where ${called} is seen`, note, pictures: [seen, cam], columns: null, arrows: false, size: 150 },
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
  const note = `What each feature adds to the logit of ${called}: before the line its ${own.length} influential features, beyond it the others, largest first.`;
  const rows = [
    ["logit, all features", fixed(outputs.logits.values[target]), ""],
    [`logit, ${own.length} influential features`, fixed(outputs.decomposed.values[target]), ""],
    ["added by these", fixed(sum(own)), `features ${own.join(", ")}`],
    ["added by the others", fixed(sum(rest)), ""],
    ["bias", fixed(about.bias[target]), ""],
  ];
  return [
    { kind: "bars", title: `What decides ${called}`, note, labels: order.map(String), series: [{ name: "", values: order.map((i) => added[i]) }], highlight: null, picks: null, cut: own.length },
    { kind: "numbers", title: `The logit of ${called}, taken apart`, note: "", rows },
  ];
}
