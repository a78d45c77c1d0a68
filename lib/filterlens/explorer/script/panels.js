// Panels to the page: a frame with title and note around each kind's drawing. Pictures, trees, numbers and words are drawn
// here; bars in bars.js, curves and matrices in charts.js. A panel is never changed, but drawn anew.

const DRAWN = {
  picture: drawPicture,
  pictures: drawPictures,
  bars: drawBars,
  curve: drawCurve,
  matrix: drawMatrix,
  numbers: drawNumbers,
  text: drawText,
  tree: drawTree,
  error: drawError,
};
const LARGE = 224; // pixels on the screen of the longer side of a picture that has a panel of its own
const PART = 150; // of one of its three parts
const NODE = 64; // of a picture in a tree
const SLOT = 88; // the distance of neighbours in a tree
const MANY = 100; // bars from which on they take the whole width
const PARTS = ["whole", "positive", "negative"];

/** A panel as a <figure>; `context` is {pick, choose(partial pick)}. A panel that cannot be drawn says so in its place. */
function drawPanel(panel, context) {
  const drawing = Object.hasOwn(DRAWN, panel.kind) ? DRAWN[panel.kind] : unknownKind;
  let parts;
  try {
    parts = drawing(panel, context);
  } catch (error) {
    parts = drawError({ text: `This panel cannot be drawn: ${error.message}` });
  }
  const figure = make("figure", { class: `fl-panel fl-panel-${panel.kind}` });
  const title = panel.title && make("strong", { class: "fl-title" }, panel.title);
  const note = panel.note && make("span", { class: "fl-note" }, panel.note);
  if (title || note) figure.append(make("figcaption", {}, title, note));
  figure.append(...parts);
  if (panel.kind === "bars" && panel.labels.length > MANY) figure.classList.add("fl-many");
  if (figure.querySelector(".fl-columns")) figure.classList.add("fl-wide");
  return figure;
}

function unknownKind(panel) {
  throw new Error(`panel kind: got ${panel.kind}, expected one of ${Object.keys(DRAWN).join(", ")}`);
}

// ---------------------------------------------------------------------------------------------------------------- elements

/** An element with attributes and children; attributes that are null or false are left out, as are empty children. */
function make(tag, attributes = {}, ...children) {
  return equip(document.createElement(tag), attributes, children);
}

function makeSvg(tag, attributes = {}, ...children) {
  return equip(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function equip(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child || child === 0));
  return made;
}

/** The line below a drawing that says in words what the pointer or the keys are on. */
function makeReadout() {
  return make("p", { class: "fl-readout", "aria-live": "polite" });
}

/** Whether the explorer's pick already is what a click would set. */
function isPicked(pick, context) {
  return Boolean(pick) && Object.entries(pick).every(([axis, value]) => context.pick[axis] === value);
}

/** A button that sets axes; without a pick a plain element. */
function pickable(pick, context, attributes, ...children) {
  if (!pick) return make("div", attributes, ...children);
  const pressed = String(isPicked(pick, context));
  const button = make("button", { type: "button", "aria-pressed": pressed, ...attributes }, ...children);
  button.addEventListener("click", () => context.choose(pick));
  return button;
}

/** A box that scrolls sideways when it must; one without buttons takes the focus itself, so that keys can scroll it. */
function scroller(label, content) {
  const reachable = content.querySelector("button, [tabindex='0']") !== null;
  return make("div", { class: "fl-scroll", tabindex: reachable ? null : "0", role: "group", "aria-label": label }, content);
}

/**
 * Let the pointer, and the arrow keys on `target`, walk over h x w equal cells of `surface`.
 * `tell` hears (row, column), or (null) when they leave. Returns where the walk is.
 */
function walkCells(target, surface, [h, w], tell, start = [0, 0]) {
  const cursor = make("span", { class: "fl-cursor", hidden: true });
  const size = `width:${100 / w}%;height:${100 / h}%`;
  let at = start;
  surface.append(cursor);
  const within = (value, count) => Math.min(count - 1, Math.max(0, value));
  const go = (row, column) => {
    at = [within(row, h), within(column, w)];
    cursor.style.cssText = `${size};left:${(at[1] / w) * 100}%;top:${(at[0] / h) * 100}%`;
    cursor.hidden = false;
    tell(...at);
  };
  const leave = (event) => {
    if (event.pointerType === "touch") return; // a lifted finger leaves what it has touched in sight
    cursor.hidden = true;
    tell(null);
  };
  const point = (event) => {
    const box = surface.getBoundingClientRect();
    go(Math.floor(((event.clientY - box.top) / box.height) * h), Math.floor(((event.clientX - box.left) / box.width) * w));
  };
  surface.addEventListener("pointermove", point);
  surface.addEventListener("pointerdown", point);
  surface.addEventListener("pointerleave", leave);
  target.addEventListener("blur", leave);
  target.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const step = steps[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (cursor.hidden) go(...at);
    else go(at[0] + step[0], at[1] + step[1]);
  });
  return () => at;
}

