// The explorer itself: its controls, and the way from a pick to new panels. Answers come from answers.js, panels.js draws them.

const LATER = 60; // milliseconds after which panels out of view follow: some frames; who steps on quickly does not wait for them
const LONG = 12; // an axis with more options gets buttons for the previous and the next

// Jupyter evaluates this script once per widget: the ids of two explorers on a page differ by chance, not by counting.
const SCRIPT = Math.random().toString(36).slice(2, 8);
let controlsMade = 0;

/** anywidget's entry: a model with the kernel behind it, an element to fill. */
function render({ model, el }) {
  return explore(el, kernelSource(model));
}

/** Every explorer of a page that is not alive yet. */
function mountAll() {
  for (const el of document.querySelectorAll("[data-filterlens-explorer]:not([data-mounted])")) {
    el.dataset.mounted = "";
    // Classes in place of :has() in the style sheet, which would make the browser look at the whole page at every pick.
    el.closest(".text_html")?.classList.add("fl-around");
    try {
      const state = JSON.parse(el.querySelector("script[type='application/json']").textContent);
      const source = pageSource(state, new URL(el.dataset.sheets, document.baseURI).href);
      explore(el, source, () => el.querySelector(".fl-fallback")?.remove());
    } catch (error) {
      // The others live on, and this one keeps the picture that stands for it.
      el.append(make("p", { class: "fl-message" }, `This explorer cannot be shown: ${error.message}`));
    }
  }
}

/** Build the controls and panels of one explorer; returns what undoes it. */
function explore(el, source, ready = () => {}) {
  const root = make("div", { class: "fl-explorer", role: "group", "aria-label": source.title });
  const controls = make("div", { class: "fl-controls" });
  const groups = source.renderers.map(() => make("div", { class: "fl-group" }));
  const body = make("div", { class: "fl-panels" }, ...groups);
  const status = make("div", { class: "fl-status", "aria-live": "polite" });
  const message = make("p", { class: "fl-message", role: "alert", hidden: true });
  root.append(controls, message, body, status);
  const choose = (partial) => {
    const pick = settle(source.axes, { ...source.pick(), ...partial });
    // A click means what it says or nothing.
    if (!Object.entries(partial).every(([name, value]) => pick[name] === value)) return;
    source.set(pick);
    update().then(() => whenIdle(() => warm(Object.keys(partial)[0]))); // whoever takes one step may take another
  };
  const warm = (name) => setTimeout(() => source.prefetch?.(name), LATER); // a pick that is made at once goes first
  const settings = buildControls(controls, source.axes, source.pick, choose, warm);
  let shown = 0; // the number of the last pick whose answers were asked for

  async function update() {
    const number = ++shown;
    const pick = settle(source.axes, source.pick());
    for (const setting of settings) setting(pick);
    root.setAttribute("aria-busy", "true");
    const all = source.renderers.map((_, i) => i);
    const near = all.filter((i) => isInView(groups[i]));
    for (const group of groups) group.toggleAttribute("data-waiting", true);
    const asked = new Map(source.live ? all.map((i) => [i, source.answer(i, pick)]) : []); // Python answers all at once
    let failure = "";
    const show = async (i) => {
      try {
        const panels = await (asked.get(i) ?? source.answer(i, pick));
        if (number === shown && panels) draw(groups[i], panels, pick, { choose, axes: source.axes });
      } catch (error) {
        failure = error.message;
        if (number === shown) clear(groups[i]); // what stands there is of another pick
      }
      if (number === shown) groups[i].removeAttribute("data-waiting");
    };
    // What can be seen is drawn first, what lies out of view when that has been painted.
    await Promise.all(near.map(show));
    if (number !== shown) return; // another pick has been made meanwhile
    root.dataset.pick = JSON.stringify(pick);
    if (near.length < all.length) {
      await new Promise((resolve) => setTimeout(resolve, LATER));
      if (number !== shown) return;
      await Promise.all(all.filter((i) => !near.includes(i)).map(show));
      if (number !== shown) return;
    }
    message.hidden = !failure;
    message.textContent = failure;
    root.removeAttribute("aria-busy");
    status.textContent = source.axes.filter((axis) => matters(axis, pick)).map((axis) => `${axis.label} ${nameOf(axis, pick[axis.name], pick)}`).join(", ");
  }

  // JupyterLab's own shortcuts would take the arrow keys from a control; its key bindings look at the focused element itself.
  root.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", ""));
  const stop = source.listen(update);
  if (source.live) el.append(root);
  update().then(() => {
    ready();
    if (!source.live) el.append(root); // until then a page shows the picture that stands for the explorer
  });
  return stop;
}

