"""The chunks of RIFF (WAV, RF64) and FORM (AIFF) files: where they lie and how long they say they are."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import AudioFileError

# A writer that cannot seek back (a pipe) leaves one of these as the length.
_UNKNOWN = 0x7FFFF000


def iter_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Walks the top-level chunks.

    Args:
        file: an open binary file, at any position.

    Yields:
        The chunk's name, the offset of its content and its declared length in
        bytes. Nothing for a file of another kind.
    """
    file.seek(0)
    head = file.read(12)
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64", b"BW64", b"FORM"):
        return
    order = ">" if head[:4] == b"FORM" else "<"
    data_length = None
    offset = 12
    size = file.seek(0, os.SEEK_END)
    # RF64 can declare lengths that no file has and no seek takes.
    while offset < size:
        file.seek(offset)
        head = file.read(8)
        if len(head) < 8:
            return
        name, length = struct.unpack(f"{order}4sI", head)
        if name == b"ds64":
            fields = file.read(16)
            data_length = struct.unpack("<8xQ", fields)[0] if len(fields) == 16 else None
        elif name == b"data" and data_length is not None and length == 0xFFFFFFFF:
            length = data_length
        yield name, offset + 8, length
        offset += 8 + length + length % 2


def require_whole(path) -> None:
    """Checks that a WAV or AIFF holds all the samples its header declares.

    libsndfile reads a cut file to its end without a word.

    Raises:
        AudioFileError: the sound chunk reaches beyond the end of the file.
    """
    size = Path(path).stat().st_size
    with open(path, "rb") as file:
        for name, offset, length in iter_chunks(file):
            streamed = length == 0xFFFFFFFF or _UNKNOWN <= length <= 0x80000000
            if name in (b"data", b"SSND") and not streamed and offset + length > size:
                raise AudioFileError(
                    f"a lossless file must be whole; {path} declares {length} bytes of sound and"
                    f" holds {max(size - offset, 0)}; rip it again"
                )
