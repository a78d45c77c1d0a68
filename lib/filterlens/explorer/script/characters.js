// The character editor, computed in the page: the layout is decoded, its picture fed back, every layer's maps are shown.
// characters.py makes the same panels with the library; weights, names and sentences come from there.

const COMPUTED = {
  characters(data, pick) {
    const net = characterNetwork(data);
    const layout = data.cells.map((cell) => pick[cell]);
    const start = startPanel(net, layout);
    if (layout.every((part) => part === 0)) return [start, { kind: "text", title: net.words.empty, note: "", text: net.words.empty_text }];
    return [start, ...answerPanels(net, layout, pick.pool)];
  },
};

const characterNetworks = new WeakMap(); // what a page ships -> its network; the eight known pictures are decoded once

function characterNetwork(data) {
  if (!characterNetworks.has(data)) {
    const weights = (array) => ({ shape: array.shape, values: numbersOf(array) });
    const net = { ...data, strokes: weights(data.strokes), parts: weights(data.parts), characters: weights(data.characters) };
    net.strokePictures = slices(net.strokes);
    net.partPictures = slices(net.parts).map((part) => convTranspose2d(part, net.strokes));
    net.pictures = slices(net.characters).map((filter) => decodeCharacter(filter, net).at(-1));
    characterNetworks.set(data, net);
  }
  return characterNetworks.get(data);
}

// The fields on the way down: the filter itself (14, 3, 3), pool undone as an average (14, 6, 6), strokes (4, 10, 10), pixels (1, 14, 14).
function decodeCharacter(filter, net) {
  const unpooled = unpoolNearest(filter, 2);
  unpooled.values.forEach((value, i) => (unpooled.values[i] = value / 4));
  const strokes = convTranspose2d(unpooled, net.parts);
  return [filter, unpooled, strokes, convTranspose2d(strokes, net.strokes)];
}

// The filter of a layout (14, 3, 3): ones where its parts lie, scaled so that its decoded picture has length 1.
function layoutFilter(layout, net) {
  const filter = emptyMap(net.parts.shape[0], 3, 3);
  layout.forEach((part, cell) => part && (filter.values[(part - 1) * 9 + cell] = 1));
  const length = Math.hypot(...decodeCharacter(filter, net).at(-1).values);
  filter.values.forEach((value, i) => (filter.values[i] = value / length));
  return filter;
}

function answerPanels(net, layout, pool) {
  const known = net.layouts.findIndex((other) => sameLayout(other, layout));
  const own = known < 0 ? net.yours : net.names[known];
  const filter = known < 0 ? layoutFilter(layout, net) : slices(net.characters)[known];
  const fields = decodeCharacter(filter, net);
  const image = fields.at(-1);
  const names = known < 0 ? [...net.names, own] : net.names;
  const pictures = known < 0 ? [...net.pictures, image] : net.pictures;
  const filters = known < 0 ? [...slices(net.characters), filter] : slices(net.characters);

  const strokes = conv2d(image, net.strokes);
  const parts = conv2d(strokes, net.parts);
  const pooled = pool === "max" ? maxPool(parts, 2) : avgPool(parts, 2);
  const answers = filters.map((one) => conv2d(pooled, oneFilter(one)).values[0]);
  const predicted = pictures.map((one) => conv2d(image, oneFilter(one)).values[0]);
  const picture = signedPicture(image, net.words.fed_alt);
  return [
    stepsPanel(net, fields),
    { kind: "picture", title: net.words.fed, note: net.words.fed_note, picture, threshold: null, parts: false },
    strokesPanel(net, strokes, layout),
    partsPanel(net, parts, pooled, layout, pool),
    answersPanel(net, names, answers, predicted, own, pool),
    numbersPanel(net, names, answers, predicted, own),
  ];
}

// ------------------------------------------------------------------------------------------------------------- the panels

function startPanel(net, layout) {
  const pictures = net.pictures.map((picture, i) => ({
    ...signedPicture(picture, fill(net.words.known, { name: net.names[i] }), net.names[i]),
    pick: layoutPick(net, i),
    frame: sameLayout(net.layouts[i], layout) ? "accent" : null,
  }));
  return picturesPanel(net.words.start, net.words.start_note, pictures, { size: 56 });
}

