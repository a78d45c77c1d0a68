// Points in a plane for panels.js: one of them can be picked, by a click near it or by keys. All points together are one stop of the
// Tab key, a list box whose options are the points.

Object.assign(DRAWN, { scatter: drawScatter });

const CLOUD = { width: 460, height: 380, edge: 16, below: 26 };

function drawScatter(panel, context) {
  const { title, names, values, value_label, highlight } = panel;
  const picks = panel.picks?.some(Boolean) ? panel.picks : null;
  const idle = (i) => picks !== null && !picks[i]; // a page may hold some of the points only
  const at = cloudPlaces(panel);
  const [low, high] = extentOf([{ values }], false);
  const readout = makeReadout();
  const picked = picks ? picks.findIndex((pick) => isPicked(pick, context)) : (highlight ?? -1);
  const say = (i) => `${names[i]}: ${value_label} ${words(values[i])}${i === picked ? " (picked)" : idle(i) ? " (not to be picked here)" : ""}`;
  const radius = names.length > 200 ? 3.5 : 5;
  const id = `fl-${SCRIPT}-${++controlsMade}-point`;
  const points = makeSvg("g");
  names.forEach((_, i) => {
    const colour = levelColour((values[i] - low) / (high - low));
    const state = { "aria-selected": picks ? String(i === picked) : null, "aria-disabled": idle(i) ? "true" : null };
    const look = { r: radius, fill: `rgb(${colour})`, class: `fl-point${idle(i) ? " fl-idle" : ""}` };
    const place = { cx: at.points[i][0].toFixed(1), cy: at.points[i][1].toFixed(1) };
    points.append(makeSvg("circle", { ...place, ...look, ...state, id: `${id}-${i}`, role: "option", "aria-label": say(i) }));
  });
  const cursor = makeSvg("circle", { r: radius + 4, class: "fl-point-cursor", visibility: "hidden", "aria-hidden": "true" });
  const svg = makeSvg("svg", { viewBox: `0 0 ${CLOUD.width} ${CLOUD.height}`, role: "none" }, cloudBehind(panel, at), points, cloudMarks(at), cursor);
  if (picked >= 0) svg.append(makeSvg("circle", { cx: at.points[picked][0], cy: at.points[picked][1], r: radius + 3, class: "fl-point-picked", "aria-hidden": "true" }));
  const stops = names.map((_, i) => i).filter((i) => !idle(i));
  const some = stops.length < names.length;
  const keys = `${title || "points"}: arrow keys go from point to point${some ? ", Page Up and Page Down between those that can be picked" : ""}${picks ? ", Enter picks" : ""}`;
  const surface = make("div", { class: `fl-scatter${picks ? " fl-pickable" : ""}`, role: "listbox", tabindex: "0", "aria-label": keys }, svg);
  walkPoints(surface, at.points, { start: Math.max(0, picked), stops: some ? stops : null, id, cursor, tell: (i) => (readout.textContent = i === null ? "" : say(i)), choose: picks && ((i) => picks[i] && context.choose(picks[i])) });
  const scale = make("div", { class: "fl-scatter-scale" }, make("span", {}, value_label), scaleBar(low, high, false));
  return [surface, cloudLegend(panel, some), scale, readout];
}

/** Where everything lies on the drawing; both directions have one scale, and the cloud stands in the middle. */
function cloudPlaces({ x, y, marks, outline }) {
  const extent = (axis, own) => extentOf([{ values: [...own, ...marks.map((mark) => mark[axis])] }], false);
  const [[left, right], [bottom, top]] = [extent(0, x), extent(1, y)];
  const [width, height] = [CLOUD.width - 2 * CLOUD.edge, CLOUD.height - 2 * CLOUD.edge - CLOUD.below];
  const scale = Math.min(width / (right - left), height / (top - bottom));
  const place = (px, py) => [
    CLOUD.edge + width / 2 + (px - (left + right) / 2) * scale,
    CLOUD.edge + height / 2 - (py - (bottom + top) / 2) * scale,
  ];
  return {
    points: [...x].map((px, i) => place(px, y[i])),
    marks: marks.map(([px, py]) => place(px, py)),
    outline: outline.map(([px, py]) => place(px, py)),
  };
}

