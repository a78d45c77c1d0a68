// Curves and matrices for panels.js.

// ------------------------------------------------------------------------------------------------------------------- curve

/** Round numbers between low and high, about `count` of them. */
function roundTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function drawCurve({ title, x, series, x_label, y_label, highlight }) {
  const [width, height, left, right, above, under] = [420, 240, 50, 14, 12, x_label ? 44 : 26];
  const [low, high] = extentOf(series, false);
  const [first, last] = extentOf([{ values: x }], false);
  const toX = (value) => left + ((value - first) / (last - first)) * (width - left - right);
  const toY = (value) => above + ((high - value) / (high - low)) * (height - above - under);
  const readout = makeReadout();
  const say = (i) => `${x_label || "x"} ${words(x[i])}: ${valuesAt(series, i)}${i === highlight ? " (marked)" : ""}`;
  const summary = `${y_label ? `${y_label}. ` : ""}Curve from ${say(0)} to ${say(x.length - 1)}.`;
  const svg = makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": summary });
  const text = (at, kind, content) => svg.append(makeSvg("text", { ...at, class: kind }, content));
  const line = (at, kind) => svg.append(makeSvg("line", { ...at, class: kind }));
  for (const value of roundTicks(low, high, 4)) {
    line({ x1: left, x2: width - right, y1: toY(value), y2: toY(value) }, value === 0 ? "fl-zero" : "fl-rule");
    text({ x: left - 6, y: toY(value) + 4 }, "fl-tick fl-tick-left", words(value));
  }
  const below = x.length <= 8 ? x : roundTicks(first, last, 5); // few places are named themselves
  for (const value of below) text({ x: toX(value), y: height - under + 18 }, "fl-tick", words(value));
  if (x_label) text({ x: (left + width - right) / 2, y: height - 6 }, "fl-tick", x_label);
  if (highlight !== null) line({ x1: toX(x[highlight]), x2: toX(x[highlight]), y1: above, y2: height - under }, "fl-mark-line");
  series.forEach((one, s) => {
    const points = x.map((place, i) => [toX(place), toY(one.values[i]), one.values[i]]).filter(([, , value]) => isNumber(value));
    const path = points.map(([px, py], i) => `${i ? "L" : "M"}${px.toFixed(2)} ${py.toFixed(2)}`).join("");
    svg.append(makeSvg("path", { d: path, class: `fl-line fl-series-${s % SERIES}` }));
    if (x.length > 24) return; // so many places are a line, fewer are points
    for (const [cx, cy] of points) svg.append(makeSvg("circle", { cx, cy, r: 3, class: `fl-fill fl-series-${s % SERIES}` }));
  });
  const plot = make("div", { class: "fl-curve" }, svg);
  const order = x.map((_, i) => i).sort((a, b) => x[a] - x[b]);
  const places = order.map((i) => toX(x[i]) / width);
  const start = highlight === null ? 0 : order.indexOf(highlight);
  placeReader(plot, readout, { places, start, label: title || "curve", say: (rank) => say(order[rank]) });
  const name = y_label && make("p", { class: "fl-y-label", "aria-hidden": "true" }, y_label);
  return [legendOf(series), name, plot, readout].filter(Boolean);
}

// ------------------------------------------------------------------------------------------------------------------ matrix

/** The colours of a matrix and the ends of their scale. */
function matrixColours(numbers, signed) {
  const finite = [...numbers].filter(Number.isFinite);
  let low = finite.reduce((a, b) => Math.min(a, b), Infinity);
  let high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  if (signed) {
    high = Math.max(Math.abs(low), Math.abs(high));
    low = -high;
  }
  const pixels = new Uint8ClampedArray(numbers.length * 4).fill(255);
  numbers.forEach((value, i) => {
    const fraction = high > low ? (value - low) / (high - low) : signed ? 0.5 : 0;
    pixels.set(Number.isFinite(value) ? tableColour(signed ? SIGNED_COLOURS : LEVEL_COLOURS, fraction) : [128, 128, 128], i * 4);
  });
  return { pixels, low, high };
}

function drawMatrix({ title, values, rows, columns, signed, picks }, context) {
  const [h, w] = values.shape;
  const numbers = numbersOf(values);
  const { pixels, low, high } = matrixColours(numbers, signed);
  const cell = Math.max(6, Math.min(28, Math.floor(320 / Math.max(h, w))));
  const tall = Math.max(cell, Math.min(16, Math.floor(160 / h))); // few long rows: each is named and can be told from the next
  const readout = makeReadout();
  const name = `${title || "Matrix"}, ${h} by ${w}, from ${words(low)} to ${words(high)}`;
  const canvas = make("canvas", { role: "img", "aria-label": name });
  paintPixels(canvas, pixels, h, w);
  const keys = `${title || "matrix"}: arrow keys read the values${picks ? ", Enter picks" : ""}`;
  const surface = make("div", { class: "fl-surface", role: "group", tabindex: "0", "aria-label": keys }, canvas);
  surface.style.cssText = `width:${w * cell}px;height:${h * tall}px`;
  const tell = (row, column) => {
    readout.textContent = row === null ? "" : `${rows[row]}, ${columns[column]}: ${words(numbers[row * w + column])}`;
  };
  const at = walkCells(surface, surface, [h, w], tell, matrixStart(picks, context));
  if (picks) {
    const choose = () => {
      const pick = picks[at()[0]][at()[1]];
      if (pick) context.choose(pick);
    };
    surface.classList.add("fl-pickable");
    surface.addEventListener("click", choose);
    surface.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose();
    });
    markPickedCell(surface, picks, context, [h, w]);
  }
  const beside = labelsOf(rows, tall, "fl-matrix-rows");
  const over = labelsOf(columns, cell, "fl-matrix-columns");
  const box = make("div", { class: "fl-matrix" }, over, beside, surface);
  return [scroller(title || "matrix", box), scaleBar(low, high, signed), readout];
}

/** The cell whose pick is the current one, else the first. */
function matrixStart(picks, context) {
  const row = picks ? picks.findIndex((some) => some.some((pick) => isPicked(pick, context))) : -1;
  return row < 0 ? [0, 0] : [row, picks[row].findIndex((pick) => isPicked(pick, context))];
}

/** A frame around the picked cell, or around all neighbours in its row that would pick the same. */
function markPickedCell(surface, picks, context, [h, w]) {
  const [row, column] = matrixStart(picks, context);
  if (!isPicked(picks[row][column], context)) return;
  const after = picks[row].findIndex((pick, i) => i > column && !isPicked(pick, context));
  const cells = (after < 0 ? w : after) - column;
  const mark = make("span", { class: "fl-picked-cell", "aria-hidden": "true" });
  mark.style.cssText = `width:${(100 * cells) / w}%;height:${100 / h}%;left:${(column / w) * 100}%;top:${(row / h) * 100}%`;
  surface.append(mark);
}

/** Names along a side of a matrix; where cells are too small for all of them, as many as fit. */
function labelsOf(names, cell, kind) {
  const every = Math.ceil(14 / cell);
  const upright = kind === "fl-matrix-columns" && names.some((name) => name.length > 2);
  const labels = names.map((name, i) => make("span", {}, i % every === 0 ? name : ""));
  const side = make("div", { class: `${kind}${upright ? " fl-upright" : ""}`, "aria-hidden": "true" }, ...labels);
  side.style.setProperty("--fl-cell", `${cell}px`);
  return side;
}
