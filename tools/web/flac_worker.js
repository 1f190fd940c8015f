// A worker that encodes FLAC with libFLAC. It is a classic worker, because libflacjs is a classic script.
"use strict";

const BLOCK = 1 << 16; // number of samples that are passed to the encoder at a time
const LEVEL = 5; // compression level, which is the default of `flac`

let Flac;

// base: URL of the page's folder.
function load({ base }) {
  self.FLAC_SCRIPT_LOCATION = new URL("libflac/", base).href;
  importScripts(new URL("pcm.js", base), new URL("libflac/libflac.min.wasm.js", base));
  Flac = self.Flac;
  return new Promise((resolve) => (Flac.isReady() ? resolve({}) : Flac.on("ready", () => resolve({}))));
}

// channels: Float32Arrays of equal length. Returns the frames of a 24-bit FLAC file, its STREAMINFO, and the number of
// samples that were clamped.
function encode({ channels, sampleRate }) {
  const { length } = channels[0];
  const encoder = Flac.create_libflac_encoder(sampleRate, channels.length, 24, LEVEL, length, false);
  if (!encoder) throw new Error(`FLAC has at most 8 channels; this music has ${channels.length}; download WAV.`);
  const frames = [];
  let streamInfo, clipped = 0;
  // Metadata (0 samples) is ignored here, because the page writes STREAMINFO and the tags itself.
  const write = (bytes, count, samples) => samples && frames.push(bytes.slice(0, count));
  let good = Flac.init_encoder_stream(encoder, write, (info) => (streamInfo = info)) === 0;
  for (let at = 0; good && at < length; at += BLOCK) {
    const pcm = channels.map((channel) => toPcm24(channel.subarray(at, at + BLOCK)));
    clipped += pcm.reduce((sum, part) => sum + part.clipped, 0);
    good = Flac.FLAC__stream_encoder_process(encoder, pcm.map(({ values }) => values), Math.min(BLOCK, length - at));
  }
  good = good && Flac.FLAC__stream_encoder_finish(encoder);
  Flac.FLAC__stream_encoder_delete(encoder);
  if (!good) throw new Error("The music could not be encoded as FLAC; download WAV.");
  return { frames, streamInfo, clipped };
}

onmessage = async ({ data }) => {
  try {
    postMessage({ type: "answer", ...(await (data.type === "load" ? load : encode)(data)) });
  } catch (error) {
    postMessage({ type: "failed", message: String(error.message || error) });
  }
};
