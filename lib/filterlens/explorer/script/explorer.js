// The explorer itself: controls, picks, and where answers come from. Drawing is in panels.js.
//
// A source answers a pick: `kernelSource` asks Python through the widget's model, `pageSource` takes the answer from the
// state embedded in the page, from a sheet (a file of baked states, fetched when first needed), or computes it.

const LONG = 12; // an axis with more options gets buttons for the previous and the next
const NEAR = 6; // so many options to either side are fetched when somebody reaches for a control

let explorers = 0;

/** anywidget's entry: a model with the kernel behind it, an element to fill. */
function render({ model, el }) {
  return explore(el, kernelSource(model));
}

/** Every explorer of a page that is not alive yet. */
function mountAll() {
  for (const el of document.querySelectorAll("[data-filterlens-explorer]:not([data-mounted])")) {
    el.dataset.mounted = "";
    const state = JSON.parse(el.querySelector("script[type='application/json']").textContent);
    const source = pageSource(state, new URL(el.dataset.sheets, document.baseURI).href);
    explore(el, source, () => el.querySelector(".fl-fallback")?.remove());
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
  const choose = (partial) => turn({ ...source.pick(), ...partial });
  const warm = (name) => source.prefetch?.(name);
  const settings = buildControls(controls, source.axes, source.pick, choose, warm);
  let shown = 0; // the number of the last pick whose answers were asked for

  function turn(pick) {
    source.set(settle(source.axes, pick));
    update();
  }

  async function update() {
    const number = ++shown;
    const pick = source.pick();
    for (const setting of settings) setting(pick);
    const answers = source.renderers.map((_, i) => source.answer(i, pick));
    if (answers.some((answer) => answer instanceof Promise)) root.setAttribute("aria-busy", "true");
    let failure = "";
    const drawn = answers.map(async (answer, i) => {
      try {
        const panels = answer instanceof Promise ? await answer : answer;
        if (number === shown && panels) draw(groups[i], panels, pick, choose);
      } catch (error) {
        failure = error.message;
      }
    });
    await Promise.all(drawn);
    if (number !== shown) return; // another pick has been made meanwhile
    message.hidden = !failure;
    message.textContent = failure;
    root.removeAttribute("aria-busy");
    status.textContent = source.axes.map((axis) => `${axis.label} ${nameOf(axis, pick[axis.name])}`).join(", ");
    root.dataset.pick = JSON.stringify(pick);
  }

  const stop = source.listen(update);
  update().then(() => {
    ready();
    el.append(root);
  });
  return stop;
}

/** Replace a group's panels if they show anything else now; the focus stays on the same one of its buttons. */
function draw(group, panels, pick, choose) {
  const mentioned = JSON.stringify([...axesIn(panels)].map((name) => pick[name]));
  if (group.panels === panels && group.mentioned === mentioned) return;
  Object.assign(group, { panels, mentioned });
  const reachable = () => [...group.querySelectorAll("button, [tabindex]")];
  const focused = reachable().indexOf(group.getRootNode().activeElement);
  group.replaceChildren(...panels.map((panel) => drawPanel(panel, { pick, choose })));
  if (focused >= 0) reachable()[focused]?.focus({ preventScroll: true });
}

/** The axes whose value changes how panels are drawn: thresholds, and what clicks would set. */
function axesIn(panels) {
  const names = new Set();
  const add = (pick) => pick && Object.keys(pick).forEach((name) => names.add(name));
  for (const panel of panels) {
    if (panel.threshold) names.add(panel.threshold);
    panel.picks?.flat().forEach(add);
    panel.pictures?.forEach((picture) => add(picture.pick));
    panel.nodes?.forEach((node) => add(node.picture.pick));
  }
  return names;
}

// ------------------------------------------------------------------------------------------------ axes and their controls

/** The options of an axis beside the other values of a pick. */
function optionsOf(axis, pick) {
  const key = JSON.stringify(axis.by.map((name) => pick[name]));
  axis.lists ??= new Map(axis.options.map(([owner, values]) => [JSON.stringify(owner), values]));
  return axis.lists.get(key);
}

/** What an option is called. */
function nameOf(axis, option) {
  axis.names ??= new Map(axis.labels);
  return String(axis.names.get(option) ?? option);
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
    const id = `fl-${++explorers}-${axis.name}`;
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
    button.addEventListener("click", () => chosen(field.selectedIndex + by));
    return button;
  });
  return (pick) => {
    const options = optionsOf(axis, pick);
    if (filled !== options) {
      field.replaceChildren(...options.map((option) => new Option(nameOf(axis, option))));
      filled = options;
      if (options.length > LONG && !axis.cell) box.append(...steps);
      else steps.forEach((button) => button.remove());
    }
    field.selectedIndex = options.indexOf(pick[axis.name]);
    steps[0].disabled = field.selectedIndex === 0;
    steps[1].disabled = field.selectedIndex === options.length - 1;
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
    output.textContent = nameOf(axis, pick[axis.name]);
    field.setAttribute("aria-valuetext", output.textContent);
  };
}

// -------------------------------------------------------------------------------------------------- where answers come from

