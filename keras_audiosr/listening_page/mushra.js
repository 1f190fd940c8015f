// A rating test with a hidden reference and anchors (MUSHRA), after ITU-R BS.1534-3.
"use strict";

// Upper ends of the anchors' pass-bands in Hz. Section 5.1 allows a ripple of 0.1 dB in the pass-band. For the lower
// anchor it requires an attenuation of 25 dB at 4 kHz and 50 dB at 4.5 kHz.
const ANCHORS = [3500, 7000];
const TRANSITION = 1 / 7; // width of the transition band as a share of the pass-band: from 3.5 to 4 kHz
const ATTENUATION = 70; // dB above the transition band
const TRUSTED = 90; // lowest score of the hidden reference that counts as recognized

// Modified Bessel function of the first kind of order 0, computed by its series.
function bessel(x) {
  let sum = 1;
  for (let term = 1, k = 1; term > 1e-12 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

// Taps of a linear-phase low-pass filter, a sinc with a Kaiser window (Oppenheim and Schafer, section 7.5.3).
function lowPass(passBand, sampleRate) {
  const width = (passBand * TRANSITION * 2 * Math.PI) / sampleRate;
  const half = Math.ceil((ATTENUATION - 8) / (2.285 * width) / 2);
  const beta = 0.1102 * (ATTENUATION - 8.7);
  const cutoff = (passBand * (1 + TRANSITION / 2)) / sampleRate;
  return Float32Array.from({ length: 2 * half + 1 }, (_, i) => {
    const at = i - half;
    const sinc = at ? Math.sin(2 * Math.PI * cutoff * at) / (Math.PI * at) : 2 * cutoff;
    return (sinc * bessel(beta * Math.sqrt(1 - (at / half) ** 2))) / bessel(beta);
  });
}

// The low-passed reference, as an AudioBuffer of the same length and without a delay.
async function anchor(reference, passBand) {
  const { length, numberOfChannels, sampleRate } = reference;
  const taps = lowPass(passBand, sampleRate);
  const late = (taps.length - 1) / 2;
  const context = new OfflineAudioContext(numberOfChannels, length + late, sampleRate);
  const kernel = new AudioBuffer({ length: taps.length, numberOfChannels: 1, sampleRate });
  kernel.copyToChannel(taps, 0);
  const filter = new ConvolverNode(context, { buffer: kernel, disableNormalization: true });
  const source = new AudioBufferSourceNode(context, { buffer: reference });
  source.connect(filter).connect(context.destination);
  source.start();
  const filtered = await context.startRendering();
  const found = new AudioBuffer({ length, numberOfChannels, sampleRate });
  for (let c = 0; c < numberOfChannels; c++) found.copyToChannel(filtered.getChannelData(c).subarray(late), c);
  return found;
}

// The numbers 0 ... count - 1 in random order (Fisher-Yates shuffle).
function shuffled(count) {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    // With 32 random bits the bias of the remainder is negligible for a few sounds.
    const j = crypto.getRandomValues(new Uint32Array(1))[0] % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

class MushraRun {
  #order; // index of the sound behind each number; private, so that the page cannot show it before the end

  // sounds: [{name, file, index}], where index is that of the player's buffer.
  constructor(sounds) {
    Object.assign(this, { sounds, started: new Date().toISOString(), heard: new Set() });
    this.scores = sounds.map(() => null); // scores in the order of the numbers
    this.#order = shuffled(sounds.length);
  }

  // Index of the player's buffer behind a number.
  listen(number) {
    this.heard.add(number);
    return this.sounds[this.#order[number]].index;
  }

  rate(number, score) {
    this.scores[number] = score;
  }

  get missing() {
    return this.scores.filter((score, number) => score === null || !this.heard.has(number)).length;
  }

  // The scores in the order of the sounds, or null if some are missing.
  get result() {
    if (this.missing) return null;
    const { started, sounds, scores } = this;
    return sounds.map(({ name, file }, sound) => {
      const number = this.#order.indexOf(sound);
      return { started, name, file, position: number + 1, score: scores[number] };
    });
  }
}

// runs: results of MushraRun; about: {title, start, duration}.
function mushraCsv(runs, { title, start, duration }) {
  const cell = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
  const rows = [["title", "start", "duration", "run", "started", "position", "sound", "file", "score"]];
  runs.forEach((run, index) =>
    run.forEach(({ started, position, name, file, score }) =>
      rows.push([title, start, duration, index + 1, started, position, name, file, score]),
    ),
  );
  return rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
}
