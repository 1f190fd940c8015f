// Converts left and right to mid and side, which the model restores. keras_audiosr/sound/mid_side.py explains why.
"use strict";

// Indices of left and right channels, by number of channels.
const PAIRS = {
  2: [[0, 1]],
  3: [[0, 1]],
  4: [[0, 1]],
  5: [[0, 1], [3, 4]],
  6: [[0, 1], [4, 5]],
  7: [[0, 1], [5, 6]],
  8: [[0, 1], [4, 5], [6, 7]],
};

// Replaces (left, right) by (left + right, left - right) times scale. Sums are rounded to float32, as in Python.
function sumsAndDifferences(channels, scale) {
  for (const [first, second] of PAIRS[channels.length] || []) {
    const left = channels[first], right = channels[second];
    for (let at = 0; at < left.length; at++) {
      const sum = Math.fround(left[at] + right[at]) * scale;
      right[at] = Math.fround(left[at] - right[at]) * scale;
      left[at] = sum;
    }
  }
}

const toMidSide = (channels) => sumsAndDifferences(channels, 0.5);
const toLeftRight = (channels) => sumsAndDifferences(channels, 1);
