// Converts floating-point samples to 24-bit integers, and clamps them to full scale.
"use strict";

const FULL_SCALE = 2 ** 23;

// samples: Float32Array with full scale at [-1, 1). Returns {values, clipped}: an Int32Array, and the number of samples
// that were clamped.
function toPcm24(samples) {
  let clipped = 0;
  const values = Int32Array.from(samples, (sample) => {
    const scaled = Math.round(sample * FULL_SCALE);
    if (scaled < -FULL_SCALE || scaled > FULL_SCALE) clipped++;
    return Math.max(-FULL_SCALE, Math.min(FULL_SCALE - 1, scaled));
  });
  return { values, clipped };
}
