// Decodes a music file with the browser's own decoders, to the model's sample rate.
"use strict";

const LONGEST = 30 * 60; // in seconds; the decoded and the restored music are both in memory as floating point

// Returns an AudioBuffer. The messages of its errors are shown to the user.
async function decodeFile(file, sampleRate) {
  if (!file.size) throw new Error(`A music file is needed; ${file.name} is empty.`);
  let buffer;
  try {
    // An offline context can decode before the user has clicked anything. It resamples the music to its own rate.
    buffer = await new OfflineAudioContext(1, 1, sampleRate).decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Error(`A music file that this browser can decode is needed; it cannot decode ${file.name}; try MP3, FLAC or WAV.`);
  }
  if (!buffer.length) throw new Error(`A music file is needed; ${file.name} contains no sound.`);
  if (buffer.duration > LONGEST) {
    const minutes = Math.ceil(buffer.duration / 60);
    throw new Error(
      `On this page music must be at most ${LONGEST / 60} minutes long; ${file.name} has ${minutes} minutes; "keras-audiosr restore" accepts any length.`,
    );
  }
  return buffer;
}
