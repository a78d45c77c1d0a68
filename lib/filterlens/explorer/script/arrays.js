// Arrays as Python sends them: unpacked into typed arrays, turned into colours, painted. panels.js draws with them.

const BYTES = { int8: 1, uint8: 1, uint16: 2, int32: 4, float32: 4 };

/** The numbers of a protocol array {dtype, shape, data}; `data` is a DataView, a typed array or an ArrayBuffer. */
function numbersOf(array) {
  const { dtype, shape, data } = array;
  const size = BYTES[dtype];
  if (!size) throw new Error(`array dtype: got ${dtype}, expected ${Object.keys(BYTES).join(", ")}`);
  const count = shape.reduce((product, n) => product * n, 1);
  const buffer = data instanceof ArrayBuffer ? data : data.buffer;
  const start = data instanceof ArrayBuffer ? 0 : data.byteOffset;
  if (data.byteLength !== count * size) {
    throw new Error(`array data: got ${data.byteLength} bytes, expected ${count * size} for ${dtype} of shape [${shape}]`);
  }
  if (dtype === "int8") return new Int8Array(buffer, start, count);
  if (dtype === "uint8") return new Uint8Array(buffer, start, count);
  // Wider numbers must begin at a multiple of their bytes; a view into a packed block need not.
  const Wider = { uint16: Uint16Array, int32: Int32Array, float32: Float32Array }[dtype];
  return start % size === 0 ? new Wider(buffer, start, count) : new Wider(buffer.slice(start, start + count * size));
}

/** Unpack base64 of a zlib stream: uint32 length n, n bytes of JSON, then the bytes that {dtype, shape, at} point into. */
async function unpack(base64) {
  const packed = Uint8Array.fromBase64?.(base64) ?? Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const content = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  return fillArrays(content, bytes.subarray(4 + length));
}

/** Replace, in place, every `at` by `data`: a view of the block's bytes. */
function fillArrays(value, block) {
  if (Array.isArray(value)) {
    for (const item of value) fillArrays(item, block);
  } else if (value !== null && typeof value === "object") {
    if (value.dtype in BYTES && Number.isInteger(value.at)) {
      const count = value.shape.reduce((product, n) => product * n, 1);
      value.data = block.subarray(value.at, value.at + count * BYTES[value.dtype]);
      delete value.at;
    } else {
      for (const item of Object.values(value)) fillArrays(item, block);
    }
  }
  return value;
}

// ---------------------------------------------------------------------------------------------------------------- colours

// ColorBrewer's RdBu turned round (Brewer 2003), and viridis at every fifteenth: the anchors of matplotlib's tables.
const RDBU_R = "053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f";
const VIRIDIS = "440154 481a6c 472f7d 414487 39568c 31688e 2a788e 23888e 1f988b 22a884 35b779 54c568 7ad151 a5db36 d2e21b fde725";

const SIGNED_COLOURS = colourTable(RDBU_R);
const LEVEL_COLOURS = colourTable(VIRIDIS);

/** 256 colours [red, green, blue] on straight lines between anchors at equal distances. */
function colourTable(anchors) {
  const points = anchors.split(" ").map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, i) => {
    const place = (i / 255) * (points.length - 1);
    const left = Math.min(Math.floor(place), points.length - 2);
    return points[left].map((from, channel) => Math.round(from + (place - left) * (points[left + 1][channel] - from)));
  });
}

/** The colour of a fraction in [0, 1], by matplotlib's rule: 256 equal bins. */
function tableColour(table, fraction) {
  return table[Math.min(255, Math.max(0, Math.floor(fraction * 256)))];
}

/** The colour of a signed step v in -127..127: red positive, blue negative, white zero. */
function signedColour(v) {
  return tableColour(SIGNED_COLOURS, v / 127 / 2 + 0.5);
}

/** The colour of a fraction in [0, 1] of a scale without sign. */
function levelColour(fraction) {
  return tableColour(LEVEL_COLOURS, fraction);
}

// --------------------------------------------------------------------------------------------------------------- pictures

