// Two Prewitt operators and their mixture, in the page: prewitt.py again, to the same whole numbers.

Object.assign(COMPUTED, { prewitt: (data, pick) => prewittPanels(data, pick) });

const PREWITT_X = [-1, 0, 1, -1, 0, 1, -1, 0, 1];
const PREWITT_Y = [-1, -1, -1, 0, 0, 0, 1, 1, 1];

function prewittPanels(data, { mix }) {
  const { words: said, parts, peak } = data;
  const [h, w] = data.image.shape;
  const k = Math.round(mix * parts);
  const mixed = (x, y) => x.map((value, i) => k * value + (parts - k) * y[i]);
  const times = (values) => values.map((value) => parts * value);
  const image = numbersOf(data.image);
  const [x, y] = [PREWITT_X, PREWITT_Y].map((kernel) => prewittAnswer(image, [h, w], kernel));
  const kernels = [times(PREWITT_X), times(PREWITT_Y), mixed(PREWITT_X, PREWITT_Y)];
  const maps = [times(x), times(y), prewittAnswer(image, [h, w], kernels[2])];
  const relu = (values) => values.map((value) => Math.max(value, 0));
  const less = (values, others) => values.map((value, i) => value - others[i]);
  const linear = less(maps[2], mixed(x, y));
  const after = less(relu(maps[2]), mixed(relu(x), relu(y)));
  const names = ["x", "y", "z"];
  const shape = [h - 2, w - 2];
  const map = (values, label) => signedSteps(values, shape, peak, peak / (parts * 255), label, label);
  const filters = kernels.map((kernel, i) => signedSteps(kernel, [3, 3], parts, 1, fillIn(said.filter_alt, { name: names[i] }), names[i]));
  const seen = { values: data.image, low: 0, high: 1, alt: said.image_alt, label: said.image, pick: null, frame: null };
  const share = { x: (k / parts).toFixed(2), y: ((parts - k) / parts).toFixed(2) };
  const largest = [linear, after].map((values) => saidPercent(largestSize([values]), peak));
  const differing = { pixels: after.reduce((sum, value) => sum + (value !== 0), 0), n: after.length };
  return [
    filtersPanel(said.filters, fillIn(said.filters_note, share), filters, null, 66),
    filtersPanel(said.maps, said.maps_note, [seen, ...maps.map((values, i) => map(values, fillIn(said.map, { name: names[i] })))], null, 128),
    filtersPanel(said.difference, said.difference_note, [map(linear, said.linear), map(after, said.relu)], null, 128),
    {
      kind: "numbers", title: said.numbers, note: "",
      rows: [
        [said.linear, largest[0], said.linear_note],
        [said.relu, largest[1], fillIn(said.relu_note, differing)],
      ],
    },
  ];
}

/** What a 3 x 3 filter answers to an image, in whole numbers. */
function prewittAnswer(image, [h, w], kernel) {
  const out = new Float64Array((h - 2) * (w - 2));
  for (let row = 0; row < h - 2; row++) {
    for (let column = 0; column < w - 2; column++) {
      let sum = 0;
      for (let i = 0; i < 9; i++) sum += kernel[i] * image[(row + Math.floor(i / 3)) * w + column + (i % 3)];
      out[row * (w - 2) + column] = sum;
    }
  }
  return out;
}

function signedSteps(values, shape, peak, high, alt, label) {
  const data = signedBytes(Array.from(values, (value) => (peak > 0 ? halfUp(STEPS * value, peak) : 0)));
  return { values: { dtype: "int8", shape, data }, low: -high, high, alt, label, pick: null, frame: null };
}
