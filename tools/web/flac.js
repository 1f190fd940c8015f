// Writes FLAC files: metadata blocks with the source's tags (RFC 9639, section 8), then frames that a worker encoded.
"use strict";

const STREAMINFO = 0;
const VORBIS_COMMENT = 4;
const PICTURE = 6;
const LONGEST_BLOCK = 2 ** 24 - 1; // bytes

const utf8 = (text) => new TextEncoder().encode(text);

// Concatenates byte arrays and numbers. A number is written as [value, number of bytes], in big-endian or little-endian
// order.
function joined(parts, little = false) {
  const arrays = parts.map((part) => {
    if (part instanceof Uint8Array) return part;
    const bytes = Array.from({ length: part[1] }, (_, i) => Math.floor(part[0] / 256 ** i) % 256);
    return Uint8Array.from(little ? bytes : bytes.reverse());
  });
  const found = new Uint8Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const bytes of arrays) found.set(bytes, (at += bytes.length) - bytes.length);
  return found;
}

function streamInfoBlock({ min_blocksize, max_blocksize, min_framesize, max_framesize, sampleRate, channels, bitsPerSample, total_samples, md5sum }) {
  const md5 = Uint8Array.from(md5sum.match(/../g), (digits) => parseInt(digits, 16));
  // 20 bits of sample rate, 3 of channels - 1, 5 of bits per sample - 1, and the upper 4 of 36 bits of total samples.
  const rate = sampleRate * 2 ** 12 + (channels - 1) * 2 ** 9 + (bitsPerSample - 1) * 2 ** 4 + Math.floor(total_samples / 2 ** 32);
  return joined([[min_blocksize, 2], [max_blocksize, 2], [min_framesize, 3], [max_framesize, 3], [rate, 4], [total_samples % 2 ** 32, 4], md5]);
}

// comments: an array of [name, value].
function commentBlock(comments) {
  const texts = [utf8("keras_audiosr"), ...comments.map(([name, value]) => utf8(`${name}=${value}`))];
  const [vendor, ...others] = texts.map((text) => joined([[text.length, 4], text], true));
  return joined([vendor, [others.length, 4], ...others], true);
}

function pictureBlock({ type, format, description, data }) {
  const texts = [format, description].flatMap((text) => [[utf8(text).length, 4], utf8(text)]);
  // Width, height, depth and number of colours may be 0. A reader then reads them from the picture.
  return joined([[type, 4], ...texts, [0, 4], [0, 4], [0, 4], [0, 4], [data.length, 4], data]);
}

// frames, streamInfo: results of the encoder; third argument: result of `readTags`. Pictures that are too large for a
// metadata block are left out.
function flacFile(frames, streamInfo, { comments, pictures }) {
  const blocks = [[STREAMINFO, streamInfoBlock(streamInfo)], [VORBIS_COMMENT, commentBlock(comments)]];
  blocks.push(...pictures.map((picture) => [PICTURE, pictureBlock(picture)]).filter(([, block]) => block.length <= LONGEST_BLOCK));
  const metadata = blocks.flatMap(([type, block], index) => [[type + (index === blocks.length - 1 ? 128 : 0), 1], [block.length, 3], block]);
  return new Blob([joined([utf8("fLaC"), ...metadata]), ...frames], { type: "audio/flac" });
}

// Encodes FLAC in a worker. The worker is loaded with the page, so that a download causes no requests.
class FlacEncoder {
  constructor() {
    this.hand = new Hand("flac_worker.js");
    this.hand.ready.catch(() => {}); // encode() reports a failure
  }

  // channels: Float32Arrays, which are copied; tags: result of `readTags`. Returns {blob, clipped}, where clipped is
  // the number of samples that were clamped to full scale.
  async encode(channels, sampleRate, tags) {
    await this.hand.ready;
    const question = { type: "encode", channels: channels.map((channel) => channel.slice()), sampleRate };
    const { frames, streamInfo, clipped } = await this.hand.ask(question);
    return { blob: flacFile(frames, streamInfo, tags), clipped };
  }
}
