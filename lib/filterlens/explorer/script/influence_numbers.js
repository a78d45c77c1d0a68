// A final layer in whole numbers, counted in the page: influence_numbers.py again, to the same counts. All sums stay below 2^31
// and are exact; of equal logits the first class wins. influence.js makes panels of what is counted here.

const wholeLayers = new WeakMap(); // what a page ships -> its layer; several renderers share one

/** The layer of shipped data: typed arrays, and what has been counted so far. */
function wholeLayer(data) {
  if (!wholeLayers.has(data)) {
    const [d, n] = data.features.shape;
    const classes = data.classes.length;
    const layer = { data, d, n, classes, rows: new Map(), ablations: new Map() };
    for (const name of ["features", "ends", "weight", "bias", "mean_weight", "noise_weight", "quantiles", "tie", "ranks", "apart"]) {
      layer[name] = numbersOf(data[name]);
    }
    layer.orders = Object.fromEntries(Object.entries(data.orders).map(([rule, order]) => [rule, numbersOf(order)]));
    layer.byImage = new layer.features.constructor(d * n); // (n, d), the features of an image side by side
    for (let i = 0; i < d; i++) {
      for (let k = 0; k < n; k++) layer.byImage[k * d + i] = layer.features[i * n + k];
    }
    layer.labels = new Uint16Array(n);
    for (let y = 0; y < classes; y++) layer.labels.fill(y, layer.ends[y], layer.ends[y + 1]);
    layer.logits = fullLogits(layer);
    layer.full = Uint16Array.from({ length: n }, (_, k) => firstLargest(layer.logits, n, k, classes));
    layer.fullRight = new Int32Array(classes);
    layer.full.forEach((found, k) => (layer.fullRight[found] += found === layer.labels[k]));
    wholeLayers.set(data, layer);
  }
  return wholeLayers.get(data);
}

/** Of the full layer, (C, n). */
function fullLogits({ d, n, classes, features, weight, bias }) {
  const logits = new Int32Array(classes * n);
  for (let c = 0; c < classes; c++) {
    const row = logits.subarray(c * n, (c + 1) * n).fill(bias[c]);
    for (let i = 0; i < d; i++) addColumn(row, 0, weight[c * d + i], features, i * n, n);
  }
  return logits;
}

function addColumn(logits, at, weight, features, from, count) {
  for (let k = 0; k < count; k++) logits[at + k] += Math.imul(weight, features[from + k]);
}

/** The row of column k's largest entry, the first of equals. */
function firstLargest(logits, width, k, classes) {
  let best = logits[k];
  let at = 0;
  for (let c = 1, place = k + width; c < classes; c++, place += width) {
    if (logits[place] > best) {
      best = logits[place];
      at = c;
    }
  }
  return at;
}

/** The votes (d) of a class if every image votes for its r largest features. */
function votesOf({ d, ranks }, y, r) {
  return Array.from({ length: d }, (_, i) => {
    const from = (y * d + i) * d;
    let sum = 0;
    for (let rank = 0; rank < r; rank++) sum += ranks[from + rank];
    return sum;
  });
}

/** The features (C, d) of every class, most influential first. */
function orderOf(layer, rule, r) {
  if (rule !== "count") return layer.orders[rule];
  const { d, classes, tie } = layer;
  const order = new Uint16Array(classes * d);
  for (let y = 0; y < classes; y++) {
    const votes = votesOf(layer, y, r);
    const own = votes.map((_, i) => i).sort((a, b) => votes[b] - votes[a] || tie[y * d + a] - tie[y * d + b]);
    order.set(own, y * d);
  }
  return order;
}

/** Rules without r have one order. */
function orderKey(rule, r) {
  return `${rule} ${rule === "count" ? r : 0}`;
}

/**
 * Images that the decomposed layer gets right by s and class (d, C), their sums `total` (d), and on which it agrees with the
 * full one (d): one pass for all s, in which each s adds one feature to every class. Kept.
 */
function countsBySize(layer, rule, r) {
  const key = orderKey(rule, r);
  if (!layer.rows.has(key)) {
    const { d, classes } = layer;
    const order = orderOf(layer, rule, r);
    const [right, agree] = [new Int32Array(d * classes), new Int32Array(d)];
    countAll(layer, order, right, agree);
    const total = Array.from({ length: d }, (_, s) => right.subarray(s * classes, (s + 1) * classes).reduce((a, b) => a + b, 0));
    layer.rows.set(key, { order, right, agree, total });
  }
  return layer.rows.get(key);
}

