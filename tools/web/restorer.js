// The model, and the workers that run it: two where there are cores, for mid and side.
"use strict";

async function fetched(url) {
  const response = await fetch(url).catch(() => null);
  if (!response?.ok) throw new Error(`The page's own file ${url} cannot be loaded; build the page again, and open it from a web server.`);
  return response;
}

// The bytes of a file of the page; arrived(share of all) as they come.
async function fetchBytes(url, size, arrived) {
  const bytes = new Uint8Array(size);
  const reader = (await fetched(url)).body.getReader();
  let at = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (at + part.value.length <= size) bytes.set(part.value, at);
    at += part.value.length;
    arrived(at / size);
  }
  if (at !== size) throw new Error(`${url} must have ${size} bytes; ${at} came; build the page again.`);
  return bytes;
}

// A worker that answers questions: one with the model in it, or the one that encodes FLAC.
class Hand {
  // script: name of its file; question: what it is told at first; an ArrayBuffer `model` in it is given away.
  constructor(script, question = {}) {
    // From a blob:, so that the policy in the page's head holds in the worker as well.
    const source = `importScripts(${JSON.stringify(new URL(script, location).href)});`;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    this.worker = new Worker(url);
    const base = new URL(".", location).href;
    this.ready = this.ask({ type: "load", base, ...question });
    this.ready.then(() => URL.revokeObjectURL(url), () => {}); // restore() awaits `ready` and reports a failure
  }

  // One question at a time. progressed(share of the work).
  ask(question, progressed = () => {}) {
    return new Promise((resolve, reject) => {
      this.reject = reject;
      this.worker.onerror = () => reject(new Error("This browser cannot do this: a worker does not start."));
      this.worker.onmessage = ({ data }) => {
        if (data.type === "progress") progressed(data.done);
        else if (data.type === "answer") resolve(data);
        else reject(new Error(data.message));
      };
      const given = [question.model, ...(question.channels || []).map(({ buffer }) => buffer)].filter(Boolean);
      this.worker.postMessage(question, given);
    });
  }

  // A worker in the midst of a window hears nothing: it is ended.
  end() {
    this.worker.terminate();
    this.reject(new DOMException("stopped", "AbortError"));
  }
}

class Restorer {
  // Fetches the model; arrived(share of its bytes).
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

  // All at once and before any song: a song makes the page ask for nothing.
  hire() {
    const { window_length: windowLength, context } = this.metadata;
    const count = Math.min(2, navigator.hardwareConcurrency || 1);
    this.hands = Array.from({ length: count }, () => new Hand("worker.js", { model: this.model.slice().buffer, windowLength, context }));
  }

  // channels: Float32Arrays, which are given away; gain: what their encoder gave them; progressed(share of the work).
  // Returns as many of the same length.
  async restore(channels, gain, progressed) {
    await this.ready;
    if (this.metadata.undo_encoder_gain && gain !== 1) {
      // Bit-exact with Python: the model fills in silent highs, so a different rounding there would change the result.
      const factor = Math.fround(1 / gain);
      for (const channel of channels) channel.forEach((sample, index) => (channel[index] = sample * factor));
    }
    // Of what goes in only this is needed later: a silent channel stays silent, whatever mid and side are there.
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

  // What restores at the moment fails with an AbortError; the next song finds other workers.
  stop() {
    const { hands } = this;
    this.hire();
    for (const hand of hands) hand.end();
  }
}
