"""Reading an output back before it takes its name: what lies on the disk is what was written."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ..errors import AudioFileError
from . import files
from .partials import sync
from .sound import sound_blocks
from .writers import FORMATS, Writer, little_endian

_BLOCK_LENGTH = 1 << 16
# Samples that an MP3 may be longer than its music, which happens to files of a few samples.
_MP3_FRAME = 1152


def require_written(path: Path, writer: Writer, info: files.AudioInfo) -> None:
    """Decodes a finished output and holds it against what its writer was given: length and MD5 of the samples.

    An MP3 is held by its length alone.

    Args:
        path: the file, closed.
        writer: what wrote it.
        info: its sample rate and channels.

    Raises:
        AudioFileError: the file is not what was written.
    """
    _drop_from_cache(path)
    digest = hashlib.md5(usedforsecurity=False)
    length = 0
    try:
        for block in _blocks(path, writer, info):
            length += len(block)
            digest.update(little_endian(block).data)
    except (AudioFileError, soundfile.LibsndfileError) as error:
        raise AudioFileError(
            f"what was written must be readable; {error}; check the disk, and restore again"
        ) from error
    if path.suffix.lower() == ".mp3":
        whole = 0 <= length - writer.length <= _MP3_FRAME
    else:
        whole = (length, digest.hexdigest()) == (writer.length, writer.md5)
    if not whole:
        raise AudioFileError(
            f"what was written must be read back; the disk gave {length} samples with MD5 {digest.hexdigest()}, not"
            f" {writer.length} with {writer.md5}; check the disk, and restore again"
        )


def _drop_from_cache(path: Path) -> None:
    """So that the disk is read, not what the system remembers of it."""
    sync(path)
    if hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file, contextlib.suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _blocks(path: Path, writer: Writer, info: files.AudioInfo) -> Iterator[np.ndarray]:
    if isinstance(FORMATS[path.suffix.lower()], list):
        yield from files.read_blocks(path, info, _BLOCK_LENGTH, sample_type="i4")
        return
    with open(path, "rb") as file, soundfile.SoundFile(file) as sound:
        dtype = "float32" if writer.bits is None else "int32"
        yield from sound_blocks(sound, _BLOCK_LENGTH, dtype)