/** Image by image, whose features and logits then stay at hand; what every s adds is laid out in the order in which it is read. */
function countAll(layer, order, right, agree) {
  const { d, n, classes, byImage, bias, labels, full } = layer;
  const [added, weights, logits] = [new Uint16Array(d * classes), new Int32Array(d * classes), new Int32Array(classes)];
  for (let s = 0; s < d; s++) {
    for (let c = 0; c < classes; c++) {
      const i = order[c * d + s];
      added[s * classes + c] = i;
      weights[s * classes + c] = layer.weight[c * d + i];
    }
  }
  for (let k = 0; k < n; k++) {
    const start = k * d;
    const label = labels[k];
    const before = full[k];
    logits.set(bias);
    for (let s = 0, at = 0; s < d; s++) {
      let best = 0;
      let found = 0;
      for (let c = 0; c < classes; c++, at++) {
        const logit = (logits[c] + Math.imul(weights[at], byImage[start + added[at]])) | 0;
        logits[c] = logit;
        if (c === 0 || logit > best) {
          best = logit;
          found = c;
        }
      }
      if (found === label) right[s * classes + found] += 1;
      if (found === before) agree[s] += 1;
    }
  }
}

// --------------------------------------------------------------------------------------------------------------- ablation

/** Which of 4,096 quantiles feature i of image k draws: a hash of both, mixed by the rounds of Chris Wellons' "lowbias32". */
function placeOfDraw(i, k) {
  let h = Math.imul(i, 0x85ebca6b) ^ Math.imul(k, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 20;
}

/** Unit noise (d, n), in parts of the noise weights' unit. */
function drawsOf(layer) {
  const { d, n, quantiles } = layer;
  if (!layer.draws) {
    layer.draws = new Int16Array(d * n);
    for (let i = 0; i < d; i++) {
      for (let k = 0; k < n; k++) layer.draws[i * n + k] = quantiles[placeOfDraw(i, k)];
    }
  }
  return layer.draws;
}

/**
 * Images that the full layer gets right for s = 0..d: with the s influential features of their true class replaced (`few`), and
 * with all others (`rest`). A class at a time: `pause` lets the page breathe, and stops by throwing.
 */
async function ablationCounts(layer, rule, r, noise, pause) {
  const key = `${orderKey(rule, r)} ${noise}`;
  if (!layer.ablations.has(key)) {
    const { order } = countsBySize(layer, rule, r);
    const counts = { few: new Int32Array(layer.d + 1), rest: new Int32Array(layer.d + 1) };
    for (let y = 0; y < layer.classes; y++) {
      await pause();
      ablateClass(layer, order, y, noise, counts);
    }
    layer.ablations.set(key, counts);
  }
  return layer.ablations.get(key);
}

function ablateClass(layer, order, y, noise, { few, rest }) {
  const { d, n, classes, logits } = layer;
  const [start, count] = [layer.ends[y], layer.ends[y + 1] - layer.ends[y]];
  const own = new Int32Array(classes * count);
  for (let c = 0; c < classes; c++) own.set(logits.subarray(c * n + start, c * n + start + count), c * count);
  const others = own.slice();
  const change = new Int32Array(classes * count);
  for (let i = 0; i < d; i++) {
    changesOf(layer, i, start, count, noise, change);
    for (let at = 0; at < change.length; at++) others[at] += change[at];
  }
  few[0] += winsOf(own, y, count, classes);
  rest[0] += winsOf(others, y, count, classes);
  for (let s = 0; s < d; s++) {
    changesOf(layer, order[y * d + s], start, count, noise, change);
    for (let at = 0; at < change.length; at++) {
      own[at] += change[at];
      others[at] -= change[at];
    }
    few[s + 1] += winsOf(own, y, count, classes);
    rest[s + 1] += winsOf(others, y, count, classes);
  }
}

/** What feature i adds to each logit (C, count) once it is replaced. */
function changesOf(layer, i, start, count, noise, change) {
  const { d, n, classes, features, weight } = layer;
  const draws = noise === "unit" ? drawsOf(layer) : null;
  const from = i * n + start;
  for (let c = 0; c < classes; c++) {
    const [at, was] = [c * count, weight[c * d + i]];
    if (draws) {
      const drawn = layer.noise_weight[c * d + i];
      for (let k = 0; k < count; k++) change[at + k] = Math.imul(drawn, draws[from + k]) - Math.imul(was, features[from + k]);
    } else {
      const mean = noise === "mean" ? layer.mean_weight[c * d + i] : 0;
      for (let k = 0; k < count; k++) change[at + k] = mean - Math.imul(was, features[from + k]);
    }
  }
}

/** How many columns have their first largest entry in row y. */
function winsOf(logits, y, count, classes) {
  let wins = count;
  for (let k = 0; k < count; k++) {
    const own = logits[y * count + k];
    for (let c = 0, place = k; c < classes; c++, place += count) {
      if (logits[place] > own || (logits[place] === own && c < y)) {
        wins -= 1;
        break;
      }
    }
  }
  return wins;
}

/** The logits (C) of image k by the full layer, or with the first s features of an order alone. */
function logitsOf(layer, k, order = null, s = layer.d) {
  const { d, n, classes, features, weight, bias } = layer;
  return Array.from({ length: classes }, (_, c) => {
    let sum = bias[c];
    for (let place = 0; place < s; place++) {
      const i = order ? order[c * d + place] : place;
      sum += weight[c * d + i] * features[i * n + k];
    }
    return sum;
  });
}