// ---------------------------------------------------------------------------------------------------------------- pictures

/** Width and height on the screen: a whole multiple of the picture's pixels where it is smaller than `size`. */
function sizeOnScreen(picture, size) {
  const [h, w] = picture.values.shape;
  const longer = Math.max(h, w);
  const factor = longer < size ? Math.max(1, Math.round(size / longer)) : size / longer;
  return [Math.max(4, w * factor), Math.max(4, h * factor)];
}

/** A picture with its label beneath, and its values in `readout` when pointed at. */
function thumbnail(picture, context, { size, readout, label = picture.label, alt = picture.alt, shown = {}, focusable = false }) {
  const [h, w] = picture.values.shape;
  const [width, height] = sizeOnScreen(picture, size);
  const canvas = make("canvas", { role: "img", "aria-label": alt, tabindex: focusable && !picture.pick ? "0" : null });
  paint(canvas, picture, shown);
  const frame = picture.frame ? ` fl-frame-${picture.frame}` : "";
  const smooth = width < w ? " fl-smooth" : "";
  const surface = make("span", { class: `fl-surface${frame}${smooth}` }, canvas);
  surface.style.cssText = `width:${width}px;aspect-ratio:${width}/${height}`;
  // A label that the alternative text repeats need not be read twice.
  const caption = label && make("span", { class: "fl-label", "aria-hidden": alt.includes(label) ? "true" : null }, label);
  const made = pickable(picture.pick, context, { class: "fl-picture" }, surface, caption);
  const named = label && label !== picture.alt ? `${label} · ` : "";
  const tell = (row, column) => {
    readout.textContent = row === null ? "" : named + pixelWords(picture, row, column, shown);
  };
  walkCells(picture.pick ? made : canvas, surface, [h, w], tell);
  return made;
}

function drawPicture({ picture, threshold, parts }, context) {
  const readout = makeReadout();
  const limit = threshold === null ? 0 : Number(context.pick[threshold]) || 0;
  const row = make("div", { class: "fl-row" });
  if (parts) {
    for (const part of PARTS) {
      const alt = part === "whole" ? picture.alt : `${picture.alt}, the ${part} part only`;
      const shown = { threshold: limit, part };
      row.append(thumbnail(picture, context, { size: PART, readout, label: part, alt, shown, focusable: part === "whole" }));
    }
  } else {
    row.append(thumbnail(picture, context, { size: LARGE, readout, shown: { threshold: limit }, focusable: true }));
  }
  const signed = picture.values.dtype === "int8" && picture.high > 0;
  return [row, signed && scaleBar(-picture.high, picture.high, true), readout].filter(Boolean);
}

/** A strip of the colours of a scale, with the numbers at its ends. */
function scaleBar(low, high, signed) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const pixels = new Uint8ClampedArray(256 * 4).fill(255);
  for (let i = 0; i < 256; i++) pixels.set(signed ? SIGNED_COLOURS[i] : LEVEL_COLOURS[i], i * 4);
  paintPixels(canvas, pixels, 1, 256);
  return make("p", { class: "fl-scale" }, make("span", {}, words(low)), canvas, make("span", {}, words(high)));
}

function drawPictures({ title, pictures, columns, arrows, size }, context) {
  const readout = makeReadout();
  const kinds = { "fl-row": !columns, "fl-grid-of-pictures": columns, "fl-steps": arrows, "fl-buttons": pictures[0].pick };
  const row = make("div", { class: Object.keys(kinds).filter((name) => kinds[name]).join(" ") });
  if (columns) row.style.setProperty("--fl-columns", columns);
  pictures.forEach((picture, i) => {
    const made = thumbnail(picture, context, { size, readout });
    // The arrow stays with the picture it points to when the row wraps.
    const arrow = arrows && i > 0 && make("span", { class: "fl-arrow", "aria-hidden": "true" }, "→");
    row.append(arrow ? make("div", { class: "fl-step-to" }, arrow, made) : made);
  });
  return [columns ? scroller(title || "pictures", row) : row, readout];
}

// -------------------------------------------------------------------------------------------------------------------- tree

/**
 * Places in a tree, in slots from 0: each node as near to its parents and children as its neighbours in the level allow.
 * Takes levels [number] and edges [[parent, child, share]]; returns a place per node.
 */
