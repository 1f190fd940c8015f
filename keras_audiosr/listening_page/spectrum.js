// Power spectra as in the metrics: a periodic Hann window of 2048 samples, and the power divided by
// (sum of window / 2)^2.
"use strict";

const FRAME_LENGTH = 2048;
const BINS = FRAME_LENGTH / 2 + 1;
const FLOOR = -100; // dB, the floor of LSD
const AVERAGE_STEP = 512;

const hann = Float32Array.from({ length: FRAME_LENGTH }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / FRAME_LENGTH));
const twiddle = {
  re: Float32Array.from({ length: FRAME_LENGTH / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / FRAME_LENGTH)),
  im: Float32Array.from({ length: FRAME_LENGTH / 2 }, (_, i) => -Math.sin((2 * Math.PI * i) / FRAME_LENGTH)),
};
const reversed = new Uint16Array(FRAME_LENGTH);
for (let i = 1; i < FRAME_LENGTH; i++) reversed[i] = (reversed[i >> 1] >> 1) | (i & 1 ? FRAME_LENGTH >> 1 : 0);
const work = { re: new Float32Array(FRAME_LENGTH), im: new Float32Array(FRAME_LENGTH) };

// Fourier transform in place. The input is in bit-reversed order.
function fft(re, im) {
  for (let half = 1; half < FRAME_LENGTH; half *= 2) {
    const stride = FRAME_LENGTH / 2 / half;
    for (let start = 0; start < FRAME_LENGTH; start += 2 * half) {
      for (let i = 0, t = 0; i < half; i++, t += stride) {
        const even = start + i;
        const odd = even + half;
        const oddRe = re[odd] * twiddle.re[t] - im[odd] * twiddle.im[t];
        const oddIm = re[odd] * twiddle.im[t] + im[odd] * twiddle.re[t];
        re[odd] = re[even] - oddRe;
        im[odd] = im[even] - oddIm;
        re[even] += oddRe;
        im[even] += oddIm;
      }
    }
  }
}

// Adds the power of the frame that begins at sample `first`, averaged over the channels, to sums[0..BINS).
// Left and right are the real and the imaginary part of one transform: |X[k]|^2 + |X[-k]|^2 = 2 (|L|^2 + |R|^2).
function addPower(channels, first, sums) {
  const { re, im } = work;
  const left = channels[0];
  const right = channels[1];
  for (let i = 0; i < FRAME_LENGTH; i++) {
    const at = first + i;
    const inside = at >= 0 && at < left.length;
    re[reversed[i]] = inside ? left[at] * hann[i] : 0;
    im[reversed[i]] = inside && right ? right[at] * hann[i] : 0;
  }
  fft(re, im);
  const scale = 1 / (2 * channels.length * (FRAME_LENGTH / 4) ** 2);
  for (let k = 0; k < BINS; k++) {
    const m = (FRAME_LENGTH - k) % FRAME_LENGTH;
    sums[k] += scale * (re[k] ** 2 + im[k] ** 2 + re[m] ** 2 + im[m] ** 2);
  }
}

const decibels = (power) => Math.max(FLOOR, 10 * Math.log10(power));
const channelsOf = (buffer) => Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c));
const breathe = () => new Promise((resolve) => setTimeout(resolve)); // lets the page handle events in between

// Mean power of each bin over the whole signal, in dB: Float32Array(BINS).
async function averageSpectrum(buffer) {
  const channels = channelsOf(buffer);
  const sums = new Float64Array(BINS);
  const frames = Math.max(0, Math.floor((buffer.length - FRAME_LENGTH) / AVERAGE_STEP)) + 1;
  for (let frame = 0; frame < frames; frame++) {
    addPower(channels, frame * AVERAGE_STEP, sums);
    if (frame % 200 === 199) await breathe();
  }
  return Float32Array.from(sums, (sum) => decibels(sum / frames));
}

// Computes one frame for each column, centred on it, so that every zoom is as sharp as the window allows. Returns
// Float32Array(columns * BINS) in dB, or null if `cancelled()` becomes true in between.
async function levels(buffer, [from, to], columns, cancelled) {
  const channels = channelsOf(buffer);
  const found = new Float32Array(columns * BINS);
  const power = new Float64Array(BINS);
  for (let column = 0; column < columns; column++) {
    const centre = (from + ((column + 0.5) / columns) * (to - from)) * buffer.sampleRate;
    addPower(channels, Math.round(centre) - FRAME_LENGTH / 2, power.fill(0));
    for (let k = 0; k < BINS; k++) found[column * BINS + k] = decibels(power[k]);
    if (column % 100 === 99) {
      await breathe();
      if (cancelled()) return null;
    }
  }
  return found;
}
