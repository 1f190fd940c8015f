// A file's samples, by the browser's own decoders, at the model's sample rate.
"use strict";

const LONGEST = 30 * 60; // s; before and after lie in memory whole, as floating point

// Returns an AudioBuffer; what it throws is for people.
async function decodeFile(file, sampleRate) {
  if (!file.size) throw new Error(`A music file is needed; ${file.name} is empty.`);
  let buffer;
  try {
    // An offline context decodes without a click, and brings music at other rates to its own.
    buffer = await new OfflineAudioContext(1, 1, sampleRate).decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Error(`A music file that this browser can decode is needed; ${file.name} is not; try MP3, FLAC or WAV.`);
  }
  if (!buffer.length) throw new Error(`A music file is needed; ${file.name} has no sound in it.`);
  if (buffer.duration > LONGEST) {
    const minutes = Math.ceil(buffer.duration / 60);
    throw new Error(
      `The music must last at most ${LONGEST / 60} minutes here; ${file.name} has ${minutes}; "keras-audiosr restore" takes any length.`,
    );
  }
  return buffer;
}
