// Loads the model and runs it in workers. If there are two cores, there are two workers, one for mid and one for side.
"use strict";

async function fetched(url) {
  const response = await fetch(url).catch(() => null);
  if (!response?.ok) throw new Error(`The page's own file ${url} cannot be loaded; build the page again, and open it through a web server.`);
  return response;
}

// Fetches a file of the page. arrived(share) is called with the share of its bytes that have arrived, 0 to 1.
async function fetchBytes(url, size, arrived) {
  const bytes = new Uint8Array(size);
  const reader = (await fetched(url)).body.getReader();
  let at = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (at + part.value.length <= size) bytes.set(part.value, at);
    at += part.value.length;
    arrived(at / size);
  }
  if (at !== size) throw new Error(`${url} must have ${size} bytes; received ${at}; build the page again.`);
  return bytes;
}

// A worker that answers requests. It runs the model or encodes FLAC.
class Hand {
  // script: file name of the worker; question: properties of its first request. An ArrayBuffer `model` is transferred.
  constructor(script, question = {}) {
    // The worker is made from a blob: URL, so that the policy in the head of the page applies to it as well.
    const source = `importScripts(${JSON.stringify(new URL(script, location).href)});`;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    this.worker = new Worker(url);
    const base = new URL(".", location).href;
    this.ready = this.ask({ type: "load", base, ...question });
    this.ready.then(() => URL.revokeObjectURL(url), () => {}); // restore() awaits `ready` and reports a failure
  }

  // Sends a request and returns its answer. There may be only one request at a time. Float32Arrays in `channels` are
  // transferred. progressed(share) is called with the share of the work that is done, 0 to 1.
  ask(question, progressed = () => {}) {
    return new Promise((resolve, reject) => {
      this.reject = reject;
      this.worker.onerror = () => reject(new Error("This browser could not start a worker."));
      this.worker.onmessage = ({ data }) => {
        if (data.type === "progress") progressed(data.done);
        else if (data.type === "answer") resolve(data);
        else reject(new Error(data.message));
      };
      const given = [question.model, ...(question.channels || []).map(({ buffer }) => buffer)].filter(Boolean);
      this.worker.postMessage(question, given);
    });
  }

  // Stops the worker. It must be terminated, because it receives no messages while it computes a window.
  end() {
    this.worker.terminate();
    this.reject(new DOMException("stopped", "AbortError"));
  }
}

class Restorer {
  // Fetches the model. arrived(share) is called as for `fetchBytes`.
  static async load(arrived) {
    const metadata = await (await fetched("model/metadata.json")).json();
    const model = await fetchBytes("model/model.tflite", metadata.files["model.tflite"].bytes, arrived);
    return new Restorer(metadata, model);
  }

  constructor(metadata, model) {
    Object.assign(this, { metadata, model, sampleRate: metadata.sample_rate });
    this.hire();
  }

  get ready() {
    return Promise.all(this.hands.map((hand) => hand.ready));
  }

  // Starts all workers before the first song, so that a song causes no requests.
  hire() {
    const { window_length: windowLength, context } = this.metadata;
    const count = Math.min(2, navigator.hardwareConcurrency || 1);
    this.hands = Array.from({ length: count }, () => new Hand("worker.js", { model: this.model.slice().buffer, windowLength, context }));
  }

  // channels: Float32Arrays, which are changed and transferred; gain: the encoder's gain; progressed(share): called
  // with the share of the work that is done, 0 to 1. Returns the restored channels, of the same number and length.
  async restore(channels, gain, progressed) {
    await this.ready;
    if (this.metadata.undo_encoder_gain && gain !== 1) {
      // This product is bit-exact with Python. The model amplifies rounding differences in silent highs.
      const factor = Math.fround(1 / gain);
      for (const channel of channels) channel.forEach((sample, index) => (channel[index] = sample * factor));
    }
    // Where an input channel is silent, the output channel is silent too, whatever its mid and side are.
    const silence = channels.map((channel) => silentRanges(channel, this.metadata.context));
    toMidSide(channels);
    const { hands } = this;
    const shares = hands.map((_, hand) => channels.filter((_, channel) => channel % hands.length === hand));
    const done = hands.map(() => 0);
    const answers = await Promise.all(
      hands.map(async (hand, index) => {
        if (!shares[index].length) return [];
        const weight = shares[index].length / channels.length;
        const answer = await hand.ask({ type: "restore", channels: shares[index] }, (share) => {
          done[index] = share * weight;
          progressed(done.reduce((sum, part) => sum + part));
        });
        return answer.channels;
      }),
    );
    const restored = channels.map((_, channel) => answers[channel % hands.length][Math.floor(channel / hands.length)]);
    toLeftRight(restored);
    restored.forEach((channel, index) => keepSilence(channel, silence[index]));
    return restored;
  }

  // Stops the restoration, which fails with an AbortError, and starts new workers for the next song.
  stop() {
    const { hands } = this;
    this.hire();
    for (const hand of hands) hand.end();
  }
}