function stepsPanel(net, fields) {
  const [filter, unpooled, strokes, image] = fields;
  const drawn = [drawField(filter, net.partPictures), drawField(unpooled, net.partPictures), drawField(strokes, net.strokePictures), image];
  const pictures = drawn.map((field, i) => signedPicture(field, net.words.step_alts[i], net.words.step_labels[i]));
  return picturesPanel(net.words.steps, net.words.steps_note, pictures, { arrows: true, size: 118 });
}

function strokesPanel(net, maps, layout) {
  const madeOf = slices(net.parts).map((part) => slices(part).map((stroke) => stroke.values.some((weight) => weight !== 0)));
  const own = net.stroke_names.map((_, i) => i + 1).filter((n) => layout.some((part) => part > 0 && madeOf[part - 1][n - 1]));
  const strongest = strongestMaps(maps, own.length, net.tie);
  const [low, high] = extremesOf(maps.values);
  const names = net.stroke_names.map((name, i) => fill(net.words.stroke, { n: i + 1, name }));
  const labels = net.stroke_names.map((name, i) => `${i + 1}: ${name}`);
  const filters = filterPictures(net, net.strokePictures, names, labels, strongest);
  const pictures = [...filters, ...mapPictures(maps, names, net.words.map_alt, low, high)];
  const values = { low: inShort(low), high: inShort(high), own: own.join(", "), strongest: strongest.join(", ") };
  return picturesPanel(net.words.strokes, fill(net.words.strokes_note, values), pictures, { columns: 4, size: 64 });
}

function partsPanel(net, maps, pooled, layout, pool) {
  const own = [...new Set(layout)].filter((part) => part > 0).sort((a, b) => a - b);
  const strongest = strongestMaps(pooled, own.length, net.tie);
  const [low, high] = extremesOf(maps.values);
  const [least, most] = extremesOf(pooled.values);
  const names = net.part_names.map((name, i) => fill(net.words.part, { n: i + 1, name }));
  const labels = names.map((_, i) => String(i + 1));
  const rows = [
    filterPictures(net, net.partPictures, names, labels, strongest),
    mapPictures(maps, names, net.words.map_alt, low, high),
    mapPictures(pooled, names, net.words.pooled_alt, least, most),
  ];
  const pictures = [0, 7].flatMap((from) => rows.flatMap((row) => row.slice(from, from + 7)));
  const ranges = { low: inShort(low), high: inShort(high), pooled_low: inShort(least), pooled_high: inShort(most) };
  const note = fill(net.words.parts_note, { ...ranges, own: own.join(", "), strongest: strongest.join(", ") });
  return picturesPanel(fill(net.words.parts, { pool }), note, pictures, { columns: 7, size: 48 });
}

function answersPanel(net, names, answers, predicted, own, pool) {
  const note = own === net.yours ? net.words.answers_note : fill(net.words.answers_known, { name: own });
  const series = [
    { name: fill(net.words.network, { pool }), values: answers },
    { name: net.words.decoded, values: predicted },
  ];
  const picks = names.map((_, i) => (i < net.layouts.length ? layoutPick(net, i) : null));
  return { kind: "bars", title: net.words.answers, note, labels: names, series, highlight: firstStrongest(answers, net.exact), picks, cut: null };
}

function numbersPanel(net, names, answers, predicted, own) {
  const { words: said, exact } = net;
  const winner = firstStrongest(answers, exact);
  const next = firstStrongest(answers.map((value, i) => (i === winner ? -Infinity : value)), exact);
  const difference = Math.max(...answers.map((value, i) => Math.abs(value - predicted[i])));
  const verdict = difference < exact ? "yes" : "no";
  const rows = [
    [said.strongest, names[winner], names[winner] === own ? said.itself : said.other],
    [said.lead, (answers[winner] - answers[next]).toFixed(3), fill(said.next, { name: names[next] })],
    [said.difference, scientific(difference), said.difference_note],
    [said.correlation, pearson(answers, predicted).toFixed(4), said.correlation_note],
    [said.exact, verdict, said[verdict]],
  ];
  return { kind: "numbers", title: said.numbers, note: "", rows };
}

// ------------------------------------------------------------------------------------------------- pictures, fields, numbers

