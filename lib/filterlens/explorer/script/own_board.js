// Where a reader's own image comes from: a board to draw on (mouse, finger, pen or keys), a file, a camera, a drop, an example.
// own_pixels.js makes of it what the network was trained on; `changed(values)` hears planes [c, h, w] in [0, 1].

const FINE = 10; // pixels of the board for each of the image's
const PEN = 2.2 * FINE; // MNIST's strokes are two to three pixels wide
const LARGEST_FILE = 50e6; // bytes; what is larger is hardly a photograph, and unpacked it may take all memory
const LARGEST_SIDE = 16; // times the image's: a photograph is made so small by the browser before its pixels are averaged
const KEYS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

/** The board of a network as {element, show, focus, say}; `drops` is what files may be dropped on, `promise` where images go. */
function makeBoard(about, changed, drops, promise) {
  const [channels, h, w] = about.size;
  const drawable = channels === 1;
  const canvas = make("canvas", { width: w * FINE, height: h * FINE, class: "fl-own-canvas" });
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  const stage = make("div", { class: "fl-own-stage" }, canvas);
  const status = make("p", { class: "fl-own-status", "aria-live": "polite" });
  const message = make("p", { class: "fl-message", role: "alert", hidden: true });
  const centre = make("input", { type: "checkbox", checked: true });
  const tell = (text) => ((message.hidden = !text), (message.textContent = text));

  let isGiven = false; // what stands on the board is no drawing: the first stroke replaces it
  const begin = () => {
    if (isGiven) brush.clearRect(0, 0, canvas.width, canvas.height);
    isGiven = false;
  };
  const show = (values) => {
    isGiven = true;
    paintEnlarged(brush, imagePicture(values, about.size, "image"));
    tell("");
    changed(values);
  };
  const clear = () => show(blankImage(about));
  const drawn = () => {
    const fine = planesOf(brush.getImageData(0, 0, w * FINE, h * FINE).data, 1, w * h * FINE * FINE);
    tell("");
    changed(centre.checked ? centredDigit(fine, [h * FINE, w * FINE], [h, w]) : areaAverage(fine, [1, h * FINE, w * FINE], [h, w]));
  };
  let accepted = 0; // the number of the latest file: an earlier one that takes longer is overtaken
  const accept = async (file) => {
    if (!file) return;
    const [number, name] = [++accepted, file.name || "This file"];
    if (file.size > LARGEST_FILE) {
      tell(`${name} has ${megabytes(file.size)}; expected an image of at most ${megabytes(LARGEST_FILE)}.`);
      return;
    }
    try {
      const values = await imageOfFile(file, about.size);
      if (number === accepted) show(values);
    } catch {
      if (number === accepted) tell(`${name} cannot be read as an image; expected one that this browser shows, such as PNG or JPEG.`);
    }
  };

  const tools = make("div", { class: "fl-own-tools" });
  if (drawable) {
    letDraw(canvas, brush, stage, { begin, drawn, say: (text) => (status.textContent = text) });
    centre.addEventListener("change", drawn);
    const clearing = make("button", { type: "button", class: "fl-own-button" }, "Clear");
    clearing.addEventListener("click", clear);
    const centring = make("label", { class: "fl-own-check" }, centre, " centre it as MNIST's digits are");
    tools.append(make("div", { class: "fl-own-row" }, clearing, centring));
  } else {
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "your image");
  }
  const camera = filePicker("Take a photograph", { capture: "environment" }, accept);
  camera.classList.add("fl-own-camera"); // only where there may be one
  tools.append(examplesRow(about, show), filePicker("Choose an image", {}, accept), camera);
  const keys = "With keys: arrows move the pen, Shift in longer steps, Space lowers and lifts it, Delete clears.";
  const ways = drawable
    ? `Draw with mouse, finger or pen. ${keys} Or drop an image here.`
    : "Drop an image here: its central square is made as small as the network's images are.";
  tools.append(status, message, make("p", { class: "fl-note" }, ways), make("p", { class: "fl-note" }, `${promise} ${about.knows}`));
  acceptDrops(drops, accept);
  const element = make("div", { class: "fl-own-board" }, stage, tools);
  const focus = () => (drawable ? canvas : tools.querySelector("input, button")).focus();
  return { element, show, focus, say: (text) => (status.textContent = text) };
}

/** A black image of a network's size. */
function blankImage(about) {
  return new Float32Array(about.size.reduce((product, n) => product * n, 1));
}

/** A picture's pixels as squares that fill a canvas. */
function paintEnlarged(brush, picture) {
  const small = make("canvas");
  paint(small, picture);
  brush.imageSmoothingEnabled = false;
  brush.drawImage(small, 0, 0, brush.canvas.width, brush.canvas.height);
}

