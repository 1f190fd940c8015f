// Writes WAV files with 24-bit PCM, which is clamped to full scale, or with unchanged 32-bit float samples.
"use strict";

const FORMATS = { pcm24: { tag: 1, bytes: 3 }, float: { tag: 3, bytes: 4 } };

// channels: Float32Arrays of equal length; format: "pcm24" or "float". Returns {blob, clipped}, where clipped is the
// number of samples that were clamped.
function wavFile(channels, sampleRate, format) {
  const { tag, bytes } = FORMATS[format];
  const frame = bytes * channels.length;
  const size = frame * channels[0].length;
  // The specification requires a fact chunk with the number of samples if the format is not PCM.
  const fact = tag === 1 ? 0 : 12;
  const head = new DataView(new ArrayBuffer(44 + fact));
  let at = 0;
  const text = (letters) => [...letters].forEach((letter) => head.setUint8(at++, letter.charCodeAt(0)));
  const long = (value) => (head.setUint32(at, value, true), (at += 4));
  const short = (value) => (head.setUint16(at, value, true), (at += 2));
  text("RIFF"), long(36 + fact + size + (size % 2)), text("WAVEfmt "), long(16);
  short(tag), short(channels.length), long(sampleRate), long(sampleRate * frame), short(frame), short(8 * bytes);
  if (fact) text("fact"), long(4), long(channels[0].length);
  text("data"), long(size);
  const body = new Uint8Array(size + (size % 2));
  const clipped = (tag === 1 ? writePcm24 : writeFloat)(channels, body);
  return { blob: new Blob([head, body], { type: "audio/wav" }), clipped };
}

function writePcm24(channels, body) {
  let clipped = 0;
  channels.forEach((samples, channel) => {
    const pcm = toPcm24(samples);
    clipped += pcm.clipped;
    let at = 3 * channel;
    for (const value of pcm.values) {
      body[at] = value;
      body[at + 1] = value >> 8;
      body[at + 2] = value >> 16;
      at += 3 * channels.length;
    }
  });
  return clipped;
}

function writeFloat(channels, body) {
  const view = new DataView(body.buffer);
  channels.forEach((samples, channel) => {
    let at = 4 * channel;
    for (const sample of samples) {
      view.setFloat32(at, sample, true);
      at += 4 * channels.length;
    }
  });
  return 0;
}
