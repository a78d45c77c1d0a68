// Who answers to a reader's own image: on the page onnxruntime-web with the exported network, both fetched when asked for; in Jupyter
// PyTorch. Either way `answer(values)` gives {outputs, milliseconds}, the same arrays by the same names (browser_answers.py):
// {name: {shape, values}}.

let ownRuntime = null; // a promise of onnxruntime-web: one for all networks of a page

/** The runtime from its sheet, a module from a blob: on file:// too, where browsers fetch neither modules nor WebAssembly. */
function loadRuntime(sheet, folder) {
  ownRuntime ??= startRuntime(sheet, folder);
  ownRuntime.catch(() => (ownRuntime = null)); // the next click tries again
  return ownRuntime;
}

async function startRuntime(sheet, folder) {
  const [{ module, wasm }] = await fetchStates(sheet, folder);
  sheets.delete(sheet); // 14 MB that nobody needs twice
  const address = URL.createObjectURL(new Blob([numbersOf(module)], { type: "text/javascript" }));
  try {
    const runtime = await import(address);
    runtime.env.wasm.numThreads = 1; // threads need headers that a plain server does not send
    runtime.env.wasm.wasmBinary = numbersOf(wasm);
    return runtime;
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** The network of the page: what is known of it, and its answers. */
async function pageNetwork({ runtime, network }, folder) {
  const [ort, [{ onnx, about }]] = await Promise.all([loadRuntime(runtime, folder), fetchStates(network, folder)]);
  const session = await ort.InferenceSession.create(numbersOf(onnx), { executionProviders: ["wasm"] });
  let last = Promise.resolve();
  const run = async (values) => {
    const start = performance.now();
    const found = await session.run({ image: new ort.Tensor("float32", values, [1, ...about.size]) });
    const milliseconds = performance.now() - start;
    const arrays = Object.entries(found).map(([name, { dims, data }]) => [name, { shape: dims.slice(1), values: data }]);
    return { outputs: Object.fromEntries(arrays), milliseconds };
  };
  const answer = (values) => {
    const answered = last.then(() => run(values)); // a session runs one image at a time
    last = answered.catch(() => {});
    return answered;
  };
  await answer(blankImage(about)); // the first run makes room; the reader's need not wait for it
  return { about, answer };
}

/** The same of a kernel: an image goes there, what Python computes comes back. */
function kernelNetwork(model) {
  const waiting = new Map();
  let asked = 0;
  model.on("msg:custom", ({ number, error, outputs }, buffers) => {
    const { resolve, reject, start } = waiting.get(number) ?? {};
    waiting.delete(number);
    if (error) return reject?.(new Error(error));
    const array = (one, i) => ({ shape: one.shape, values: numbersOf({ dtype: "float32", shape: one.shape, data: buffers[i] }) });
    const arrays = Object.fromEntries(outputs.map((one, i) => [one.name, array(one, i)]));
    return resolve?.({ outputs: arrays, milliseconds: performance.now() - start });
  });
  const answer = (values) =>
    new Promise((resolve, reject) => {
      waiting.set(++asked, { resolve, reject, start: performance.now() });
      model.send({ number: asked }, undefined, [values.buffer.slice(values.byteOffset, values.byteOffset + values.byteLength)]);
    });
  return { about: model.get("_about"), answer };
}