/** White strokes on the canvas by pointer and keys; `begin` is called before each, `drawn` after each change. */
function letDraw(canvas, brush, stage, { begin, drawn, say }) {
  const names = { role: "application", "aria-label": "drawing board", "aria-roledescription": "drawing board", tabindex: "0" };
  for (const [name, value] of Object.entries(names)) canvas.setAttribute(name, value);
  const tip = make("span", { class: "fl-own-tip", hidden: true });
  stage.append(tip);
  let pointer = null; // the place of a pointer that is down
  let pen = [canvas.width / 2, canvas.height / 2]; // of the keys
  let isDown = false;
  const line = (from, to) => {
    Object.assign(brush, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: "#ffffff" });
    brush.beginPath();
    brush.moveTo(...from);
    brush.lineTo(...to);
    brush.stroke();
  };
  const placeOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * canvas.width, ((event.clientY - box.top) / box.height) * canvas.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture?.(event.pointerId);
    pointer = placeOf(event);
    begin();
    line(pointer, pointer);
    drawn();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!pointer) return;
    for (const one of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
      const to = placeOf(one);
      line(pointer, to);
      pointer = to;
    }
    drawn();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (pointer = null));

  const showTip = () => {
    tip.hidden = false;
    tip.classList.toggle("fl-own-down", isDown);
    tip.style.cssText = `left:${(pen[0] / canvas.width) * 100}%;top:${(pen[1] / canvas.height) * 100}%`;
    say(`Pen ${isDown ? "down" : "up"}, column ${Math.floor(pen[0] / FINE) + 1}, row ${Math.floor(pen[1] / FINE) + 1}.`);
  };
  const keys = {
    move([x, y], far) {
      const step = FINE * (far ? 4 : 1);
      const within = (value, most) => Math.min(most - FINE / 2, Math.max(FINE / 2, value));
      const to = [within(pen[0] + x * step, canvas.width), within(pen[1] + y * step, canvas.height)];
      if (isDown) line(pen, to);
      pen = to;
      if (isDown) drawn();
    },
    press() {
      isDown = !isDown;
      if (!isDown) return;
      begin();
      line(pen, pen);
      drawn();
    },
    clear() {
      isDown = false;
      brush.clearRect(0, 0, canvas.width, canvas.height);
      drawn();
    },
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (KEYS[event.key]) keys.move(KEYS[event.key], event.shiftKey);
    else if (event.key === " " || event.key === "Enter") keys.press();
    else if (event.key === "Delete" || event.key === "Backspace") keys.clear();
    else return;
    event.preventDefault();
    showTip();
  });
  canvas.addEventListener("blur", () => ((isDown = false), (tip.hidden = true)));
}

function examplesRow(about, show) {
  if (!about.examples) return "";
  const [count, ...shape] = about.examples.shape;
  const size = shape.reduce((product, n) => product * n, 1);
  const all = numbersOf(about.examples);
  const buttons = Array.from({ length: count }, (_, i) => {
    const steps = all.slice(i * size, (i + 1) * size);
    const canvas = make("canvas", { role: "img", "aria-label": `example: ${about.titles[i]}` });
    paint(canvas, { values: { dtype: "uint8", shape, data: steps }, low: 0, high: 1 });
    const button = make("button", { type: "button", class: "fl-own-example", title: about.titles[i] }, canvas);
    button.addEventListener("click", () => show(exampleAt(about, i)));
    return button;
  });
  return make("div", { class: "fl-own-row", role: "group", "aria-label": "examples" }, ...buttons);
}

/** Example i as planes [c, h, w] in [0, 1]. */
function exampleAt(about, i) {
  const [channels, h, w] = about.size;
  const steps = numbersOf(about.examples).subarray(i * channels * h * w, (i + 1) * channels * h * w);
  return Float32Array.from(steps, (_, at) => steps[(at % (h * w)) * channels + Math.floor(at / (h * w))] / 255);
}

function filePicker(label, attributes, accept) {
  const field = make("input", { type: "file", accept: "image/*", ...attributes });
  field.addEventListener("click", () => (field.value = "")); // the same file again is a choice too
  field.addEventListener("change", () => accept(field.files[0]));
  return make("label", { class: "fl-own-file" }, make("span", {}, label), field);
}

function acceptDrops(target, accept) {
  const isFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const mark = (on) => target.classList.toggle("fl-own-over", on);
  target.addEventListener("dragover", (event) => isFile(event) && (event.preventDefault(), mark(true)));
  target.addEventListener("dragleave", () => mark(false));
  target.addEventListener("drop", (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    mark(false);
    accept(event.dataTransfer.files[0]);
  });
}

/** The pixels of an image file as the network wants them: of its very size as they are, of any other its central square, made small. */
async function imageOfFile(file, [channels, h, w]) {
  const picture = await createImageBitmap(file);
  const canvas = make("canvas");
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  const isOwn = picture.width === w && picture.height === h;
  const side = Math.min(picture.width, picture.height);
  const most = isOwn ? side : Math.min(side, LARGEST_SIDE * Math.max(h, w));
  Object.assign(canvas, isOwn ? { width: w, height: h } : { width: most, height: most });
  Object.assign(brush, { imageSmoothingQuality: "high", fillStyle: "#ffffff" });
  brush.fillRect(0, 0, canvas.width, canvas.height); // behind what is transparent
  const cut = isOwn ? [0, 0, w, h] : [(picture.width - side) / 2, (picture.height - side) / 2, side, side];
  brush.drawImage(picture, ...cut, 0, 0, canvas.width, canvas.height);
  picture.close();
  const planes = planesOf(brush.getImageData(0, 0, canvas.width, canvas.height).data, channels, canvas.width * canvas.height);
  if (isOwn) return planes;
  if (channels === 1) return centredDigit(inkOf(planes), [most, most], [h, w]);
  return areaAverage(planes, [channels, most, most], [h, w]);
}
