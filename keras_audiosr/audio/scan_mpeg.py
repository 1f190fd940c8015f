"""MP3 and ADTS frame by frame: how many there are, what their header declares, what lies between them.

The Xing and VBRI headers that count frames have no standard; their layout is that of LAME and of Fraunhofer's
encoder.
"""

import os
from typing import BinaryIO

from .mpeg_frames import HEAD, Frame, adts_frame, info_tag, mpeg_frame, tag_length

_CHUNK = 1 << 16
# Bytes that are searched for a next frame before a file counts as something else.
_MOST_JUNK = 1 << 24


def _counted_frames(head: bytes, frame: Frame) -> int | None:
    """Frames that a Xing, Info or VBRI tag declares, 0 when it does not say; `None` where there is no such tag."""
    at = info_tag(head, frame)
    if at is not None:
        tag = head[at:]
        return int.from_bytes(tag[8:12], "big") if len(tag) >= 12 and tag[7] & 1 else 0
    if frame.kind[1] == 3 and head[36:40] == b"VBRI":
        return int.from_bytes(head[50:54], "big")
    return None


def _needs_earlier_data(head: bytes, frame: Frame) -> bool:
    """Whether a Layer III frame takes bits from frames before it."""
    version, layer, _ = frame.kind
    start = 4 if head[1] & 1 else 6  # after a checksum
    if layer != 3 or len(head) < start + 2:
        return False
    return bool(head[start] or (version == 3 and head[start + 1] & 0x80))


class _Walk:
    """Goes through a file frame by frame and adds up."""

    def __init__(self, file: BinaryIO, adts: bool):
        self._file = file
        self._parse = adts_frame if adts else mpeg_frame
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
        return self._file.read(HEAD)

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
            elif (length := tag_length(head)) and position + length <= self._size:
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

    def _is_next(self, position: int, frame: Frame) -> bool:
        """Whether a frame is one: of the kind of those before, or the first, with another or the end behind it."""
        if self._kind is not None:
            return frame.kind == self._kind
        end = position + frame.length
        head = self._head(end)
        follower = self._parse(head)
        return end == self._size or tag_length(head) > 0 or (follower is not None and follower.kind == frame.kind)

    def _skip(self, position: int, found: int) -> None:
        """Counts bytes that are neither frame nor tag; zeros around the music are what taggers leave."""
        if found == self._size and (found - position <= self._length or not self._bytes(position, found).strip(b"\0")):
            return
        if self.frames:
            self.junk += found - position
        elif self._bytes(position, min(found, position + _CHUNK)).strip(b"\0"):
            self.cut_front = True

    def _take(self, head: bytes, frame: Frame) -> None:
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
            chunk = self._bytes(position, position + _CHUNK + HEAD)
            at = chunk.find(b"\xff")
            while 0 <= at < _CHUNK:
                frame = self._parse(chunk[at : at + HEAD])
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
