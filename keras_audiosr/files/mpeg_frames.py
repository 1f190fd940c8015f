"""Parses frames of MPEG audio and of AAC in ADTS, and the tags around and inside them.

Frame headers: ISO/IEC 11172-3, 2.4.1.3 (MPEG audio) and 13818-7, 6.2 (ADTS).
"""

import dataclasses
import functools

# kbit/s by (MPEG-1 or later, layer), indices 1 to 14.
_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_RATES = (44100, 48000, 32000)
_ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
# Number of bytes of a frame that hold its header and the tag that the first frame may contain.
HEAD = 56


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        length: length in bytes.
        samples: samples per channel.
        sample_rate: Hz.
        kind: properties that all frames of a stream share; for MPEG audio the version bits, the layer and the rate in
            Hz.
        mono: whether it has one channel; not determined for ADTS.
        bitrate: kbit/s; 0 if the header does not declare it, as in ADTS.
    """

    length: int
    samples: int
    sample_rate: int
    kind: tuple
    mono: bool = False
    bitrate: int = 0

    @property
    def duration(self) -> float:
        return self.samples / self.sample_rate


def mpeg_frame(head: bytes) -> Frame | None:
    """Parses an MPEG audio frame from its first 4 bytes; returns `None` if no frame begins here."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    return _parse_header(head[:4])


# A song has thousands of frames, and few different headers.
@functools.lru_cache(maxsize=1024)
def _parse_header(head: bytes) -> Frame | None:
    version_bits, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bitrate_index, rate_index = head[2] >> 4, head[2] >> 2 & 3
    # Index 0 is free format, which does not declare its length.
    if version_bits == 1 or layer == 4 or bitrate_index in (0, 15) or rate_index == 3:
        return None
    version = 1 if version_bits == 3 else 2
    rate = _MPEG_RATES[rate_index] >> {3: 0, 2: 1, 0: 2}[version_bits]
    kbits, padding = _BITRATES[version, layer][bitrate_index - 1], head[2] >> 1 & 1
    bitrate = 1000 * kbits
    if layer == 1:
        length, samples = 4 * (12 * bitrate // rate + padding), 384
    else:
        samples = 576 if layer == 3 and version == 2 else 1152
        length = samples // 8 * bitrate // rate + padding
    return Frame(length, samples, rate, (version_bits, layer, rate), mono=head[3] >> 6 == 3, bitrate=kbits)


def adts_frame(head: bytes) -> Frame | None:
    """Parses an ADTS frame of AAC from its first 7 bytes; returns `None` if no frame begins here."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    rate_index = head[2] >> 2 & 15
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if rate_index >= len(_ADTS_RATES) or length < 7:
        return None
    kind = (head[1] & 8, head[2] & 0xFD, head[3] & 0xC0)  # version, profile and rate, channels
    return Frame(length, 1024 * ((head[6] & 3) + 1), _ADTS_RATES[rate_index], kind)


def info_tag(head: bytes, frame: Frame) -> int | None:
    """Returns the offset of the Xing or Info tag within a frame, or `None`."""
    version, layer, _ = frame.kind
    at = 4 + ((17 if frame.mono else 32) if version == 3 else (9 if frame.mono else 17))
    return at if layer == 3 and head[at : at + 4] in (b"Xing", b"Info") else None


def tag_length(head: bytes) -> int:
    """Returns the length in bytes of the tag that begins here, or 0."""
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return size + (20 if head[5] & 0x10 else 10)
    if head[:4] == b"TAG+":
        return 227
    if head[:3] == b"TAG":
        return 128
    if head[:8] == b"APETAGEX" and len(head) >= 32:
        size = int.from_bytes(head[12:16], "little")
        # A header in front of the items is not counted in the size; a footer alone has its items before it.
        return size + 32 if head[23] & 0x20 else 32
    return 0
