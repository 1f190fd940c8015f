"""Presents WAV files whose header misstates where the sound is as valid WAV files.

A recorder that loses power leaves a length of 0. A program that writes to a pipe leaves one of several impossible
lengths. Some programs leave out the pad byte after a chunk of odd length. FFmpeg, libsndfile and our reader of pipes
each handle only some of these cases.
"""

import contextlib
import io
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..annotations import StrPath
from .chunks import is_unknown, iter_chunks

_MOST_FORMAT = 256  # bytes of a format chunk


class _WholeWave(io.RawIOBase):
    """A new header followed by a part of a file, as one readable and seekable file."""

    def __init__(self, file: BinaryIO, header: bytes, start: int, length: int):
        self._file, self._header, self._start = file, header, start
        self._size = len(header) + length
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file.fileno()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(0, self._size - self._position))
        inside = self._position - len(self._header)
        if inside < 0:
            part = self._header[self._position :][:wanted]
        else:
            self._file.seek(self._start + inside)
            part = self._file.read(wanted)
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()


def _misread(file: BinaryIO) -> tuple[bytes, int, int, bool] | None:
    """Returns the format chunk, and the offset and length of the sound, of a WAV that libsndfile misreads.

    The last value is whether FFmpeg misreads it too. The result is `None` for other files.
    """
    size = os.fstat(file.fileno()).st_size
    form, unpadded, expected = b"", False, 12
    for name, offset, length in iter_chunks(file):
        unpadded = unpadded or offset - 8 < expected
        if name == b"fmt ":
            file.seek(offset)
            form = file.read(min(length, _MOST_FORMAT))
        elif name == b"data":
            if not form or not (unpadded or length == 0):
                return None
            length = size - offset if is_unknown(length) else min(length, size - offset)
            return form, offset, length, unpadded
        expected = offset + length + length % 2
    return None


def open_wave(path: StrPath) -> BinaryIO:
    """Opens a file for libsndfile. A WAV that it would misread is given a correct header."""
    # A file object is used, because libsndfile cannot open a path that is not UTF-8.
    file = open(path, "rb")  # noqa: SIM115 - returned
    found = _misread(file) if file.read(4) == b"RIFF" else None
    file.seek(0)
    if found is None or not found[2]:
        return file
    form, start, length, _ = found
    form += b"\0" * (len(form) % 2)
    shown = min(length, 0xFFFFFFFF)
    header = struct.pack("<4sI4s4sI", b"RIFF", min(shown + 28 + len(form), 0xFFFFFFFF), b"WAVE", b"fmt ", len(form))
    return io.BufferedReader(_WholeWave(file, header + form + struct.pack("<4sI", b"data", shown), start, length))


@contextlib.contextmanager
def for_ffmpeg(path: Path) -> Iterator[Path]:
    """Yields `path`, or the path of a temporary, corrected copy if it is a WAV that FFmpeg would misread."""
    found = None
    with open(path, "rb") as file:
        if file.read(4) == b"RIFF":
            found = _misread(file)
    if found is None or not found[3]:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="keras-audiosr-", suffix=".wav") as copy, open_wave(path) as whole:
        shutil.copyfileobj(whole, copy, 1 << 20)
        copy.flush()
        yield Path(copy.name)
