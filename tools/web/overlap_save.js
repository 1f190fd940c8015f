// Runs a model with fixed windows over music of any length, without seams. keras_audiosr/sound/framing.py explains how.
"use strict";

// input: Float32Array of one channel; predict(window): function that returns as many samples as it receives;
// progressed(): function that is called after each window.
async function overlapSave(input, predict, windowLength, context, progressed) {
  const output = new Float32Array(input.length);
  const step = windowLength - 2 * context;
  for (let start = 0; start < input.length; start += step) {
    // The signal is preceded and followed by zeros.
    const window = new Float32Array(windowLength);
    const first = start - context;
    const from = Math.max(0, first);
    window.set(input.subarray(from, first + windowLength), from - first);
    if (window.some((sample) => sample !== 0)) {
      const centre = (await predict(window)).subarray(context, context + Math.min(step, input.length - start));
      if (!centre.every(Number.isFinite)) throw new Error("The model returned samples that are not finite.");
      output.set(centre, start);
    }
    progressed();
  }
  keepSilence(output, silentRanges(input, context));
  return output;
}

// Returns ranges [from, to) of samples whose whole context consists of exact zeros. Before and after the music all
// samples count as zeros.
function silentRanges(input, context) {
  const { length } = input;
  const ranges = [];
  for (let from = 0; from < length; from++) {
    if (input[from] !== 0) continue;
    let to = from;
    while (to < length && input[to] === 0) to++;
    ranges.push([from === 0 ? 0 : from + context, to === length ? length : Math.max(0, to - context)]);
    from = to;
  }
  return ranges.filter(([from, to]) => from < to);
}

// Sets the output to exact zeros in these ranges.
function keepSilence(output, ranges) {
  for (const [from, to] of ranges) output.fill(0, from, to);
}