function picturesPanel(title, note, pictures, options) {
  return { kind: "pictures", title, note, pictures, columns: null, arrows: false, ...options };
}

function signedPicture(map, alt, label = "") {
  const limit = map.values.reduce((peak, value) => Math.max(peak, Math.abs(value)), 0);
  const steps = new Int8Array(map.values.length);
  for (let i = 0; i < steps.length; i++) steps[i] = limit > 0 ? Math.round((map.values[i] / limit) * 127) : 0;
  const values = { dtype: "int8", shape: map.shape.slice(-2), data: new Uint8Array(steps.buffer) };
  return { values, low: -limit, high: limit, alt, label, pick: null, frame: null };
}

function filterPictures(net, filters, names, labels, framed) {
  return filters.map((filter, i) => ({
    ...signedPicture(filter, fill(net.words.filter_alt, { what: names[i] }), labels[i]),
    frame: framed.includes(i + 1) ? "accent" : null,
  }));
}

function mapPictures(maps, names, alt, low, high) {
  const factor = high > low ? 255 / (high - low) : 0;
  return slices(maps).map((map, i) => {
    const data = new Uint8Array(map.values.map((value) => Math.round((value - low) * factor)));
    const said = fill(alt, { what: names[i], largest: inShort(Math.max(...map.values)) });
    return { values: { dtype: "uint8", shape: map.shape.slice(-2), data }, low, high, alt: said, label: "", pick: null, frame: null };
  });
}

// Every position of a field (c, h, w) drawn as its filters, scaled and added, with a line between positions.
function drawField(field, filters) {
  const [channels, height, width] = field.shape;
  const [, fh, fw] = filters[0].shape;
  const drawn = emptyMap(1, height * (fh + 1) - 1, width * (fw + 1) - 1);
  for (let c = 0; c < channels; c++) {
    for (let at = 0; at < height * width; at++) {
      const scale = field.values[c * height * width + at];
      if (scale === 0) continue;
      const corner = Math.floor(at / width) * (fh + 1) * drawn.shape[2] + (at % width) * (fw + 1);
      filters[c].values.forEach((value, i) => (drawn.values[corner + Math.floor(i / fw) * drawn.shape[2] + (i % fw)] += scale * value));
    }
  }
  return drawn;
}

// The parts of an array along its first axis: filters (k, c, h, w) become (c, h, w), maps (c, h, w) become (1, h, w).
function slices(array) {
  const [count, ...rest] = array.shape;
  const size = array.values.length / count;
  const shape = rest.length === 2 ? [1, ...rest] : rest;
  return Array.from({ length: count }, (_, i) => ({ shape, values: array.values.subarray(i * size, (i + 1) * size) }));
}

function oneFilter(filter) {
  return { shape: [1, ...filter.shape], values: filter.values };
}

function layoutPick(net, i) {
  return Object.fromEntries(net.cells.map((cell, at) => [cell, net.layouts[i][at]]));
}

function sameLayout(one, other) {
  return one.every((part, cell) => part === other[cell]);
}

// Numbers, from 1, of the maps whose largest entry is among the n largest; those equal to the last of them too.
function strongestMaps(maps, n, tie) {
  const peaks = slices(maps).map((map) => Math.max(...map.values));
  const least = [...peaks].sort((a, b) => b - a)[n - 1] - tie;
  return peaks.flatMap((peak, i) => (peak >= least ? [i + 1] : []));
}

// The strongest; of equals the first, whatever rounding says.
function firstStrongest(values, tie) {
  const most = Math.max(...values);
  return values.findIndex((value) => value >= most - tie);
}

function extremesOf(values) {
  return [Math.min(...values), Math.max(...values)];
}

function pearson(one, other) {
  const centred = (values) => values.map((value) => value - values.reduce((sum, v) => sum + v, 0) / values.length);
  const [a, b] = [centred(one), centred(other)];
  const scale = Math.hypot(...a) * Math.hypot(...b);
  return scale > 0 ? a.reduce((sum, value, i) => sum + value * b[i], 0) / scale : 0;
}

function inShort(value) {
  return value.toFixed(2).replace("-", "−");
}

function fill(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// 1.2e-07, as Python writes it.
function scientific(value) {
  return value.toExponential(1).replace(/(?<=e[+-])\d$/, (digit) => `0${digit}`);
}
