// The explorer of masks, computed in the page: maps are blurred and cut in whole numbers as in masks_numbers.py, and drawn as in
// masks_panels.py.

Object.assign(COMPUTED, { masks: (data, pick) => maskPanels(data, pick) });

const MASK_UNIT = 2 ** 16; // parts of a step of a map
const MASK_WHOLE = 2 ** 14; // the sum of a blur's weights along one axis

function maskPanels(data, pick) {
  const { words: said, methods } = data;
  const { network, image, filter, threshold, sigma } = pick;
  const one = imageOfMasks(data, pick);
  const at = one.net.filters[image].indexOf(filter);
  const numbers = { image: String(image), name: one.name, network };
  const found = methods.map((method) => foundMask(one, method, method === "cam" ? 0 : at, pick));
  const shown = [
    maskPhoto(one, one.picture, fillIn(said.image_alt, numbers), said.picture),
    maskPhoto(one, dimOutside(one.picture, one.truth), fillIn(said.truth_alt, numbers), said.truth),
  ];
  const pictures = [
    ...found.map(({ method, values, place }) => mapPicture(one, said, method, values, place, image)),
    ...found.map(({ method, mask, counts }) => {
      const label = fillIn(said.mask_label, { method: said[method], iou: saidIou(counts) });
      return maskPhoto(one, dimOutside(one.picture, mask), fillIn(said.mask_alt, { method: said[method], image: String(image) }), label);
    }),
  ];
  const covered = fillIn(said.image_note, { share: saidPercent(pixelsIn(one.truth), one.truth.length) });
  const note = fillIn(said.maps_note, { threshold: `${Math.round(100 * threshold)} %`, sigma });
  return [
    filtersPanel(fillIn(said.image, { image: numbers.image, name: one.name }), covered, shown, null, data.large),
    filtersPanel(fillIn(said.maps, { filter: String(filter), network }), note, pictures, methods.length, data.small),
    maskNumbers(said, one, found, image),
    filterBars(said, one, at, pick),
  ];
}

/** The picked image, its true mask, its network's maps. */
function imageOfMasks(data, { network, image }) {
  const [, h, w] = data.truths.shape;
  const size = h * w;
  const picture = numbersOf(data.pictures).subarray(image * size * 3, (image + 1) * size * 3);
  const truth = numbersOf(data.truths).subarray(image * size, (image + 1) * size);
  return { h, w, picture, truth, net: data.networks[network], name: data.classes[data.labels[image]], kernels: data.kernels };
}

/** A method's map in parts of steps, its mask and how that fits the true one. */
function foundMask(one, method, place, { image, threshold, sigma }) {
  const steps = one.net.steps[method];
  const size = one.h * one.w;
  const from = (image * steps.shape[1] + place) * size;
  const kernel = one.kernels[method === "gradient" ? sigma : 0];
  const values = blurSteps(numbersOf(steps).subarray(from, from + size), one.h, one.w, kernel);
  const mask = cutOff(values, one.net.cuts[method][image][place], Math.round(100 * threshold));
  return { method, place, values, mask, counts: overlapOf(mask, one.truth) };
}

function mapPicture({ h, w, net }, said, method, values, place, image) {
  const peak = values.reduce((most, value) => Math.max(most, value), 0);
  const steps = Uint8Array.from(values, (value) => Math.floor((510 * value + peak) / Math.max(1, 2 * peak)));
  const [low, high] = [net.lows[method][image][place], net.highs[method][image][place]];
  const alt = fillIn(said.map_alt, { method: said[method], image: String(image) });
  const shown = { dtype: "uint8", shape: [h, w], data: steps };
  return { values: shown, low, high: low + ((high - low) * peak) / (255 * MASK_UNIT), alt, label: said[method], pick: null, frame: null };
}

function maskPhoto({ h, w }, data, alt, label) {
  return { values: { dtype: "uint8", shape: [h, w, 3], data }, low: 0, high: 1, alt, label, pick: null, frame: null };
}

function maskNumbers(said, one, found, image) {
  const rows = found.map(({ method, place, mask, counts }) => {
    const exact = saidIou(one.net.exact[method][image][place]);
    const share = saidPercent(pixelsIn(mask), mask.length);
    return [fillIn(said.iou, { method: said[method] }), saidIou(counts), fillIn(said.iou_note, { share, exact })];
  });
  return { kind: "numbers", title: said.numbers, note: said.numbers_note, rows };
}

function filterBars(said, one, at, pick) {
  const filters = one.net.filters[pick.image];
  const series = ["gradient", "activation"].map((method) => {
    const counts = filters.map((_, place) => foundMask(one, method, place, pick).counts);
    return { name: said[method], values: counts.map(([both, either]) => both / Math.max(1, either)) };
  });
  const title = fillIn(said.filters, { name: one.name, network: pick.network });
  const picks = filters.map((filter) => ({ filter }));
  return barsPanel(title, said.filters_note, filters.map(String), series, { highlight: at, picks });
}

// ------------------------------------------------------------------------------------------------------------------ numbers

/** Row i of the table says how many parts of each pixel the blurred pixel i takes; borders are mirrored. */
function blurWindow(side, kernel) {
  const rows = Array.from({ length: side }, () => new Float64Array(side));
  const mirrored = (at) => {
    const place = ((at % (2 * side)) + 2 * side) % (2 * side);
    return place < side ? place : 2 * side - 1 - place;
  };
  rows.forEach((row, i) => {
    kernel.forEach((weight, distance) => {
      row[mirrored(i + distance)] += weight;
      if (distance) row[mirrored(i - distance)] += weight;
    });
  });
  return rows;
}

/** A map (h, w) blurred, in whole parts of steps: all sums stay below 2^53, so they are exact. */
function blurSteps(steps, h, w, kernel) {
  if (kernel.length === 1) return Float64Array.from(steps, (step) => step * MASK_UNIT);
  const [down, across] = [blurWindow(h, kernel), blurWindow(w, kernel)];
  const half = new Float64Array(h * w);
  for (let i = 0; i < h; i++) {
    for (let k = 0; k < h; k++) {
      const part = down[i][k];
      if (part) for (let j = 0; j < w; j++) half[i * w + j] += part * steps[k * w + j];
    }
  }
  const out = new Float64Array(h * w);
  for (let i = 0; i < h; i++) {
    for (let j = 0; j < w; j++) {
      let sum = 0;
      for (let k = 0; k < w; k++) sum += across[j][k] * half[i * w + k];
      out[i * w + j] = Math.floor(sum / ((MASK_WHOLE * MASK_WHOLE) / MASK_UNIT));
    }
  }
  return out;
}

/** Above the lowest number, and at least so many percent of the method's own threshold. */
function cutOff(values, cut, percent) {
  return Uint8Array.from(values, (value) => (value > 0 && 100 * value >= percent * cut ? 1 : 0));
}

function dimOutside(picture, mask) {
  return Uint8Array.from(picture, (value, i) => (mask[Math.floor(i / 3)] ? value : value >> 2));
}

function overlapOf(mask, truth) {
  const counts = [0, 0];
  mask.forEach((one, i) => {
    counts[0] += one & truth[i];
    counts[1] += one | truth[i];
  });
  return counts;
}

function pixelsIn(mask) {
  return mask.reduce((sum, one) => sum + one, 0);
}

function saidIou([both, either]) {
  return saidRatio(both, Math.max(1, either));
}
