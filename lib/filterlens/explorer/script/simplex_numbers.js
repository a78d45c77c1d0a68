// A layer's filters in whole numbers, mixed in the page: simplex_numbers.py again, to the same numbers. All sums stay below 2^53 and are
// exact. simplex.js makes panels of what is mixed here.

const STEPS = 127; // of a picture, on either side of zero
const WHOLE = 32768; // what shares are counted in

const simplexLayers = new WeakMap(); // a layer as shipped -> its typed arrays, and the mixtures made so far

function simplexLayer(data, pick) {
  const shipped = data.layers[pick.layer];
  if (!simplexLayers.has(shipped)) {
    const [c, h, w] = shipped.shape;
    const [n, l] = shipped.filters.shape;
    const found = shipped.found.map((one) => {
      const arrays = ["l0", "entropy", "error", "nearest", "far", "order", "needed", "places"].map((name) => [name, numbersOf(one[name])]);
      const position = new Uint16Array(n);
      const typed = { ...one, ...Object.fromEntries(arrays), made: sharesOf(one.made), codes: sharesOf(one.codes), position, whole: new Map() };
      typed.order.forEach((filter, place) => (position[filter] = place));
      typed.fabrications = one.fabrications.map((made) => ({ ...made, shares: sharesOf(made.shares) }));
      return typed;
    });
    const layer = { ...shipped, n, l, c, h, w, filters: numbersOf(shipped.filters), units: numbersOf(shipped.units) };
    simplexLayers.set(shipped, { ...layer, points: numbersOf(shipped.points), norm: numbersOf(shipped.norm), found });
  }
  const layer = simplexLayers.get(shipped);
  return [layer, layer.found[data.fractions.indexOf(pick.fraction)]];
}

function sharesOf({ starts, rows, parts }) {
  return { starts: numbersOf(starts), rows: numbersOf(rows), parts: numbersOf(parts) };
}

/** Column j of shares: [rows, parts]. */
function shareColumn({ starts, rows, parts }, j) {
  return [rows.subarray(starts[j], starts[j + 1]), parts.subarray(starts[j], starts[j + 1])];
}

/** Filter i in whole numbers. */
function wholeFilter({ filters, units, l }, i) {
  return Float64Array.from(filters.subarray(i * l, (i + 1) * l), (step) => step * units[i]);
}

/** Column j's mixture of what `whole` gives for a row, rounded half up. */
function mixtureOf(shares, j, length, whole) {
  const [rows, parts] = shareColumn(shares, j);
  const sum = new Float64Array(length);
  rows.forEach((row, place) => {
    const values = whole(row);
    for (let i = 0; i < length; i++) sum[i] += parts[place] * values[i];
  });
  return sum.map((value) => halfUp(value, WHOLE));
}

/** Archetype j in the filters' whole numbers; kept. */
function wholeArchetype(layer, found, j) {
  if (!found.whole.has(j)) found.whole.set(j, mixtureOf(found.made, j, layer.l, (i) => wholeFilter(layer, i)));
  return found.whole.get(j);
}

/** A filter's mixture of archetypes. */
function rebuiltFilter(layer, found, i) {
  return mixtureOf(found.codes, i, layer.l, (j) => wholeArchetype(layer, found, j));
}

function halfUp(value, n) {
  return Math.floor((2 * value + n) / (2 * n));
}

/** The largest size among the numbers of several lists. */
function largestSize(lists) {
  return lists.reduce((most, values) => values.reduce((peak, value) => Math.max(peak, Math.abs(value)), most), 0);
}

/** Steps -127..127 as the bytes of an int8 array. */
function signedBytes(steps) {
  return new Uint8Array(Int8Array.from(steps).buffer);
}

/** Numbers of a filter in steps of a picture whose largest is `peak`, laid out: a plane, colours, or all channels side by side. */
function filterSteps({ c, h, w }, values, peak) {
  const steps = Array.from(values, (value) => (peak > 0 ? halfUp(STEPS * value, peak) : 0));
  if (c === 1) return { dtype: "int8", shape: [h, w], data: signedBytes(steps) };
  if (c === 3) {
    const colours = Uint8Array.from(steps, (_, at) => steps[(at % 3) * h * w + Math.floor(at / 3)] + 128);
    return { dtype: "uint8", shape: [h, w, 3], data: colours };
  }
  const gap = h * w > 1 ? 1 : 0;
  const columns = Math.ceil(Math.sqrt(c));
  const shape = [Math.ceil(c / columns) * (h + gap) - gap, columns * (w + gap) - gap];
  const data = new Uint8Array(shape[0] * shape[1]);
  steps.forEach((step, at) => {
    const [channel, place] = [Math.floor(at / (h * w)), at % (h * w)];
    const row = Math.floor(channel / columns) * (h + gap) + Math.floor(place / w);
    data[row * shape[1] + (channel % columns) * (w + gap) + (place % w)] = step; // modulo 256: the byte of an int8
  });
  return { dtype: "int8", shape, data };
}
