// A worker that runs the model. It is a classic worker, because LiteRT.js loads its WebAssembly with importScripts.
"use strict";

let predict, shape;

// base: URL of the page's folder; model: ArrayBuffer with the TFLite file; lengths: {windowLength, context} in samples.
async function load({ base, model, ...lengths }) {
  importScripts(new URL("overlap_save.js", base));
  const { loadLiteRt, loadAndCompile, Tensor } = await import(new URL("litert/core.js", base));
  // Emscripten looks for the WebAssembly beside the script of the worker, but a blob: URL has no folder.
  self.Module = { locateFile: (name) => new URL(`litert/${name}`, base).href };
  await loadLiteRt(new URL("litert/", base).href);
  const network = await loadAndCompile(new Uint8Array(model), { accelerator: "wasm" });
  shape = lengths;
  predict = async (window) => {
    const lossy = new Tensor(window, [1, window.length, 1]);
    const [restored] = await network.run([lossy]);
    const samples = restored.toTypedArray().slice(); // copied, because the tensor's memory is freed
    lossy.delete();
    restored.delete();
    return samples;
  };
  return {};
}

// channels: Float32Arrays of mid, side or single channels. Each is restored independently.
async function restore({ channels }) {
  const { windowLength, context } = shape;
  const total = channels.length * Math.ceil(channels[0].length / (windowLength - 2 * context));
  let done = 0;
  const progressed = () => postMessage({ type: "progress", done: ++done / total });
  const restored = [];
  for (const channel of channels) restored.push(await overlapSave(channel, predict, windowLength, context, progressed));
  return { channels: restored };
}

onmessage = async ({ data }) => {
  try {
    const answer = await (data.type === "load" ? load : restore)(data);
    postMessage({ type: "answer", ...answer }, (answer.channels || []).map(({ buffer }) => buffer));
  } catch (error) {
    postMessage({ type: "failed", message: `This browser cannot run the model: ${error.message || error}` });
  }
};
