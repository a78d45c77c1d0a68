// Pictures of a reader become what a network was trained on: grey digits centred as MNIST's are, colour photographs cut to a square.
// Numbers in, numbers out; own_board.js draws and reads files, own_image.js hands the result to the network.

const DIGIT_SIDE = 20; // pixels of a digit's longer side in MNIST's frame of 28 (LeCun et al. 1998)
const FAINT = 0.04; // below this share of white a pixel of a drawing is ground

/** Mean of what lies under each pixel: planes [c, h, w] in `values` -> [c, height, width], parts of pixels counted as parts. */
function areaAverage(values, [c, h, w], [height, width]) {
  const rows = areaShares(h, height);
  const columns = areaShares(w, width);
  const out = new Float32Array(c * height * width);
  for (let plane = 0; plane < c; plane++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        let sum = 0;
        for (const [row, down] of rows[y]) {
          for (const [column, across] of columns[x]) sum += down * across * values[(plane * h + row) * w + column];
        }
        out[(plane * height + y) * width + x] = sum;
      }
    }
  }
  return out;
}

/** For each of `after` places the [place, share] of `before` places that it covers; the shares sum to 1. */
function areaShares(before, after) {
  return Array.from({ length: after }, (_, i) => {
    const [from, to] = [(i * before) / after, ((i + 1) * before) / after];
    const shares = [];
    for (let place = Math.floor(from); place < to && place < before; place++) {
      const part = Math.min(to, place + 1) - Math.max(from, place);
      if (part > 1e-9) shares.push([place, part / (to - from)]);
    }
    return shares;
  });
}

/** A drawing [h, w] in [0, 1], white on black, as in MNIST: its box in 20 pixels, its centre of mass in the middle of [height, width]. */
function centredDigit(values, [h, w], [height, width]) {
  const box = inkBox(values, h, w);
  if (!box) return new Float32Array(height * width);
  const [top, left, rows, columns] = box;
  const scale = Math.min(DIGIT_SIDE, height, width) / Math.max(rows, columns);
  const small = [Math.max(1, Math.round(rows * scale)), Math.max(1, Math.round(columns * scale))];
  const cut = new Float32Array(rows * columns);
  for (let y = 0; y < rows; y++) cut.set(values.subarray((top + y) * w + left, (top + y) * w + left + columns), y * columns);
  const digit = areaAverage(cut, [1, rows, columns], small);
  const [down, across] = centreOfMass(digit, small);
  const at = [Math.round((height - 1) / 2 - down), Math.round((width - 1) / 2 - across)];
  const out = new Float32Array(height * width);
  for (let y = 0; y < small[0]; y++) {
    for (let x = 0; x < small[1]; x++) {
      const [row, column] = [y + at[0], x + at[1]];
      if (row >= 0 && row < height && column >= 0 && column < width) out[row * width + column] = digit[y * small[1] + x];
    }
  }
  return out;
}

/** [top, left, rows, columns] of what is not ground, or null. */
function inkBox(values, h, w) {
  let [top, left, bottom, right] = [h, w, -1, -1];
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      if (values[y * w + x] <= FAINT) continue;
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
      [left, right] = [Math.min(left, x), Math.max(right, x)];
    }
  }
  return bottom < 0 ? null : [top, left, bottom - top + 1, right - left + 1];
}

function centreOfMass(values, [h, w]) {
  let [mass, down, across] = [0, 0, 0];
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      mass += values[y * w + x];
      down += y * values[y * w + x];
      across += x * values[y * w + x];
    }
  }
  return [down / mass, across / mass];
}

/**
 * A photograph of a digit (values in [0, 1]) as white ink on black: Otsu's threshold (1979) tells ink from paper, the rarer of both is ink;
 * the mean of the ink becomes white.
 */
function inkOf(values) {
  const counts = new Float64Array(256);
  for (const value of values) counts[Math.round(255 * value)] += 1;
  const limit = otsu(counts) / 255;
  const light = values.filter((value) => value > limit);
  const dark = values.filter((value) => value <= limit);
  const [ink, sign] = light.length > dark.length ? [dark, -1] : [light, 1];
  const mean = ink.reduce((sum, value) => sum + sign * (value - limit), 0) / ink.length;
  return values.map((value) => (mean > 0 ? Math.max(0, Math.min(1, (sign * (value - limit)) / mean)) : 0));
}

/** The level that parts a histogram into two classes with the largest variance between them; the middle one if several do. */
function otsu(counts) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const whole = counts.reduce((sum, count, level) => sum + count * level, 0);
  let [best, first, last, below, mass] = [-1, 0, 0, 0, 0];
  counts.forEach((count, level) => {
    below += count;
    mass += count * level;
    if (below === 0 || below === total) return;
    const apart = mass / below - (whole - mass) / (total - below);
    const between = below * (total - below) * apart * apart;
    if (between > best) [best, first] = [between, level];
    if (between === best) last = level;
  });
  return (first + last + 1) / 2;
}

/** Red, green, blue, opacity row by row -> planes [channels, h, w] in [0, 1]; one channel is the luma of ITU-R BT.601. */
function planesOf(pixels, channels, count) {
  const out = new Float32Array(channels * count);
  for (let i = 0; i < count; i++) {
    const [r, g, b] = [pixels[4 * i], pixels[4 * i + 1], pixels[4 * i + 2]];
    // Equal parts stay exactly what they are: the three weights need not sum to 1 in floating point.
    if (channels === 1) out[i] = (r === g && g === b ? r : 0.299 * r + 0.587 * g + 0.114 * b) / 255;
    else [out[i], out[count + i], out[2 * count + i]] = [r / 255, g / 255, b / 255];
  }
  return out;
}