/** What a picture's array says: height, width, channels, the steps, the step that stands for zero (null without a sign). */
function stepsOf(picture) {
  const [h, w, channels = 1] = picture.values.shape;
  const steps = numbersOf(picture.values);
  const signedColours = channels === 3 && picture.low < 0 && picture.high > 0;
  const zero = picture.values.dtype === "int8" ? 0 : signedColours ? 128 : null;
  return { h, w, channels, steps, zero };
}

/** The number that a step of a picture stands for. */
function numberOfStep(picture, step) {
  if (picture.values.dtype === "int8") return (step / 127) * picture.high;
  return picture.low + (step / 255) * (picture.high - picture.low);
}

/** The steps as they are drawn: below the threshold (a fraction of the largest magnitude), or of the other sign, they are zero. */
function shownSteps(picture, { threshold = 0, part = "whole" } = {}) {
  const { steps, zero } = stepsOf(picture);
  if (zero === null || (threshold <= 0 && part === "whole")) return steps;
  const limit = threshold * steps.reduce((most, step) => Math.max(most, Math.abs(step - zero)), 0);
  return steps.map((step) => {
    const signed = step - zero;
    const hidden = Math.abs(signed) < limit || (part === "positive" && signed < 0) || (part === "negative" && signed > 0);
    return hidden ? zero : step;
  });
}

/** Red, green, blue, opacity of each pixel, row by row. */
function pixelsOf(picture, options) {
  const { h, w, channels } = stepsOf(picture);
  const steps = shownSteps(picture, options);
  const signed = picture.values.dtype === "int8";
  const pixels = new Uint8ClampedArray(h * w * 4).fill(255);
  for (let i = 0, at = 0; i < h * w; i++, at += 4) {
    const colour = signed ? signedColour(steps[i]) : null;
    for (let channel = 0; channel < 3; channel++) {
      pixels[at + channel] = colour ? colour[channel] : channels === 3 ? steps[i * 3 + channel] : steps[i];
    }
  }
  return pixels;
}

/** Paint a picture on a canvas, one canvas pixel per number; the page enlarges it. */
function paint(canvas, picture, options = {}) {
  const [h, w] = picture.values.shape;
  paintPixels(canvas, pixelsOf(picture, options), h, w);
}

function paintPixels(canvas, pixels, h, w) {
  canvas.width = w;
  canvas.height = h;
  // Pictures are many and small: kept in main memory, where making them is cheap.
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(new ImageData(pixels, w, h), 0, 0);
}

// ------------------------------------------------------------------------------------------------------------------ words

/** A number in at most three digits, with a real minus sign. */
function words(number) {
  if (!Number.isFinite(number)) return Number.isNaN(number) ? "not a number" : number > 0 ? "infinite" : "−infinite";
  const size = Math.abs(number);
  let text = "0";
  if (size >= 1000) text = size < 1e6 ? String(Math.round(size)) : size.toExponential(1);
  else if (size >= 0.001) text = String(Number(size.toPrecision(3)));
  else if (size > 0) text = size.toExponential(1);
  return (number < 0 ? "−" : "") + text.replace("e-", "e−").replace("e+", "e");
}

/** A share in whole percent. */
function percent(share) {
  const rounded = Math.round(Math.abs(share) * 100);
  return `${share < 0 && rounded > 0 ? "−" : ""}${rounded} %`;
}

/** What a pixel of a picture says, in words. */
function pixelWords(picture, row, column, options = {}) {
  const { w, channels, steps } = stepsOf(picture);
  const at = (row * w + column) * channels;
  const said = [...steps.subarray(at, at + channels)].map((step) => words(numberOfStep(picture, step)));
  const value = channels === 3 ? `red ${said[0]}, green ${said[1]}, blue ${said[2]}` : said[0];
  const shown = shownSteps(picture, options);
  const hidden = steps.subarray(at, at + channels).some((step, i) => step !== shown[at + i]);
  return `row ${row}, column ${column}: ${value}${hidden ? " (not drawn here)" : ""}`;
}
