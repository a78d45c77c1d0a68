// The reader's own image: a card that offers to load a network, then a board and the explorer's panels, which follow what is drawn.
// own_network.js answers, own_panels.js says with what; controls and panels are the explorer's own (`explore`).

/** anywidget's entry in Jupyter: the network is Python's, nothing needs to be loaded. */
function renderOwn({ model, el }) {
  const way = { answered: "by Python", promise: "Your image goes to the kernel of this notebook, nowhere else." };
  return startOwn(el, kernelNetwork(model), model.get("title"), way).stop;
}

/** Every card of a page that is not alive yet. */
function mountOwn() {
  for (const el of document.querySelectorAll("[data-filterlens-own-image]:not([data-mounted])")) {
    el.dataset.mounted = "";
    el.closest(".text_html")?.classList.add("fl-around");
    offerOwn(el, JSON.parse(el.querySelector("script[type='application/json']").textContent));
  }
}

const ownOffers = new Set(); // of cards whose network is not loaded: what lets each say anew what it would load

/** A button that says what it loads; when it is pressed, the network takes its place. */
function offerOwn(el, { title, network, bytes, does, knows, files }) {
  const button = make("button", { type: "button", class: "fl-own-button" });
  const message = make("p", { class: "fl-message", role: "alert", hidden: true });
  const cost = make("p", { class: "fl-note" });
  const words = make("p", {}, `${does} ${network} runs in this page, so no image leaves it. ${knows}`);
  const card = make("div", { class: "fl-explorer fl-own", role: "group", "aria-label": title });
  card.append(make("strong", { class: "fl-title" }, title), words, button, cost, message);
  el.querySelector(".fl-fallback")?.remove();
  el.append(card);
  const say = () => {
    const [own, both] = [megabytes(bytes.network), megabytes(bytes.network + bytes.runtime)];
    const isWaiting = button.ariaDisabled === "true";
    button.textContent = isWaiting ? `Loading ${network} …` : `Load ${network} (${ownRuntime ? own : both})`;
    const parts = `the network, ${own}, and onnxruntime-web, which runs it, ${megabytes(bytes.runtime)}, from where this page comes from`;
    cost.textContent = ownRuntime ? "The button loads the network; what runs it is here already." : `The button loads ${parts}.`;
  };
  ownOffers.add(say);
  button.addEventListener("click", async () => {
    if (button.ariaDisabled === "true") return;
    button.setAttribute("aria-disabled", "true"); // not `disabled`, which would throw the focus off it
    message.hidden = true;
    const loading = pageNetwork(files, new URL(el.dataset.sheets, document.baseURI).href);
    for (const one of ownOffers) one();
    try {
      const loaded = await loading;
      ownOffers.delete(say);
      card.remove();
      startOwn(el, loaded, title, { answered: "in this page", promise: "Your image stays in this page." }).focus();
    } catch (error) {
      button.removeAttribute("aria-disabled");
      message.hidden = false;
      message.textContent = `${network} could not be loaded: ${error.message}`;
    } finally {
      for (const one of ownOffers) one();
    }
  });
  say();
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/** The board above an explorer whose answers are those to the board's image. */
function startOwn(el, network, title, { answered, promise }) {
  const { about } = network;
  const first = about.examples ? exampleAt(about, 0) : blankImage(about);
  const source = ownSource(network, title, first);
  const stop = explore(el, source);
  const root = el.lastElementChild;
  root.classList.add("fl-own");
  let next = null;
  let isBusy = false;
  const present = async (values) => {
    next = values; // of what is drawn while the network works only the latest is answered
    if (isBusy) return;
    isBusy = true;
    try {
      while (next) {
        const [image, start] = [next, performance.now()];
        next = null;
        const { outputs, milliseconds } = await source.show(image);
        const said = performance.now() - start;
        board.say(`${readAs({ image, outputs, about })}. Answered ${answered} in ${Math.max(1, Math.round(milliseconds))} ms.`);
        await source.follow();
        const whole = performance.now() - start;
        root.dispatchEvent(new CustomEvent("filterlens-answer", { bubbles: true, detail: { image, outputs, milliseconds, said, whole } }));
      }
    } catch (error) {
      board.say(`${about.network} gave no answer: ${error.message}`);
    } finally {
      isBusy = false;
    }
  };
  const board = makeBoard(about, present, root, promise);
  root.prepend(make("strong", { class: "fl-title" }, title), board.element);
  board.show(first);
  return { stop, focus: board.focus };
}

/** Answers to the present image; `show(values)` makes another one present and gives its arrays, `follow()` lets the panels follow. */
function ownSource(network, title, first) {
  const { about } = network;
  const renderers = ownRenderers(about);
  let pick = settle(about.axes, about.start);
  let image = first;
  let present = null; // a promise of the answer to `image`
  let update = () => {};
  const ask = () => (present ??= network.answer(image));
  return {
    live: true, // the panels stand in the page from the start
    title,
    axes: about.axes,
    renderers,
    pick: () => pick,
    set: (chosen) => (pick = chosen),
    listen(changed) {
      update = changed;
      return () => {};
    },
    async answer(i, at) {
      const renderer = renderers[i];
      const seen = image;
      const asked = ask();
      const { outputs } = await asked;
      const key = JSON.stringify(renderer.axes.map((name) => at[name]));
      if (renderer.of !== asked || renderer.key !== key) {
        Object.assign(renderer, { of: asked, key, shown: renderer.panels({ image: seen, outputs, about, pick: at }) });
      }
      return renderer.shown;
    },
    show(values) {
      if (values !== image) [image, present] = [values, null];
      return ask();
    },
    follow: () => update(),
  };
}
