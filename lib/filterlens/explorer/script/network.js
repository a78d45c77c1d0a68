// A few layers of a network, on small maps in the page: {shape: [c, h, w], values: Float32Array}, weights {shape: [k, c, kh, kw], values}.
// They follow PyTorch's definitions, without padding. Sums are kept in double precision, results in single, as they leave a layer there.

function emptyMap(c, h, w) {
  return { shape: [c, h, w], values: new Float32Array(c * h * w) };
}

function expectShape(name, array, axes, sizes = {}) {
  const letters = axes.split(" ");
  const found = array?.shape;
  const said = letters.map((letter) => (letter in sizes ? `${letter} = ${sizes[letter]}` : letter)).join(", ");
  const right = (n, i) => n > 0 && (sizes[letters[i]] ?? n) === n;
  const fits = Array.isArray(found) && found.length === letters.length && found.every(right);
  if (!fits) throw new Error(`${name}: got shape [${found}], expected (${said})`);
  const length = found.reduce((product, n) => product * n, 1);
  const given = array.values?.length;
  if (given !== length) throw new Error(`${name}: got ${given} values, expected ${length} for shape [${found}]`);
}

function expectCount(name, value) {
  if (!Number.isInteger(value) || value < 1) throw new Error(`${name}: got ${value}, expected a whole number of at least 1`);
}

// Correlation: x (c, h, w), w (k, c, kh, kw), bias k numbers or null -> (k, (h - kh) / stride + 1, (w - kw) / stride + 1).
function conv2d(x, w, bias = null, stride = 1) {
  expectShape("x", x, "c h w");
  expectShape("w", w, "k c kh kw", { c: x.shape[0] });
  expectCount("stride", stride);
  const [channels, height, width] = x.shape;
  const [filters, , kh, kw] = w.shape;
  if (bias !== null && bias.length !== filters) throw new Error(`bias: got ${bias.length} values, expected ${filters}, the filters of w`);
  if (kh > height || kw > width) throw new Error(`x: got ${height} x ${width}, expected at least ${kh} x ${kw}, the filter of w`);
  const out = emptyMap(filters, Math.floor((height - kh) / stride) + 1, Math.floor((width - kw) / stride) + 1);
  const [values, weights] = [x.values, w.values];
  let at = 0;
  for (let k = 0; k < filters; k++) {
    for (let row = 0; row < out.shape[1]; row++) {
      for (let column = 0; column < out.shape[2]; column++) {
        let sum = bias === null ? 0 : bias[k];
        for (let c = 0; c < channels; c++) {
          for (let i = 0; i < kh; i++) {
            const from = (c * height + row * stride + i) * width + column * stride;
            const weight = ((k * channels + c) * kh + i) * kw;
            for (let j = 0; j < kw; j++) sum += values[from + j] * weights[weight + j];
          }
        }
        out.values[at++] = sum;
      }
    }
  }
  return out;
}

// Substitution, the adjoint of conv2d: each number of x (k, h, w) is replaced by its filter of w (k, c, kh, kw), scaled, copies added
// -> (c, h + kh - 1, w + kw - 1).
function convTranspose2d(x, w) {
  expectShape("x", x, "k h w");
  expectShape("w", w, "k c kh kw", { k: x.shape[0] });
  const [filters, height, width] = x.shape;
  const [, channels, kh, kw] = w.shape;
  const out = emptyMap(channels, height + kh - 1, width + kw - 1);
  const sums = new Float64Array(out.values.length);
  const [values, weights] = [x.values, w.values];
  let at = 0;
  for (let k = 0; k < filters; k++) {
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const scale = values[at++];
        if (scale === 0) continue; // most cells of a layout are empty
        for (let c = 0; c < channels; c++) {
          for (let i = 0; i < kh; i++) {
            const to = (c * out.shape[1] + row + i) * out.shape[2] + column;
            const weight = ((k * channels + c) * kh + i) * kw;
            for (let j = 0; j < kw; j++) sums[to + j] += scale * weights[weight + j];
          }
        }
      }
    }
  }
  out.values.set(sums);
  return out;
}

// Windows of k x k side by side, each reduced to one number; what does not fill a window is left out.
function poolWindows(x, k, start, add, finish) {
  expectShape("x", x, "c h w");
  expectCount("k", k);
  const [channels, height, width] = x.shape;
  if (k > height || k > width) throw new Error(`x: got ${height} x ${width}, expected at least ${k} x ${k}, the window`);
  const out = emptyMap(channels, Math.floor(height / k), Math.floor(width / k));
  let at = 0;
  for (let c = 0; c < channels; c++) {
    for (let row = 0; row < out.shape[1]; row++) {
      for (let column = 0; column < out.shape[2]; column++) {
        let result = start;
        for (let i = 0; i < k; i++) {
          const from = (c * height + row * k + i) * width + column * k;
          for (let j = 0; j < k; j++) result = add(result, x.values[from + j]);
        }
        out.values[at++] = finish(result);
      }
    }
  }
  return out;
}

function maxPool(x, k) {
  return poolWindows(x, k, -Infinity, Math.max, (largest) => largest);
}

function avgPool(x, k) {
  return poolWindows(x, k, 0, (sum, value) => sum + value, (sum) => sum / (k * k));
}

// Each number becomes a square of k x k of the same number: (c, h, w) -> (c, k h, k w).
function unpoolNearest(x, k) {
  expectShape("x", x, "c h w");
  expectCount("k", k);
  const [channels, height, width] = x.shape;
  const out = emptyMap(channels, height * k, width * k);
  let at = 0;
  for (let c = 0; c < channels; c++) {
    for (let row = 0; row < height * k; row++) {
      const from = (c * height + Math.floor(row / k)) * width;
      for (let column = 0; column < width * k; column++) out.values[at++] = x.values[from + Math.floor(column / k)];
    }
  }
  return out;
}