/** Whether a group's first panel can be seen now; one that is not there yet counts as seen. */
function isInView(group) {
  const figure = group.firstElementChild;
  if (!figure?.isConnected) return true;
  const { top, bottom } = figure.getBoundingClientRect();
  return bottom > 0 && top < window.innerHeight;
}

const whenIdle = (what) => (window.requestIdleCallback ? requestIdleCallback(what, { timeout: 500 }) : setTimeout(what, 50));

/** Replace a group's panels if they show anything else now; the focus stays on the same one of its buttons. */
function draw(group, panels, pick, { choose, axes }) {
  const names = axesIn(panels);
  for (const axis of [...axes].reverse()) if (names.has(axis.name)) axis.by.forEach((name) => names.add(name)); // they decide what can be clicked
  const mentioned = JSON.stringify([...names].map((name) => pick[name]));
  if (group.panels === panels && group.mentioned === mentioned) return;
  Object.assign(group, { panels, mentioned });
  const reachable = () => [...group.querySelectorAll("button, [tabindex]")];
  const called = (one) => one.getAttribute("aria-label") ?? one.querySelector("[aria-label]")?.getAttribute("aria-label") ?? one.textContent;
  const before = reachable();
  const focused = before.indexOf(group.getRootNode().activeElement);
  const name = focused >= 0 && called(before[focused]);
  group.replaceChildren(...chosenPanels(panels, pick).map((panel) => drawPanel(withPossiblePicks(panel, axes, pick), { pick, choose })));
  if (focused < 0) return;
  const after = reachable();
  // The one of the same name, at its place if there are several; else the panels, so that the next Tab goes on from here.
  const same = called(after[focused] ?? group) === name ? after[focused] : after.find((one) => called(one) === name);
  const next = same ?? group.querySelector("figure");
  if (next && !same) next.tabIndex = -1;
  next?.focus({ preventScroll: true });
}

function clear(group) {
  group.replaceChildren();
  Object.assign(group, { panels: null, mentioned: null });
}

/** The panel without those clicks that would set what its axes do not have: a page may hold fewer picks than Python. */
function withPossiblePicks(panel, axes, pick) {
  const possible = (wanted) => {
    if (!wanted) return null;
    const settled = settle(axes, { ...pick, ...wanted });
    return Object.entries(wanted).every(([name, value]) => settled[name] === value) ? wanted : null;
  };
  const clickable = (picture) => (picture.pick ? { ...picture, pick: possible(picture.pick) } : picture);
  const out = { ...panel };
  if (panel.picks) out.picks = panel.picks.map((some) => (Array.isArray(some) ? some.map(possible) : possible(some)));
  if (panel.pictures) out.pictures = panel.pictures.map(clickable);
  if (panel.picture) out.picture = clickable(panel.picture);
  if (panel.nodes) out.nodes = panel.nodes.map((node) => ({ ...node, picture: clickable(node.picture) }));
  return out;
}

/** The axes whose value changes how panels are drawn: thresholds, and what clicks would set. */
function axesIn(panels) {
  const names = new Set();
  const add = (pick) => pick && Object.keys(pick).forEach((name) => names.add(name));
  for (const panel of panels) {
    if (panel.threshold) names.add(panel.threshold);
    add(panel.picture?.pick);
    panel.picks?.flat().forEach(add);
    panel.pictures?.forEach((picture) => add(picture.pick));
    panel.nodes?.forEach((node) => add(node.picture.pick));
    for (const [wanted, some] of panel.cases ?? []) {
      add(wanted);
      axesIn(some).forEach((name) => names.add(name));
    }
  }
  return names;
}

// ------------------------------------------------------------------------------------------------ axes and their controls

/** What an axis holds under "options", "labels" or "marks" beside the values of a pick that it depends on. */
function beside(axis, kind, pick, as = (held) => held) {
  axis.beside ??= {};
  axis.beside[kind] ??= new Map(axis[kind].map(([owner, held]) => [JSON.stringify(owner), as(held)]));
  return axis.beside[kind].get(JSON.stringify(axis.by.map((name) => pick[name])));
}

