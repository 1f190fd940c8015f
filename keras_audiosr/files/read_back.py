"""Reads an output back before it is renamed, to verify that the disk holds what was written."""

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from ..errors import AudioFileError
from ..processes.file_systems import sync
from ..processes.threads import Workers
from ..sound.layouts import USUAL, same_layout, speakers
from . import audio_files, headers
from .formats import FORMATS, held_layout
from .libsndfile import sound_blocks
from .writers import Writer, little_endian

_BLOCK_LENGTH = 1 << 16
# Number of samples by which an MP3 may exceed its music, as happens with very short files.
_MP3_FRAME = 1152


def require_written(path: Path, writer: Writer, info: headers.AudioInfo) -> None:
    """Decodes a finished output and compares it with what its writer received.

    It compares the length and MD5 of the samples, and the channels and their layout. For an MP3 the MD5 is not
    compared.

    Args:
        path: the file, closed, with its tags.
        writer: the `Writer` that wrote it.
        info: sample rate, channels and layout of what the writer received.

    Raises:
        AudioFileError: the file differs from what was written.
    """
    _drop_from_cache(path)
    digest = hashlib.md5(usedforsecurity=False)
    # One thread computes the checksum while this one decodes the next block.
    workers = Workers(1)
    counted: Callable[[], None] = workers.start(lambda: None)
    length = 0
    held, _ = held_layout(path.suffix, info.channels, info.channel_layout)
    try:
        found = _found(path, info, held)
        for block in _blocks(path, writer, found):
            length += len(block)
            counted()
            counted = workers.start(functools.partial(digest.update, little_endian(block).data))
        counted()
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
    """Drops the file from the system's cache, so that it is read from the disk."""
    sync(path)
    if hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file, contextlib.suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _found(path: Path, info: headers.AudioInfo, held: str) -> headers.AudioInfo:
    """Reads the output's header and checks its channels and layout."""
    form = FORMATS[path.suffix.lower()]
    if info.channels in USUAL and not form.encoder:
        return info  # The length and MD5 of the samples also cover the number of channels.
    found = headers.probe(path)
    channels = min(info.channels, form.most_channels)
    if found.channels != channels or (speakers(held) and not same_layout(found.channel_layout, held)):
        raise AudioFileError(f"{path} has {found.channels} channels ({found.channel_layout}), not {channels} ({held})")
    return found


def _blocks(path: Path, writer: Writer, info: headers.AudioInfo) -> Iterator[np.ndarray]:
    if FORMATS[path.suffix.lower()].encoder:
        yield from audio_files.read_blocks(path, info, _BLOCK_LENGTH, sample_type="i4")
        return
    with open(path, "rb") as file, soundfile.SoundFile(file) as sound:
        dtype = "float32" if writer.bits is None else "int32"
        yield from sound_blocks(sound, _BLOCK_LENGTH, dtype)
