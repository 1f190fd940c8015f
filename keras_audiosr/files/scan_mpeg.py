"""Checks MP3 and ADTS files frame by frame: the number of frames, the declared number, and the bytes between them.

The Xing and VBRI headers, which declare the number of frames, are not standardised. Their layout follows LAME and
Fraunhofer's encoder.
"""

import os
from typing import BinaryIO

from ..annotations import StrPath
from .mpeg_frames import HEAD, Frame, adts_frame, info_tag, mpeg_frame, tag_length

_CHUNK = 1 << 16
# Bytes that are searched for a next frame before a file counts as something else.
_MOST_JUNK = 1 << 24
# Largest size in bytes of a Lyrics3 v1 tag, including its markers.
_LYRICS3 = 5100 + 20


def _counted_frames(head: bytes, frame: Frame) -> int | None:
    """Returns the number of frames in a Xing, Info or VBRI tag, 0 if unknown; `None` if there is no such tag."""
    at = info_tag(head, frame)
    if at is not None:
        tag = head[at:]
        return int.from_bytes(tag[8:12], "big") if len(tag) >= 12 and tag[7] & 1 else 0
    if frame.kind[1] == 3 and head[36:40] == b"VBRI":
        return int.from_bytes(head[50:54], "big")
    return None


def _needs_earlier_data(head: bytes, frame: Frame) -> bool:
    """Returns whether a Layer III frame takes bits from frames before it."""
    version, layer, _ = frame.kind
    start = 4 if head[1] & 1 else 6  # after a checksum
    if layer != 3 or len(head) < start + 2:
        return False
    return bool(head[start] or (version == 3 and head[start + 1] & 0x80))


class _Walk:
    """Goes through a file frame by frame and counts."""

    def __init__(self, file: BinaryIO, adts: bool):
        self._file = file
        self._parse = adts_frame if adts else mpeg_frame
        self._adts = adts
        self._size = os.fstat(file.fileno()).st_size
        if not adts:
            self._size = _sound_end(file, self._size)
        # Some bytes of the file from an offset on, because a read for each frame would be slow.
        self._chunk, self._chunk_start = b"", 0
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
        self.mono = self.stereo = False

    def _head(self, position: int) -> bytes:
        start = position - self._chunk_start
        if not 0 <= start <= len(self._chunk) - HEAD:
            self._chunk, self._chunk_start, start = self._bytes(position, position + _CHUNK), position, 0
        return self._chunk[start : start + HEAD]

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
                return  # Lyrics3 comes only after the music
            else:
                found = self._next_frame(position + 1)
                self._skip(position, found)
                position = found

    def _bytes(self, start: int, stop: int) -> bytes:
        self._file.seek(start)
        return self._file.read(stop - start)

    def _is_next(self, position: int, frame: Frame) -> bool:
        """Returns whether a frame is real: like those before it, or the first, followed by a frame, tag or the end."""
        if self._kind is not None:
            return frame.kind == self._kind
        end = position + frame.length
        head = self._head(end)
        follower = self._parse(head)
        return end == self._size or tag_length(head) > 0 or (follower is not None and follower.kind == frame.kind)

    def _skip(self, position: int, found: int) -> None:
        """Counts bytes that are neither frame nor tag, except zeros around the music, which tag editors leave."""
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
            self.mono |= frame.mono
            self.stereo |= not frame.mono
            self.held += frame.duration
        self._kind, self._length, self.frame_duration = frame.kind, frame.length, frame.duration

    def _next_frame(self, position: int) -> int:
        """Returns the offset of the next frame that another follows, or of a tag at the end, or the file's size."""
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


def _sound_end(file: BinaryIO, size: int) -> int:
    """Returns the offset of the tags after an MP3's sound: ID3v1, "TAG+", Lyrics3 v1 and v2, APEv1 and v2."""
    end, before = size, -1

    def tail(length: int, behind: int = 0) -> bytes:
        file.seek(max(0, end - behind - length))
        return file.read(min(length, end - behind)) if end > behind else b""

    while end != before:
        before = end
        footer, word = tail(32), tail(9)
        if tail(128)[:3] == b"TAG" and len(tail(128)) == 128:
            end -= 128
        elif tail(227)[:4] == b"TAG+":
            end -= 227
        elif word == b"LYRICS200" and tail(6, 9).isdigit():
            end -= 15 + int(tail(6, 9))
        elif word == b"LYRICSEND":
            at = tail(_LYRICS3).find(b"LYRICSBEGIN")
            end -= min(_LYRICS3, end) - at if at >= 0 else 0
        elif footer[:8] == b"APETAGEX":
            # A footer counts itself and the items, not the header that APEv2 may have.
            end -= int.from_bytes(footer[12:16], "little") + (32 if footer[23] & 0x80 else 0)
        end = end if 0 <= end <= size else before
    return end


def has_tags_behind(path: StrPath) -> bool:
    """Returns whether an MP3 has tags after its sound. FFmpeg takes some of them for damaged frames."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        return _sound_end(file, size) < size


def is_free_format(path: StrPath) -> bool:
    """Returns whether a file begins with MPEG audio frames that do not declare their bitrate."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
        file.seek(tag_length(head))
        head = file.read(4)
    sync = len(head) == 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
    return sync and head[2] >> 4 == 0 and head[1] >> 1 & 3 != 0 and head[1] >> 3 & 3 != 1 and head[2] >> 2 & 3 != 3


def turns_to_stereo(path: StrPath) -> bool:
    """Returns whether an MP3 has both frames with one channel and frames with two channels."""
    with open(path, "rb") as file:
        walk = _Walk(file, False)
        walk.run()
    return walk.mono and walk.stereo


def declares_and_holds(declared: float, held: float) -> str:
    """Returns the fault of a file whose declared duration (seconds) is wrong, as a predicate of the file."""
    digits = 1 if abs(declared - held) >= 0.1 else 3
    return f"declares {declared:.{digits}f} s and holds {held:.{digits}f} s"


def scan_mpeg(path: StrPath, adts: bool = False) -> tuple[float, list[str]]:
    """Counts the frames of an MP3 (or MP2, MP1) or ADTS file.

    A cut exactly between two frames of a file without a Xing header is not detected, because nothing in the file shows
    it.

    Args:
        path: the file.
        adts: whether it is AAC in ADTS frames.

    Returns:
        The duration in seconds of the complete frames (0.0 if there are none, as in free format), and the faults, as
        predicates of the file.
    """
    with open(path, "rb") as file:
        walk = _Walk(file, adts)
        walk.run()
    if not walk.frames:
        return 0.0, []
    faults = []
    # A difference of one frame is allowed, because encoders disagree on whether the header's frame counts.
    if walk.declared is not None and abs(walk.frames - walk.declared) > 1:
        faults.append(declares_and_holds(walk.declared * walk.frame_duration, walk.held))
    elif walk.cut_end and walk.declared is None:
        faults.append("ends within a frame")
    if walk.cut_front:
        faults.append("does not begin with its first frame")
    if walk.junk:
        faults.append(f"has {walk.junk} bytes between its frames that are not audio")
    if walk.parts > 1:
        faults.append(f"is {walk.parts} files in one")
    return walk.held, faults
