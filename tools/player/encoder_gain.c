/* Reads the gain that an encoder applied to the music of an MP3, from the tag in its first frame.
 *
 * LAME lowers the level of music that it encodes coarsely, by 5 % up to 160 kbit/s. The decoded samples do not show the
 * gain, but the tag does. keras_audiosr/files/encoder_gain.py reads the same tag and explains the rules. One table of
 * tests covers both.
 */
#include "encoder_gain.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* HEAD: number of bytes that contain a frame's header and the beginning of its tag. TAG: length of the longest Xing or
 * Info tag, up to the last field that is read. MOST_TAGS: largest number of tags before the music that are skipped. */
enum { HEAD = 56, TAG = 8 + 4 + 4 + 100 + 4 + 28, MOST_TAGS = 8 };

/* Bitrates of Layer III in kbit/s by index: the first row is MPEG-1, the second MPEG-2 and MPEG-2.5. */
static const int BITRATES[2][16] = {
    {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0},
    {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0},
};
static const int RATES[4] = {44100, 48000, 32000, 0};

typedef struct {
  long length, tag; /* length of the frame in bytes; offset of a Xing or Info tag in the frame */
  int bitrate;      /* in kbit/s; 0 if no Layer III frame begins here */
} Frame;

static size_t read_at(FILE *file, long position, uint8_t *bytes, size_t count) {
  memset(bytes, 0, count);
  return fseek(file, position, SEEK_SET) ? 0 : fread(bytes, 1, count, file);
}

/* Returns the length in bytes of the tag that begins here, or 0 if there is none. */
static long tag_length(const uint8_t *head, size_t count) {
  if (count >= 10 && !memcmp(head, "ID3", 3) && !((head[6] | head[7] | head[8] | head[9]) & 0x80))
    return ((long)head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (head[5] & 0x10 ? 20 : 10);
  if (count >= 4 && !memcmp(head, "TAG+", 4)) return 227;
  if (count >= 3 && !memcmp(head, "TAG", 3)) return 128;
  if (count >= 32 && !memcmp(head, "APETAGEX", 8)) {
    uint32_t size = head[12] | head[13] << 8 | head[14] << 16 | (uint32_t)head[15] << 24;
    return head[23] & 0x20 ? (long)size + 32 : 32; /* the size excludes the header; a footer alone has 32 bytes */
  }
  return 0;
}

static Frame layer_3_frame(const uint8_t *head, size_t count) {
  Frame none = {0, 0, 0}, frame;
  if (count < 4 || head[0] != 0xFF || (head[1] & 0xE6) != 0xE2 || (head[1] & 0x18) == 0x08) return none;
  int version = head[1] >> 3 & 3, first = version == 3, mono = head[3] >> 6 == 3;
  int rate = RATES[head[2] >> 2 & 3] >> (first ? 0 : version == 2 ? 1 : 2);
  frame.bitrate = BITRATES[!first][head[2] >> 4];
  if (!rate || !frame.bitrate) return none;
  frame.length = (first ? 144L : 72L) * 1000 * frame.bitrate / rate + (head[2] >> 1 & 1);
  frame.tag = 4 + (first ? (mono ? 17 : 32) : mono ? 9 : 17);
  return frame;
}

/* Whether the encoder is LAME 3.97 or later, which all use the same table of gains, or FFmpeg, which uses LAME. */
static int is_known(const char *encoder) {
  int major, minor;
  if (!strncmp(encoder, "Lavc", 4)) return 1;
  return sscanf(encoder, "LAME%d.%d", &major, &minor) == 2 && (major > 3 || (major == 3 && minor >= 97));
}

/* Returns LAME's target bitrate in kbit/s, or 0 for a variable bitrate, another encoder or a file without a tag. */
static int aimed_bitrate(FILE *file) {
  uint8_t head[HEAD], tag[TAG];
  long position = 0, length;
  size_t count = read_at(file, 0, head, HEAD);
  for (int tags = 0; tags < MOST_TAGS && (length = tag_length(head, count)) != 0; tags++)
    count = read_at(file, position += length, head, HEAD);
  Frame frame = layer_3_frame(head, count);
  if (!frame.bitrate) return 0;
  count = read_at(file, position + frame.tag, tag, TAG);
  int is_info = !memcmp(tag, "Info", 4);
  if (!is_info && memcmp(tag, "Xing", 4)) return 0;
  /* The flags say which fields are present: number of frames, number of bytes, table of contents, quality. */
  size_t at = 8 + (tag[7] & 1 ? 4 : 0) + (tag[7] & 2 ? 4 : 0) + (tag[7] & 4 ? 100 : 0) + (tag[7] & 8 ? 4 : 0);
  char encoder[10] = {0};
  memcpy(encoder, tag + at, 9);
  if (at + 28 > count || frame.tag + (long)at + 28 > frame.length || !is_known(encoder)) return 0;
  switch (tag[at + 9] & 15) {
    case 0: /* FFmpeg does not write the mode. An Info tag means a constant bitrate, which the next frame shows. */
      count = read_at(file, position + frame.length, head, HEAD);
      return is_info ? layer_3_frame(head, count).bitrate : 0;
    case 1: case 2: case 8: case 9: /* constant or average bitrate */
      return (tag[at + 26] << 8 | tag[at + 27]) & 0x7FF;
    default:
      return 0;
  }
}

double encoder_gain(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) return 0;
  int bitrate = aimed_bitrate(file);
  fclose(file);
  return bitrate == 0 || bitrate >= 240 ? 1 : bitrate >= 208 ? 0.98 : bitrate >= 176 ? 0.97 : 0.95;
}
