"""MP3 and ADTS frame by frame: how many there are, what their header declares, what lies between them.

Frame headers: ISO/IEC 11172-3, 2.4.1.3 (MPEG audio) and 13818-7, 6.2 (ADTS). The Xing and VBRI headers that count
frames have no standard; their layout is that of LAME and of Fraunhofer's encoder.
"""

import dataclasses
import os
from typing import BinaryIO

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
# Enough of a frame for its header and the tag that the first one may hold.
_HEAD = 56
_CHUNK = 1 << 16
# Bytes that are searched for a next frame before a file counts as something else.
_MOST_JUNK = 1 << 24


@dataclasses.dataclass(frozen=True)
class _Frame:
    """One frame: bytes, samples a channel, Hz, and what all frames of a stream share."""

    length: int
    samples: int
    sample_rate: int
    kind: tuple
    mono: bool = False

    @property
    def duration(self) -> float:
        return self.samples / self.sample_rate


def _mpeg_frame(head: bytes) -> _Frame | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version_bits, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bitrate_index, rate_index = head[2] >> 4, head[2] >> 2 & 3
    # Index 0 is free format, which says nothing of its length.
    if version_bits == 1 or layer == 4 or bitrate_index in (0, 15) or rate_index == 3:
        return None
    version = 1 if version_bits == 3 else 2
    rate = _MPEG_RATES[rate_index] >> {3: 0, 2: 1, 0: 2}[version_bits]
    bitrate, padding = 1000 * _BITRATES[version, layer][bitrate_index - 1], head[2] >> 1 & 1
    if layer == 1:
        length, samples = 4 * (12 * bitrate // rate + padding), 384
    else:
        samples = 576 if layer == 3 and version == 2 else 1152
        length = samples // 8 * bitrate // rate + padding
    return _Frame(length, samples, rate, (version_bits, layer, rate), mono=head[3] >> 6 == 3)


def _adts_frame(head: bytes) -> _Frame | None:
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    rate_index = head[2] >> 2 & 15
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if rate_index >= len(_ADTS_RATES) or length < 7:
        return None
    kind = (head[1] & 8, head[2] & 0xFD, head[3] & 0xC0)  # version, profile and rate, channels
    return _Frame(length, 1024 * ((head[6] & 3) + 1), _ADTS_RATES[rate_index], kind)


def _counted_frames(head: bytes, frame: _Frame) -> int | None:
    """Frames that a Xing, Info or VBRI tag declares, 0 when it does not say; `None` where there is no such tag."""
    version, layer, _ = frame.kind
    if layer != 3:
        return None
    side = (17 if frame.mono else 32) if version == 3 else (9 if frame.mono else 17)
    tag = head[4 + side :]
    if tag[:4] in (b"Xing", b"Info"):
        return int.from_bytes(tag[8:12], "big") if len(tag) >= 12 and tag[7] & 1 else 0
    if head[36:40] == b"VBRI":
        return int.from_bytes(head[50:54], "big")
    return None


def _needs_earlier_data(head: bytes, frame: _Frame) -> bool:
    """Whether a Layer III frame takes bits from frames before it."""
    version, layer, _ = frame.kind
    start = 4 if head[1] & 1 else 6  # after a checksum
    if layer != 3 or len(head) < start + 2:
        return False
    return bool(head[start] or (version == 3 and head[start + 1] & 0x80))


def _tag_length(head: bytes) -> int:
    """Bytes of the tag that begins here; 0 when none does."""
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return size + (20 if head[5] & 0x10 else 10)
    if head[:3] == b"TAG":
        return 128
    if head[:8] == b"APETAGEX" and len(head) >= 32:
        size = int.from_bytes(head[12:16], "little")
        # A header in front of the items is not counted in the size; a footer alone has its items before it.
        return size + 32 if head[23] & 0x20 else 32
    return 0


class _Walk:
    """Goes through a file frame by frame and adds up."""

    def __init__(self, file: BinaryIO, adts: bool):
        self._file = file
        self._parse = _adts_frame if adts else _mpeg_frame
        self._adts = adts
        self._size = os.fstat(file.fileno()).st_size
        self._kind: tuple | None = None
        self._length = 0
        self._tag_inside = False
        self.frames = 0
        self.held = 0.0
        self.declared: int | None = None
        self.parts = 1
        self.junk = 0
        self.cut_front = self.cut_end = False
        self.frame_duration = 0.0

    def _head(self, position: int) -> bytes:
        self._file.seek(position)
        return self._file.read(_HEAD)

    def run(self) -> None:
        position = 0
        while position < self._size:
            head = self._head(position)
            frame = self._parse(head)
            if frame is not None and self._is_next(position, frame):
                if position + frame.length > self._size:
                    self.cut_end = True
                    return
                self._take(head, frame)
                position += frame.length
            elif (length := _tag_length(head)) and position + length <= self._size:
                self._tag_inside = self.frames > 0
                position += length
            elif head.startswith(b"LYRICSBEGIN"):
                return  # Lyrics3: only ever behind the music
            else:
                found = self._next_frame(position + 1)
                self._skip(position, found)
                position = found

    def _bytes(self, start: int, stop: int) -> bytes:
        self._file.seek(start)
        return self._file.read(stop - start)

    def _is_next(self, position: int, frame: _Frame) -> bool:
        """Whether a frame is one: of the kind of those before, or the first, with another or the end behind it."""
        if self._kind is not None:
            return frame.kind == self._kind
        end = position + frame.length
        head = self._head(end)
        follower = self._parse(head)
        return end == self._size or _tag_length(head) > 0 or (follower is not None and follower.kind == frame.kind)

    def _skip(self, position: int, found: int) -> None:
        """Counts bytes that are neither frame nor tag; zeros around the music are what taggers leave."""
        if found == self._size and (found - position <= self._length or not self._bytes(position, found).strip(b"\0")):
            return
        if self.frames:
            self.junk += found - position
        elif self._bytes(position, min(found, position + _CHUNK)).strip(b"\0"):
            self.cut_front = True

    def _take(self, head: bytes, frame: _Frame) -> None:
        counted = None if self._adts else _counted_frames(head, frame)
        if self.frames and (counted is not None or self._tag_inside):
            self.parts += 1
        self._tag_inside = False
        if counted is not None:
            self.declared = (self.declared or 0) + counted or None
        else:
            if not self.frames and self.declared is None and not self._adts:
                self.cut_front |= _needs_earlier_data(head, frame)
            self.frames += 1
            self.held += frame.duration
        self._kind, self._length, self.frame_duration = frame.kind, frame.length, frame.duration

    def _next_frame(self, position: int) -> int:
        """Where the next frame or tag with a frame behind it begins; the file's size when none does."""
        end = min(self._size, position + _MOST_JUNK)
        while position < end:
            chunk = self._bytes(position, position + _CHUNK + _HEAD)
            at = chunk.find(b"\xff")
            while 0 <= at < _CHUNK:
                frame = self._parse(chunk[at : at + _HEAD])
                if frame is not None and self._kind in (None, frame.kind):
                    follower = self._parse(self._head(position + at + frame.length))
                    if follower is not None and follower.kind == frame.kind:
                        return position + at
                at = chunk.find(b"\xff", at + 1)
            tag = min((at for at in (chunk.find(b"TAG"), chunk.find(b"ID3")) if 0 <= at < _CHUNK), default=-1)
            if tag >= 0 and position + tag + 128 == self._size:
                return position + tag
            position += _CHUNK
        return self._size


def declares_and_holds(declared: float, held: float) -> str:
    """What is wrong with a file of `held` seconds that declares others, as a predicate of the file."""
    digits = 1 if abs(declared - held) >= 0.1 else 3
    return f"declares {declared:.{digits}f} s and holds {held:.{digits}f} s"


def scan_mpeg(path, adts: bool = False) -> tuple[float, list[str]]:
    """Counts the frames of an MP3 (or MP2, MP1) or ADTS file.

    Not seen: a file without Xing header, cut exactly between two frames. Nothing in it says that more was there.

    Args:
        path: the file.
        adts: whether it is AAC in ADTS frames.

    Returns:
        Seconds in whole frames (0.0 where there is no telling, as in free format), and what is wrong, as predicates
        of the file.
    """
    with open(path, "rb", buffering=_CHUNK) as file:
        walk = _Walk(file, adts)
        walk.run()
    if not walk.frames:
        return 0.0, []
    faults = []
    # One frame to and fro: encoders do not agree whether the frame of the header counts.
    if walk.declared is not None and abs(walk.frames - walk.declared) > 1:
        faults.append(declares_and_holds(walk.declared * walk.frame_duration, walk.held))
    elif walk.cut_end and walk.declared is None:
        faults.append("ends within a frame")
    if walk.cut_front:
        faults.append("does not begin with its first frame")
    if walk.junk:
        faults.append(f"has {walk.junk} bytes between its frames that are none")
    if walk.parts > 1:
        faults.append(f"is {walk.parts} files in one")
    return walk.held, faults
