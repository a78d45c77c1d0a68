// Where answers come from. A source knows the present pick and answers it: `kernelSource` asks Python through the widget's model,
// `pageSource` takes the answer from what is embedded in the page, from a sheet (a file of baked states, fetched when first
// needed), or computes it.

const NEAR = 6; // so many options to either side are fetched when somebody reaches for a control

/** Answers of a kernel: synced traits, one per axis and one per renderer. */
function kernelSource(model) {
  const axes = model.get("_axes");
  const renderers = model.get("_renderers");
  const waiting = new Map(); // renderer -> {pick, resolve}: who waits for which answer
  let setting = false;
  const isFor = (i, pick) => renderers[i].axes.every((name) => model.get(`_answer_${i}`).pick?.[name] === pick[name]);
  return {
    live: true,
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
      const isCurrent = () => renderer.key(pick) === renderer.key(at);
      return answered(renderer, at, axes, folder, isCurrent).then((panels) => {
        renderer.cached = { key: renderer.key(at), panels };
        return panels;
      });
    },
    async prefetch(name) {
      const axis = axes.find((one) => one.name === name);
      const options = optionsOf(axis, pick);
      const at = options.indexOf(pick[name]);
      const near = options.slice(Math.max(0, at - NEAR), at + NEAR + 1);
      near.sort((a, b) => Math.abs(options.indexOf(a) - at) - Math.abs(options.indexOf(b) - at));
      for (const other of near.map((option) => settle(axes, { ...pick, [name]: option }))) {
        for (const renderer of renderers) {
          if (renderer.key(other) === renderer.isFirst) continue; // that lies in the page
          if (renderer.sheets) await fetchSheet(renderer, numberOf(renderer, other, axes), folder).catch(() => {});
          else if (renderer.computed) await dataOf(renderer, folder).catch(() => {});
        }
      }
    },
  };
}

async function answered(renderer, pick, axes, folder, isCurrent) {
  if (renderer.key(pick) === renderer.isFirst) return (await unpackOnce(renderer, "embedded", renderer.first))[0];
  if (renderer.computed) {
    const pause = async () => {
      await afterPaint();
      if (!isCurrent()) throw new Error("Another pick has been made meanwhile.");
    };
    return COMPUTED[renderer.computed[0]](await dataOf(renderer, folder), pick, pause);
  }
  const number = numberOf(renderer, pick, axes);
  const { states, start } = await fetchSheet(renderer, number, folder);
  if (!states[number - start]) throw new Error("The page holds no answer to this pick.");
  return states[number - start];
}

/** What the page computes a renderer's panels from: embedded in the page, or a file beside it that is fetched when first needed. */
async function dataOf(renderer, folder) {
  if (renderer.sheet) return (await fetchStates(renderer.sheet, folder))[0];
  return (await unpackOnce(renderer, "data", renderer.computed[1]))[0];
}

/** When what has been drawn is in sight: long computations go on from there. A page out of sight paints nothing, and need not wait. */
function afterPaint() {
  return new Promise((resolve) => {
    const paint = typeof requestAnimationFrame === "function" ? requestAnimationFrame : setTimeout;
    const late = setTimeout(resolve, 100);
    paint(() => setTimeout(() => (clearTimeout(late), resolve()), 0));
  });
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
  return { states: await fetchStates(renderer.sheets[index], folder), start: renderer.starts[index] };
}

async function fetchStates(name, folder) {
  if (!sheets.has(name)) {
    const promise = load(`${folder}${name}.js`, name).then(unpack);
    promise.catch(() => sheets.delete(name)); // the next pick tries again
    sheets.set(name, promise);
  }
  return (await sheets.get(name)).states;
}

function load(address, name) {
  return new Promise((resolve, reject) => {
    const script = make("script", { src: address, async: true });
    arriving.set(name, resolve);
    script.onerror = () => reject(new Error(`This part of the page could not be loaded (${name}.js). Pick again to retry.`));
    script.onload = () => {
      script.remove();
      script.onerror(); // says nothing any more, unless the file held something else
    };
    document.head.append(script);
  });
}
