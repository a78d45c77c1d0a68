// Bars for panels.js, and what they share with charts.js: what is drawn can also be read by pointer, by arrow keys, in words.

const BUTTONS = 32; // up to so many bars each is a button; beyond, one control with arrow keys
const SERIES = 8; // colours and dashes of series; beyond, they begin again
const LYING = 20; // up to so many bars with long labels lie on their side

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** The smallest and largest number of several series; `withZero` for bars. */
function extentOf(series, withZero) {
  const values = series.flatMap((one) => [...one.values]).filter(isNumber);
  let low = values.reduce((a, b) => Math.min(a, b), withZero ? 0 : Infinity);
  let high = values.reduce((a, b) => Math.max(a, b), withZero ? 0 : -Infinity);
  if (!(high > low)) [low, high] = isNumber(low) && !withZero ? [low - 1, high + 1] : [0, 1];
  return [low, high];
}

function legendOf(series) {
  if (series.length < 2) return null;
  const swatch = (i) => make("span", { class: `fl-swatch fl-series-${i % SERIES}`, "aria-hidden": "true" });
  const items = series.map((one, i) => make("li", {}, swatch(i), one.name));
  return make("ul", { class: "fl-legend" }, ...items);
}

/** "b 0.3" or, of several series, "found 0.3, expected 0.4". */
function valuesAt(series, i) {
  return series.map((one) => `${series.length > 1 ? `${one.name} ` : ""}${words(one.values[i] ?? NaN)}`).join(", ");
}

/** The three largest of each series, for those who do not see the bars. */
function largestOf(labels, series) {
  const said = series.map((one) => {
    const order = labels.map((_, i) => i).filter((i) => isNumber(one.values[i]));
    order.sort((a, b) => one.values[b] - one.values[a]);
    const three = order.slice(0, 3).map((i) => `${labels[i]} (${words(one.values[i])})`);
    return `${series.length > 1 && one.name ? `${one.name}, largest` : "largest"}: ${three.join(", ")}`;
  });
  return `Bars of ${labels.length} values; ${said.join("; ")}.`;
}

/**
 * One control for many places: a slider over `surface` whose arrow keys move along them.
 * `places` are fractions of the width, in order; `say(i)` gives the words for one; `go(i)`, if any, sets the axes.
 */
function placeReader(surface, readout, { places, start, label, say, go }) {
  const last = places.length - 1;
  const range = { "aria-valuemin": 0, "aria-valuemax": last };
  const slider = make("div", { class: "fl-reader", role: "slider", tabindex: "0", "aria-label": label, ...range });
  const cursor = make("span", { class: "fl-cursor-line", hidden: true });
  let at = start;
  const tell = (i, shown) => {
    at = Math.min(last, Math.max(0, i));
    slider.setAttribute("aria-valuenow", at);
    slider.setAttribute("aria-valuetext", say(at));
    cursor.style.left = `${places[at] * 100}%`;
    cursor.hidden = !shown;
    readout.textContent = shown ? say(at) : "";
  };
  const under = (event) => {
    const box = slider.getBoundingClientRect();
    const far = places.map((place) => Math.abs(place - (event.clientX - box.left) / box.width));
    return far.indexOf(Math.min(...far));
  };
  tell(start, false);
  slider.addEventListener("pointermove", (event) => tell(under(event), true));
  slider.addEventListener("pointerleave", (event) => tell(at, event.pointerType === "touch" || slider.matches(":focus-visible")));
  slider.addEventListener("focus", () => tell(at, slider.matches(":focus-visible")));
  slider.addEventListener("blur", () => tell(at, false));
  slider.addEventListener("click", (event) => {
    tell(under(event), true);
    go?.(at);
  });
  slider.addEventListener("keydown", (event) => {
    const far = places.length;
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -far, End: far };
    const step = steps[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const before = at;
    tell(at + step, true);
    if (at !== before) go?.(at);
  });
  surface.append(cursor, slider);
}

// -------------------------------------------------------------------------------------------------------------------- bars

function drawBars(panel, context) {
  const { labels, series } = panel;
  const longest = Math.max(...labels.map((label) => label.length));
  const lying = labels.length <= LYING && longest > 3;
  return lying ? lyingBars(panel, context) : standingBars(panel, context);
}

/** Rows of label, bar and value: all there is to say stands there. */
function lyingBars({ labels, series, highlight, picks, cut }, context) {
  const [low, high] = extentOf(series, true);
  const percentOf = (value) => ((value - low) / (high - low)) * 100;
  const zero = percentOf(0);
  const rows = labels.map((label, i) => {
    const track = make("span", { class: "fl-track", "aria-hidden": "true" });
    track.style.setProperty("--fl-zero", `${zero}%`);
    series.forEach((one, s) => {
      const value = isNumber(one.values[i]) ? one.values[i] : 0;
      const bar = make("span", { class: `fl-bar fl-series-${s % SERIES}` });
      bar.style.cssText = `left:${Math.min(zero, percentOf(value))}%;width:${Math.abs(percentOf(value) - zero)}%`;
      track.append(bar);
    });
    const marked = (i === highlight ? " fl-highlight" : "") + (isCut(i, cut) ? " fl-beyond" : "");
    const name = make("span", { class: "fl-bar-label" }, label, i === highlight && make("span", { class: "fl-hidden" }, " (marked)"));
    const said = series.map((one) => {
      const name = series.length > 1 && make("span", { class: "fl-hidden" }, `${one.name} `);
      return make("span", {}, name, words(one.values[i] ?? NaN));
    });
    const value = make("span", { class: `fl-value${said.length > 1 ? " fl-several" : ""}` }, ...said);
    return make("li", { class: i === cut && i > 0 ? "fl-cut" : null }, pickable(picks?.[i], context, { class: `fl-bar-row${marked}` }, name, track, value));
  });
  return [legendOf(series), make("ul", { class: "fl-bars-lying" }, ...rows)].filter(Boolean);
}