/** The options of an axis beside the other values of a pick. */
function optionsOf(axis, pick) {
  return beside(axis, "options", pick);
}

/** Whether an axis decides anything beside the other values of a pick. */
function matters(axis, pick) {
  return axis.when.every(([name, options]) => options.includes(pick[name]));
}

/** What an option is called beside the other values of a pick. */
function nameOf(axis, option, pick) {
  const mark = textOf(axis, "marks", option, pick);
  return `${textOf(axis, "labels", option, pick) ?? option}${mark ? ` (${mark})` : ""}`;
}

/** What its axis says of an option, if anything: among its "labels" or "marks". */
function textOf(axis, kind, option, pick) {
  return beside(axis, kind, pick, (pairs) => new Map(pairs))?.get(option);
}

function optionElement(axis, option, pick) {
  const made = new Option(nameOf(axis, option, pick));
  made.classList.toggle("fl-marked", textOf(axis, "marks", option, pick) !== undefined);
  return made;
}

/** The pick with every value its axis does not allow replaced by the first that it does. */
function settle(axes, pick) {
  const settled = {};
  for (const axis of axes) {
    const options = optionsOf(axis, settled);
    settled[axis.name] = options.includes(pick[axis.name]) ? pick[axis.name] : options[0];
  }
  return settled;
}

/** One labelled control per axis; returns functions that show a pick in them. */
function buildControls(parent, axes, current, choose, warm) {
  let grid = null;
  return axes.map((axis) => {
    const id = `fl-${SCRIPT}-${++controlsMade}-${axis.name}`;
    const box = make("div", { class: "fl-control" }, make("label", { for: id }, axis.label));
    box.addEventListener("pointerenter", () => warm(axis.name)); // whoever reaches for a control is about to use it
    box.addEventListener("focusin", () => warm(axis.name));
    if (axis.cell) {
      if (!grid) parent.append((grid = make("div", { class: "fl-grid" })));
      box.style.gridArea = `${axis.cell[0] + 1} / ${axis.cell[1] + 1}`;
      grid.append(box);
    } else {
      parent.append(box);
    }
    return (axis.control === "slider" ? slider : select)(box, id, axis, current, choose);
  });
}

function select(box, id, axis, current, choose) {
  const field = make("select", { id, name: axis.name });
  let filled = null;
  const chosen = (index) => choose({ [axis.name]: optionsOf(axis, current())[index] });
  field.addEventListener("change", () => chosen(field.selectedIndex));
  box.append(field);
  const steps = [-1, 1].map((by) => {
    const label = `${by < 0 ? "previous" : "next"} ${axis.label}`;
    const button = make("button", { type: "button", class: "fl-step", "aria-label": label }, by < 0 ? "‹" : "›");
    // Not `disabled`, which would throw the focus off the button that was just pressed.
    button.addEventListener("click", () => button.ariaDisabled === "true" || chosen(field.selectedIndex + by));
    return button;
  });
  return (pick) => {
    const options = optionsOf(axis, pick);
    if (filled !== options) {
      field.replaceChildren(...options.map((option) => optionElement(axis, option, pick)));
      filled = options;
      if (options.length > LONG && !axis.cell) box.append(...steps);
      else steps.forEach((button) => button.remove());
    }
    field.selectedIndex = options.indexOf(pick[axis.name]);
    box.hidden = options.length < 2 || !matters(axis, pick); // nothing to choose
    steps[0].setAttribute("aria-disabled", field.selectedIndex === 0);
    steps[1].setAttribute("aria-disabled", field.selectedIndex === options.length - 1);
  };
}

function slider(box, id, axis, current, choose) {
  const field = make("input", { id, name: axis.name, type: "range", min: "0", step: "1" });
  const output = make("output", { for: id });
  field.addEventListener("input", () => choose({ [axis.name]: optionsOf(axis, current())[Number(field.value)] }));
  box.append(field, output);
  return (pick) => {
    const options = optionsOf(axis, pick);
    field.max = String(options.length - 1);
    field.value = String(options.indexOf(pick[axis.name]));
    output.textContent = nameOf(axis, pick[axis.name], pick);
    field.setAttribute("aria-valuetext", output.textContent);
    box.hidden = !matters(axis, pick);
  };
}