function placeNodes(levels, edges) {
  const rows = [];
  levels.forEach((level, node) => (rows[level] ??= []).push(node));
  const filled = rows.filter(Boolean);
  const places = levels.map(() => 0);
  const joined = levels.map(() => []);
  for (const [parent, child] of edges) {
    joined[parent].push(child);
    joined[child].push(parent);
  }
  const mean = (nodes) => nodes.reduce((sum, node) => sum + places[node], 0) / nodes.length;
  for (const row of filled) row.forEach((node, i) => (places[node] = i - (row.length - 1) / 2));
  for (const row of filled.slice(1)) {
    const above = new Map(row.map((node) => [node, joined[node].filter((other) => levels[other] < levels[node])]));
    const wanted = new Map(row.map((node) => [node, above.get(node).length ? mean(above.get(node)) : places[node]]));
    row.sort((a, b) => wanted.get(a) - wanted.get(b)); // stable: siblings keep their order
    spread(row.map((node) => wanted.get(node))).forEach((place, i) => (places[row[i]] = place));
  }
  for (let sweep = 0; sweep < 12; sweep++) {
    for (const row of sweep % 2 ? filled : [...filled].reverse()) {
      const wanted = row.map((node) => (joined[node].length ? mean(joined[node]) : places[node]));
      spread(wanted).forEach((place, i) => (places[row[i]] = place));
    }
  }
  const first = Math.min(...places);
  return places.map((place) => place - first);
}

/** The places nearest to the wanted ones (least squares) that keep their order and a distance of 1: pooled neighbours. */
function spread(wanted) {
  const pools = [];
  wanted.forEach((place, i) => {
    pools.push({ sum: place - i, count: 1 });
    for (let last = pools.length - 1; last > 0; last--) {
      const [a, b] = [pools[last - 1], pools[last]];
      if (a.sum / a.count <= b.sum / b.count) break;
      pools.splice(last - 1, 2, { sum: a.sum + b.sum, count: a.count + b.count });
    }
  });
  return pools.flatMap(({ sum, count }) => Array(count).fill(sum / count)).map((place, i) => place + i);
}

function drawTree({ title, nodes, edges }, context) {
  const readout = makeReadout();
  const places = placeNodes(nodes.map((node) => node.level), edges);
  const rows = [...new Set(nodes.map((node) => node.level))].sort((a, b) => a - b);
  const tallest = Math.max(...nodes.map((node) => sizeOnScreen(node.picture, NODE)[1]));
  const longest = Math.max(...nodes.map((node) => node.picture.label.length));
  const below = tallest + 14 + 18 * Math.ceil(longest / 13); // about 13 letters fit into a line of a label
  const x = places.map((place) => (place + 0.5) * SLOT);
  const y = nodes.map((node) => rows.indexOf(node.level) * (below + 64));
  const [width, height] = [(Math.max(...places) + 1) * SLOT, Math.max(...y) + below];
  const lines = makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  const texts = edges.map(([parent, child, share]) => {
    const [from, to] = [[x[parent], y[parent] + below], [x[child], y[child] - 6]];
    const minus = share < 0 ? " fl-edge-minus" : "";
    const thick = 1 + 7 * Math.min(1, Math.abs(share));
    const bend = (from[1] + to[1]) / 2;
    const path = `M${from[0]} ${from[1]}C${from[0]} ${bend} ${to[0]} ${bend} ${to[0]} ${to[1]}`;
    lines.append(makeSvg("path", { d: path, class: `fl-edge${minus}`, "stroke-width": thick.toFixed(1) }));
    return makeSvg("text", { x: to[0], y: to[1] - 9, class: `fl-share${minus}` }, percent(share));
  });
  lines.append(...texts); // above all lines
  const tree = make("div", { class: "fl-tree" }, lines);
  tree.style.cssText = `width:${width}px;height:${height}px`;
  nodes.forEach(({ picture }, i) => {
    const place = make("div", { class: "fl-node" }, thumbnail(picture, context, { size: NODE, readout }));
    place.style.cssText = `left:${x[i]}px;top:${y[i]}px;width:${SLOT - 8}px`;
    tree.append(place);
  });
  const box = scroller(title || "tree", tree);
  // A wide tree opens at the middle, where its root is.
  requestAnimationFrame(() => (box.scrollLeft = (width - box.clientWidth) / 2));
  return [box, relationsOf(nodes, edges), readout];
}

/** What the lines of a tree say, as a list for those who do not see them. */
function relationsOf(nodes, edges) {
  const name = ({ picture }) => picture.label || picture.alt;
  const items = nodes.flatMap((node, i) => {
    const children = edges.filter(([parent]) => parent === i).map(([, child, share]) => `${name(nodes[child])} (${percent(share)})`);
    return children.length ? [make("li", {}, `${name(node)}: ${children.join(", ")}`)] : [];
  });
  return items.length ? make("ul", { class: "fl-hidden" }, ...items) : make("span", { class: "fl-hidden" });
}

// ------------------------------------------------------------------------------------------------------- numbers and words

function drawNumbers({ rows }) {
  const list = make("dl", { class: "fl-numbers" });
  for (const [label, text, explanation] of rows) {
    const meaning = explanation && make("dd", { class: "fl-meaning" }, explanation);
    list.append(make("div", {}, make("dt", {}, label), make("dd", {}, text), meaning));
  }
  return [list];
}

function drawText({ text }) {
  return text.split(/\n\s*\n/).filter((paragraph) => paragraph.trim()).map((paragraph) => make("p", {}, paragraph));
}

function drawError({ text }) {
  return [make("p", { class: "fl-error", role: "alert" }, text)];
}
