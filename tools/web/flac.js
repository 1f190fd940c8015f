// FLAC files: frames from the encoder's worker, behind metadata blocks with the source's tags (RFC 9639, section 8).
"use strict";

const STREAMINFO = 0;
const VORBIS_COMMENT = 4;
const PICTURE = 6;
const LONGEST_BLOCK = 2 ** 24 - 1; // bytes

const utf8 = (text) => new TextEncoder().encode(text);

// parts: byte arrays, and numbers as [value, bytes]. Big-endian, or little-endian where `little`.
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
  // 20 bits of Hz, 3 of channels, 5 of bits a sample, and the upper 4 of 36 bits of samples.
  const rate = sampleRate * 2 ** 12 + (channels - 1) * 2 ** 9 + (bitsPerSample - 1) * 2 ** 4 + Math.floor(total_samples / 2 ** 32);
  return joined([[min_blocksize, 2], [max_blocksize, 2], [min_framesize, 3], [max_framesize, 3], [rate, 4], [total_samples % 2 ** 32, 4], md5]);
}

// comments: [name, value] each.
function commentBlock(comments) {
  const texts = [utf8("keras_audiosr"), ...comments.map(([name, value]) => utf8(`${name}=${value}`))];
  const [vendor, ...others] = texts.map((text) => joined([[text.length, 4], text], true));
  return joined([vendor, [others.length, 4], ...others], true);
}

function pictureBlock({ type, format, description, data }) {
  const texts = [format, description].flatMap((text) => [[utf8(text).length, 4], utf8(text)]);
  // Width, height, depth and number of colours may be 0: a reader takes them from the picture.
  return joined([[type, 4], ...texts, [0, 4], [0, 4], [0, 4], [0, 4], [data.length, 4], data]);
}

// frames, streamInfo: of the encoder; tags: of `readTags`. Pictures that are too large for a block are left out.
function flacFile(frames, streamInfo, { comments, pictures }) {
  const blocks = [[STREAMINFO, streamInfoBlock(streamInfo)], [VORBIS_COMMENT, commentBlock(comments)]];
  blocks.push(...pictures.map((picture) => [PICTURE, pictureBlock(picture)]).filter(([, block]) => block.length <= LONGEST_BLOCK));
  const metadata = blocks.flatMap(([type, block], index) => [[type + (index === blocks.length - 1 ? 128 : 0), 1], [block.length, 3], block]);
  return new Blob([joined([utf8("fLaC"), ...metadata]), ...frames], { type: "audio/flac" });
}

// The worker that encodes. It is there before it is needed, so that a download makes the page ask for nothing.
class FlacEncoder {
  constructor() {
    this.hand = new Hand("flac_worker.js");
    this.hand.ready.catch(() => {}); // encode() reports the failure
  }

  // channels: Float32Arrays, which stay; tags: of `readTags`. Returns {blob, clipped}.
  async encode(channels, sampleRate, tags) {
    await this.hand.ready;
    const question = { type: "encode", channels: channels.map((channel) => channel.slice()), sampleRate };
    const { frames, streamInfo, clipped } = await this.hand.ask(question);
    return { blob: flacFile(frames, streamInfo, tags), clipped };
  }
}