/** Columns over a common zero line; up to 32 that can be picked are buttons. */
function standingBars({ title, labels, series, highlight, picks, cut }, context) {
  const count = labels.length;
  const [low, high] = extentOf(series, true);
  const readout = makeReadout();
  const picked = picks ? picks.findIndex((pick) => isPicked(pick, context)) : -1;
  const place = (i) => (isNumber(cut) ? (isCut(i, cut) ? " (beyond the line)" : " (before the line)") : "");
  const notes = (i) => (i === highlight ? " (marked)" : picks && !picks[i] ? " (not to be picked here)" : place(i));
  const say = (i) => `${labels[i]}: ${valuesAt(series, i)}${notes(i)}`;
  const box = { viewBox: `0 0 ${count} 1`, preserveAspectRatio: "none" };
  const svg = makeSvg("svg", { ...box, role: "img", "aria-label": largestOf(labels, series) });
  const top = (value) => (high - value) / (high - low);
  const share = (count > 100 ? 1 : 0.8) / series.length;
  series.forEach((one, s) => {
    const bar = (i) => {
      const left = i + (1 - share * series.length) / 2 + s * share;
      if (!isNumber(one.values[i])) return "";
      return `M${left.toFixed(3)} ${top(0)}V${top(one.values[i]).toFixed(4)}h${share.toFixed(3)}V${top(0)}z`;
    };
    const rest = labels.map((_, i) => (i === highlight || isCut(i, cut) ? "" : bar(i))).join("");
    svg.append(makeSvg("path", { d: rest, class: `fl-fill fl-series-${s % SERIES}` }));
    const beyond = labels.map((_, i) => (i !== highlight && isCut(i, cut) ? bar(i) : "")).join("");
    if (beyond) svg.append(makeSvg("path", { d: beyond, class: `fl-fill fl-series-${s % SERIES} fl-beyond` }));
    if (highlight !== null) svg.append(makeSvg("path", { d: bar(highlight), class: `fl-fill fl-series-${s % SERIES} fl-highlight` }));
  });
  svg.append(makeSvg("line", { x1: 0, x2: count, y1: top(0), y2: top(0), class: "fl-zero" }));
  if (isNumber(cut)) svg.append(makeSvg("line", { x1: cut, x2: cut, y1: 0, y2: 1, class: "fl-cut-line" }));
  const plot = make("div", { class: "fl-plot" }, svg);
  const asButtons = picks && count <= BUTTONS;
  if (asButtons) {
    plot.append(columnButtons({ picks, context, say, readout }));
  } else {
    const go = picks && ((i) => picks[i] && context.choose(picks[i]));
    const places = labels.map((_, i) => (i + 0.5) / count);
    placeReader(plot, readout, { places, start: picked >= 0 ? picked : highlight ?? 0, label: title || "bars", say, go });
  }
  if (picked >= 0 && !asButtons) markColumn(plot, picked, count, "fl-picked");
  if (highlight !== null) markColumn(plot, highlight, count, "fl-mark");
  const chart = make("div", { class: "fl-chart" }, axisNumbers(low, high), plot, ticksBelow(labels));
  if (asButtons) chart.style.minWidth = `${count * 24 + 56}px`;
  return [legendOf(series), asButtons ? scroller(title || "bars", chart) : chart, readout].filter(Boolean);
}

/** Whether bar i lies beyond the line that stands after `cut` bars, if there is one. */
function isCut(i, cut) {
  return isNumber(cut) && i >= cut;
}

function columnButtons({ picks, context, say, readout }) {
  const columns = make("div", { class: "fl-columns" });
  picks.forEach((pick, i) => {
    const column = pickable(pick, context, { class: "fl-column", "aria-label": pick ? say(i) : null });
    const tell = (text) => () => (readout.textContent = text);
    for (const event of ["pointerenter", "focus"]) column.addEventListener(event, tell(say(i)));
    for (const event of ["pointerleave", "blur"]) column.addEventListener(event, tell(""));
    columns.append(column);
  });
  return columns;
}

function markColumn(plot, i, count, name) {
  const mark = make("span", { class: name, "aria-hidden": "true" });
  mark.style.cssText = `left:${(i / count) * 100}%;width:${100 / count}%`;
  plot.append(mark);
}

/** The ends of the scale, and zero where it lies apart from both. */
function axisNumbers(low, high) {
  const axis = make("div", { class: "fl-axis", "aria-hidden": "true" });
  const apart = (value) => Math.abs(value) > (high - low) * 0.12;
  const shown = low < 0 && high > 0 ? [high, 0, low].filter((value) => value === 0 || apart(value)) : [high, low];
  for (const value of shown) {
    const number = make("span", {}, words(value));
    number.style.top = `${((high - value) / (high - low)) * 100}%`;
    axis.append(number);
  }
  return axis;
}

/** Labels below bars: all if they are short and few, else the first and the last. */
function ticksBelow(labels) {
  const longest = Math.max(...labels.map((label) => label.length));
  const few = labels.length * Math.max(2, longest) <= 64;
  const ends = labels.length > 1 ? [labels[0], labels.at(-1)] : labels;
  const names = (few ? labels : ends).map((label) => make("span", {}, label));
  const kind = !few ? " fl-ticks-ends" : labels.length > 12 ? " fl-ticks-many" : ""; // many take turns on two lines
  return make("div", { class: `fl-ticks${kind}`, "aria-hidden": "true" }, ...names);
}
