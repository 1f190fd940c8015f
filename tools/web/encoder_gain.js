// Reads the gain that LAME applied to the music, from the tag in an MP3's first frame. It follows the same rules as
// keras_audiosr/files/encoder_gain.py.
"use strict";

const LAYER_3 = { // bitrates in kbit/s by index: 1 is MPEG-1, 2 is MPEG-2 and MPEG-2.5
  1: [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0],
  2: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0],
};
const MPEG_RATES = [44100, 48000, 32000];
const SCALES = [[240, 1], [208, 0.98], [176, 0.97], [0, 0.95]]; // lowest bitrate in kbit/s for each gain
const MOST_TAGS = 8;

// Returns the number of bytes of an ID3v2 tag at this position, or 0 if there is none.
function tagLength(bytes, at) {
  const name = String.fromCharCode(...bytes.subarray(at, at + 3));
  const size = bytes.subarray(at + 6, at + 10);
  if (name === "ID3" && size.every((byte) => byte < 0x80) && size.length === 4) {
    return (size[0] << 21) + (size[1] << 14) + (size[2] << 7) + size[3] + (bytes[at + 5] & 0x10 ? 20 : 10);
  }
  return 0;
}

// Reads the header of an MPEG Layer III frame. Returns the length of the frame in bytes, its bitrate in kbit/s and the
// position of a possible Xing or Info tag, or null if no frame begins here.
function layer3Frame(bytes, at) {
  const [sync, kind, rates, mode] = bytes.subarray(at, at + 4);
  if (sync !== 0xff || (kind & 0xe6) !== 0xe2 || (kind & 0x18) === 0x08 || mode === undefined) return null;
  const version = (kind & 0x18) === 0x18 ? 1 : 2;
  const bitrate = LAYER_3[version][rates >> 4];
  const rate = MPEG_RATES[(rates >> 2) & 3] >> { 0x18: 0, 0x10: 1, 0: 2 }[kind & 0x18];
  if (!bitrate || !rate) return null;
  const mono = mode >> 6 === 3;
  const side = version === 1 ? (mono ? 17 : 32) : mono ? 9 : 17;
  const length = Math.floor(((version === 1 ? 144 : 72) * 1000 * bitrate) / rate) + ((rates >> 1) & 1);
  return { length, bitrate, tag: at + 4 + side };
}

// bytes: Uint8Array with the first bytes of a music file of any format. Returns a factor from 0.95 to 1, which is 1 if
// the file does not state the gain.
function encoderGain(bytes) {
  let at = 0;
  for (let count = 0, length; count < MOST_TAGS && (length = tagLength(bytes, at)); count++) at += length;
  const frame = layer3Frame(bytes, at);
  if (!frame) return 1;
  const text = (from, length) => String.fromCharCode(...bytes.subarray(from, from + length));
  const tag = text(frame.tag, 4);
  if (tag !== "Xing" && tag !== "Info") return 1;
  const flags = bytes[frame.tag + 7];
  const encoder = frame.tag + 8 + [[1, 4], [2, 4], [4, 100], [8, 4]].reduce((sum, [bit, size]) => sum + (flags & bit ? size : 0), 0);
  const lame = /^LAME(\d+)\.(\d+)/.exec(text(encoder, 9));
  const known = text(encoder, 4) === "Lavc" || (lame && (lame[1] > 3 || (lame[1] == 3 && lame[2] >= 97)));
  if (!known || encoder + 28 > Math.min(bytes.length, at + frame.length)) return 1;
  const method = bytes[encoder + 9] & 15;
  let bitrate = 0;
  if (method === 0) bitrate = tag === "Info" && layer3Frame(bytes, at + frame.length)?.bitrate;
  else if ([1, 2, 8, 9].includes(method)) bitrate = ((bytes[encoder + 26] << 8) | bytes[encoder + 27]) & 0x7ff;
  return bitrate ? SCALES.find(([least]) => bitrate >= least)[1] : 1;
}
