"""Checks that WAV, AIFF and MP4 files hold all that their chunks declare, and nothing after it."""

import os
from collections.abc import Iterator
from typing import BinaryIO

from ..annotations import StrPath
from .chunks import is_unknown, iter_chunks

# Number of bytes by which headers may be wrong in complete files, such as an extra pad byte.
_SLACK = 64


def scan_iff(path: StrPath) -> list[str]:
    """Goes through the chunks of a WAV, RF64 or AIFF file.

    Returns:
        The faults, as predicates of the file; empty if there are none.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        seen = False
        for name, offset, length in iter_chunks(file):
            if name in (b"data", b"SSND") and not seen:
                seen = True
                if is_unknown(length):
                    break
                if offset + length > size + _SLACK:
                    return [f"declares {length} bytes of sound and holds {max(size - offset, 0)}"]
            elif name in (b"RIFF", b"RF64", b"FORM"):
                return ["is 2 files in one"]
            elif not (name.isascii() and name.decode("ascii").isprintable()):
                # There is other data where the sound should have ended. Zeros are padding that some programs write.
                file.seek(offset - 8)
                if seen and size - offset > _SLACK and file.read(1 << 16).strip(b"\0"):
                    return [f"has {size - offset + 8} bytes after its sound that are not a chunk"]
                break
    return []


def scan_mp4(path: StrPath) -> tuple[float, list[str]]:
    """Goes through the atoms of an MP4 file.

    Returns:
        The duration in seconds that its sound track declares, 0.0 when unknown, without regard to an edit list that
        selects a part of it; and the faults, as predicates of the file.
    """
    duration, movies = 0.0, 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        for name, start, end in _atoms(file, 0, size):
            if end > size:
                return duration, [f"ends within its {name.decode('ascii', 'replace')}"]
            if name == b"moov":
                movies += 1
                duration = _sound_duration(file, start, end)
    return duration, [f"is {movies} files in one"] if movies > 1 else []


def _atoms(file: BinaryIO, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields the name, and the start and end of the content, of each atom between two offsets."""
    while position + 8 <= end:
        file.seek(position)
        length, name, begin = int.from_bytes(file.read(4), "big"), file.read(4), position + 8
        if length == 1:
            length, begin = int.from_bytes(file.read(8), "big"), position + 16
        elif length == 0:
            length = end - position
        # The data after the atoms are something else. An atom with a damaged name, however, is skipped by FFmpeg.
        if length < 8 or (position + length > end and not name.isalnum()):
            return
        yield name, begin, position + length
        position += length


def _sound_duration(file: BinaryIO, start: int, end: int) -> float:
    """Returns the duration in seconds of the first sound track of a `moov`, from its media header."""
    for track, *inside_track in _atoms(file, start, end):
        for media, *inside_media in _atoms(file, *inside_track) if track == b"trak" else ():
            if media != b"mdia":
                continue
            parts = {name: begin for name, begin, _ in _atoms(file, *inside_media)}
            if b"mdhd" not in parts or b"hdlr" not in parts:
                continue
            file.seek(parts[b"hdlr"] + 8)
            if file.read(4) != b"soun":
                continue
            file.seek(parts[b"mdhd"])
            header = file.read(32)
            wide = header[:1] == b"\1"
            scale, length = (header[20:24], header[24:32]) if wide else (header[12:16], header[16:20])
            known = int.from_bytes(scale, "big") and length.strip(b"\xff")
            return int.from_bytes(length, "big") / int.from_bytes(scale, "big") if known else 0.0
    return 0.0
