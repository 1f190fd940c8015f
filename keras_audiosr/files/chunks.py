"""Reads the chunks of RIFF (WAV, RF64) and FORM (AIFF) files: their offsets and declared lengths."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..annotations import StrPath
from ..errors import AudioFileError

# Names that show where a chunk begins even if the pad byte of the previous chunk is missing.
_KNOWN = {
    b"data", b"fmt ", b"LIST", b"fact", b"id3 ", b"ID3 ", b"bext", b"cue ", b"smpl", b"inst", b"PEAK", b"JUNK", b"junk",
    b"iXML", b"_PMX", b"PAD ", b"SSND", b"COMM", b"NAME", b"AUTH", b"ANNO", b"MARK", b"INST", b"CHAN", b"(c) ", b"FVER",
}  # fmt: skip


def is_unknown(length: int) -> bool:
    """Returns whether a chunk's length is a placeholder, from a program that wrote to a pipe or was interrupted."""
    return length == 0 or 0x7FFFF000 <= length <= 0x80000000 or 0xFFFFFF80 <= length <= 0xFFFFFFFF


def pad_length(behind: bytes) -> int:
    """Returns 1 if a chunk of odd length is followed by a pad byte, as it should be, or 0 if the next chunk follows.

    Args:
        behind: the bytes after the chunk.
    """
    if behind[1:5] in _KNOWN or behind[:1] in (b"", b"\0"):
        return 1
    return 0 if behind[:4] in _KNOWN else 1


def iter_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Walks the top-level chunks.

    Args:
        file: an open binary file, at any position.

    Yields:
        The chunk's name, the offset of its content and its declared length in bytes. A file of another kind yields
        nothing.
    """
    file.seek(0)
    head = file.read(12)
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64", b"BW64", b"FORM"):
        return
    order = ">" if head[:4] == b"FORM" else "<"
    data_length = None
    offset = 12
    size = file.seek(0, os.SEEK_END)
    # RF64 can declare lengths that exceed any file and that `seek` rejects.
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
        offset += 8 + length
        if length % 2 and offset < size:
            file.seek(offset)
            offset += pad_length(file.read(5))


def require_whole(path: StrPath) -> None:
    """Checks that a WAV or AIFF holds all the samples its header declares.

    libsndfile reads a truncated file without an error.

    Raises:
        AudioFileError: the sound chunk reaches beyond the end of the file.
    """
    size = Path(path).stat().st_size
    with open(path, "rb") as file:
        for name, offset, length in iter_chunks(file):
            if name in (b"data", b"SSND") and not is_unknown(length) and offset + length > size:
                raise AudioFileError(
                    f"a lossless file must be whole; {path} declares {length} bytes of sound and"
                    f" holds {max(size - offset, 0)}; rip it again"
                )


def write_wave_mask(path: StrPath, mask: int) -> None:
    """Sets the speakers of a WAVEFORMATEXTENSIBLE file, because libsndfile supports only a few layouts.

    Args:
        path: WAV or RF64 file, whole and closed.
        mask: dwChannelMask; 0 for unknown speakers.

    Raises:
        OSError: the file cannot be written.
    """
    with open(path, "r+b") as file:
        for name, offset, length in iter_chunks(file):
            file.seek(offset)
            if name == b"fmt " and length >= 40 and file.read(2) == b"\xfe\xff":
                file.seek(offset + 20)
                file.write(struct.pack("<I", mask))
                return


def append_chan(path: StrPath, mask: int) -> None:
    """Adds Apple's channel layout chunk to an AIFF file: a bitmap of the speakers, whose bits are those of WAV's masks.

    Args:
        path: AIFF file, whole and closed, without such a chunk.
        mask: the speakers.

    Raises:
        OSError: the file cannot be written.
    """
    use_bitmap = 0x10000  # kAudioChannelLayoutTag_UseChannelBitmap (Apple, CoreAudioTypes.h)
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.write(b"\0" * (end % 2) + struct.pack(">4sIIII", b"CHAN", 12, use_bitmap, mask, 0))
        size = file.seek(0, os.SEEK_END) - 8
        file.seek(4)
        file.write(struct.pack(">I", size))