/** What lies behind the points: frame, names of the axes, the outline, the links. */
function cloudBehind({ x_label, y_label, links, highlight }, { points, marks, outline }) {
  const behind = makeSvg("g", { "aria-hidden": "true" });
  const [right, bottom] = [CLOUD.width - 1, CLOUD.height - CLOUD.below];
  behind.append(makeSvg("rect", { x: 1, y: 1, width: right - 1, height: bottom - 1, class: "fl-cloud-frame" }));
  behind.append(makeSvg("text", { x: right / 2, y: CLOUD.height - 8, class: "fl-tick" }, x_label));
  behind.append(makeSvg("text", { x: 16, y: bottom / 2, class: "fl-tick", transform: `rotate(-90 16 ${bottom / 2})` }, y_label));
  if (outline.length > 1) behind.append(makeSvg("polygon", { points: outline.map((at) => at.map((n) => n.toFixed(1)).join(",")).join(" "), class: "fl-outline" }));
  for (const [mark, share] of links) {
    const [[x1, y1], [x2, y2]] = [points[highlight], marks[mark]];
    behind.append(makeSvg("line", { x1, y1, x2, y2, class: "fl-link", "stroke-width": (0.75 + 5 * share).toFixed(2) }));
  }
  return behind;
}

/** The marks: hollow diamonds, through which points can be seen. */
function cloudMarks({ marks }) {
  const size = marks.length > 60 ? 5 : 7;
  const path = marks.map(([x, y]) => `M${(x - size).toFixed(1)} ${y.toFixed(1)}l${size} ${-size}l${size} ${size}l${-size} ${size}z`).join("");
  return makeSvg("path", { d: path || "M0 0", class: "fl-diamond", "aria-hidden": "true" });
}

function cloudLegend({ marks, mark_label, outline, outline_label, links, link_label }, some) {
  const sign = (...shapes) => makeSvg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" }, ...shapes);
  const line = (kind) => sign(makeSvg("line", { x1: 0, x2: 16, y1: 8, y2: 8, class: kind, "stroke-width": 2 }));
  const items = [];
  if (some) items.push([sign(makeSvg("circle", { cx: 8, cy: 8, r: 5, class: "fl-point fl-idle" })), "not to be picked here"]);
  if (marks.length) items.push([sign(makeSvg("path", { d: "M2 8l6 -6l6 6l-6 6z", class: "fl-diamond" })), mark_label]);
  if (outline.length > 1) items.push([line("fl-outline"), outline_label]);
  if (links.length) items.push([line("fl-link"), link_label]);
  const list = items.map(([shape, label]) => make("li", {}, shape, label));
  return list.length ? make("ul", { class: "fl-legend" }, ...list) : "";
}

/**
 * Let the pointer find the nearest of the points and arrow keys step through them; `tell` hears which one (null when it leaves).
 * `stops`: the points that Page Up and Page Down go to, in order; null for every tenth.
 */
function walkPoints(surface, points, { start, stops, id, cursor, tell, choose }) {
  let at = start;
  const show = (i, seen) => {
    at = Math.min(points.length - 1, Math.max(0, i));
    surface.setAttribute("aria-activedescendant", `${id}-${at}`);
    cursor.setAttribute("cx", points[at][0]);
    cursor.setAttribute("cy", points[at][1]);
    cursor.setAttribute("visibility", seen ? "visible" : "hidden");
    tell(seen ? at : null);
  };
  const nearest = (event) => {
    const box = surface.querySelector("svg").getBoundingClientRect();
    const [px, py] = [((event.clientX - box.left) / box.width) * CLOUD.width, ((event.clientY - box.top) / box.height) * CLOUD.height];
    const far = points.map(([x, y]) => Math.hypot(x - px, y - py));
    return far.indexOf(Math.min(...far));
  };
  const page = (by) => {
    if (!stops) return 10 * by;
    const next = by > 0 ? stops.find((i) => i > at) : stops.findLast((i) => i < at);
    return (next ?? at) - at;
  };
  show(start, false);
  surface.addEventListener("pointermove", (event) => show(nearest(event), true));
  surface.addEventListener("pointerleave", (event) => show(at, event.pointerType === "touch" || surface.matches(":focus-visible")));
  surface.addEventListener("focus", () => show(at, surface.matches(":focus-visible")));
  surface.addEventListener("blur", () => show(at, false));
  surface.addEventListener("click", (event) => {
    show(nearest(event), true);
    choose?.(at);
  });
  surface.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const far = points.length;
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: page(1), PageUp: page(-1), Home: -far, End: far };
    if (event.key in steps) {
      event.preventDefault();
      show(at + steps[event.key], true);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose?.(at);
    }
  });
}