/** Answers of a kernel: synced traits, one per axis and one per renderer. */
function kernelSource(model) {
  const axes = model.get("_axes");
  const renderers = model.get("_renderers");
  const waiting = new Map(); // renderer -> {pick, resolve}: who waits for which answer
  let setting = false;
  const isFor = (i, pick) => renderers[i].axes.every((name) => model.get(`_answer_${i}`).pick?.[name] === pick[name]);
  return {
    title: model.get("title"),
    axes,
    renderers,
    pick: () => Object.fromEntries(axes.map((axis) => [axis.name, model.get(axis.name)])),
    set(pick) {
      setting = true; // between two axes of one pick there is nothing to show
      for (const axis of axes) model.set(axis.name, pick[axis.name]);
      setting = false;
      model.save_changes();
    },
    answer(i, pick) {
      waiting.get(i)?.resolve(null); // an earlier pick, overtaken
      waiting.delete(i);
      if (isFor(i, pick)) return model.get(`_answer_${i}`).panels;
      return new Promise((resolve) => waiting.set(i, { pick, resolve }));
    },
    listen(update) {
      const turned = () => setting || update();
      function arrived(i) {
        const { pick, resolve } = waiting.get(i) ?? {};
        if (!resolve) update(); // Python has answered anew
        else if (isFor(i, pick)) {
          waiting.delete(i);
          resolve(model.get(`_answer_${i}`).panels);
        }
      }
      const handlers = axes.map((axis) => [`change:${axis.name}`, turned]);
      renderers.forEach((_, i) => handlers.push([`change:_answer_${i}`, () => arrived(i)]));
      for (const [event, handler] of handlers) model.on(event, handler);
      return () => handlers.forEach(([event, handler]) => model.off(event, handler));
    },
  };
}

/** Answers of a page: the first pick's are embedded, the others lie in sheets or are computed here. */
function pageSource(state, folder) {
  const { axes, renderers } = state;
  const first = { ...state.pick };
  let pick = { ...first };
  for (const renderer of renderers) {
    renderer.key = (from) => JSON.stringify(renderer.axes.map((name) => from[name]));
    renderer.isFirst = renderer.key(first);
  }
  return {
    title: state.title,
    axes,
    renderers,
    pick: () => pick,
    set: (chosen) => (pick = chosen),
    listen: () => () => {},
    answer(i, at) {
      const renderer = renderers[i];
      if (renderer.cached?.key === renderer.key(at)) return renderer.cached.panels;
      return answered(renderer, at, axes, folder).then((panels) => {
        renderer.cached = { key: renderer.key(at), panels };
        return panels;
      });
    },
    async prefetch(name) {
      const axis = axes.find((one) => one.name === name);
      const options = optionsOf(axis, pick);
      const at = options.indexOf(pick[name]);
      const near = options.slice(Math.max(0, at - NEAR), at + NEAR + 1);
      for (const other of near.map((option) => settle(axes, { ...pick, [name]: option }))) {
        for (const renderer of renderers) {
          if (renderer.sheets) await fetchSheet(renderer, numberOf(renderer, other, axes), folder).catch(() => {});
          else if (renderer.computed) await unpackOnce(renderer, "data", renderer.computed[1]);
        }
      }
    },
  };
}

async function answered(renderer, pick, axes, folder) {
  if (renderer.key(pick) === renderer.isFirst) return (await unpackOnce(renderer, "embedded", renderer.first))[0];
  if (renderer.computed) {
    const [data] = await unpackOnce(renderer, "data", renderer.computed[1]);
    return COMPUTED[renderer.computed[0]](data, pick);
  }
  const number = numberOf(renderer, pick, axes);
  const { states, start } = await fetchSheet(renderer, number, folder);
  return states[number - start];
}

/** Unpack a packed text once; its states from then on. */
async function unpackOnce(holder, name, text) {
  holder.unpacked ??= {};
  holder.unpacked[name] ??= unpack(text);
  return (await holder.unpacked[name]).states;
}

/** The place of a pick among all picks of a renderer's axes, the last axis running fastest: the order in which Python bakes. */
function numberOf(renderer, pick, axes) {
  const own = axes.filter((axis) => renderer.axes.includes(axis.name));
  let number = 0;
  const some = {};
  own.forEach((axis, depth) => {
    const options = optionsOf(axis, some);
    const before = options.slice(0, options.indexOf(pick[axis.name]));
    number += countBefore(own, depth, some, before);
    some[axis.name] = pick[axis.name];
  });
  return number;
}

/** How many picks have one of these options for axis `depth`; where no later axis depends on it, all have equally many. */
function countBefore(own, depth, some, options) {
  const { name } = own[depth];
  const below = (option) => {
    if (depth + 1 === own.length) return 1;
    const next = { ...some, [name]: option };
    return countBefore(own, depth + 1, next, optionsOf(own[depth + 1], next));
  };
  const matters = own.slice(depth + 1).some((axis) => axis.by.includes(name));
  if (!matters) return options.length && options.length * below(options[0]);
  return options.reduce((sum, option) => sum + below(option), 0);
}

// --------------------------------------------------------------------------------------------------------------- sheets

const arriving = new Map(); // name of a sheet -> what to do with its text
const sheets = new Map(); // name of a sheet -> promise of its states

if (typeof window !== "undefined") {
  window.filterlensSheet = (name, text) => arriving.get(name)?.(text);
}

/** The sheet that holds state `number`, with the number of its first state. Sheets are scripts: those load from file:// too. */
async function fetchSheet(renderer, number, folder) {
  let index = renderer.starts.length - 1;
  while (renderer.starts[index] > number) index -= 1;
  const name = renderer.sheets[index];
  if (!sheets.has(name)) {
    const promise = load(`${folder}${name}.js`, name).then(unpack);
    promise.catch(() => sheets.delete(name)); // the next pick tries again
    sheets.set(name, promise);
  }
  return { states: (await sheets.get(name)).states, start: renderer.starts[index] };
}

function load(address, name) {
  return new Promise((resolve, reject) => {
    const script = make("script", { src: address, async: true });
    arriving.set(name, resolve);
    script.onerror = () => reject(new Error(`This part of the page could not be loaded (${name}.js). Pick again to retry.`));
    script.onload = () => script.remove();
    document.head.append(script);
  });
}
