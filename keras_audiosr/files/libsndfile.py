"""Reads samples with libsndfile without trusting the length that a file declares.

A forged header can declare 2^36 samples. `soundfile.read` would allocate memory for all of them, and `SoundFile.blocks`
would keep yielding what is left in its buffer.
"""

import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import soundfile

_BLOCK_LENGTH = 1 << 18
# A declared length is trusted up to this many values per byte of the file, or this many in total. The array is then
# allocated at once.
_DENSEST, _SMALL = 64, 1 << 22


def ends_as_declared(sound: soundfile.SoundFile) -> bool:
    """Returns whether an open file can be read up to the last sample that it declares, without reading all of it.

    libsndfile cannot read a FLAC to its end if the number of samples in its header is missing, as with some recorders,
    or too high. Formats other than FLAC are not checked. Afterwards the file is at its beginning.
    """
    if sound.format != "FLAC":
        return True
    if not 0 < sound.frames < 1 << 36:
        return False
    try:
        sound.seek(sound.frames - 1)
        whole = len(sound.read(1, dtype="int32")) == 1
        sound.seek(0)
    except (soundfile.LibsndfileError, RuntimeError):
        return False
    return whole


def sound_blocks(sound: soundfile.SoundFile, block_length: int, dtype: str = "float32") -> Iterator[np.ndarray]:
    """Yields an open file in arrays `(time, channels)` of `block_length` samples; the last one may be shorter."""
    while len(block := sound.read(block_length, dtype=dtype, always_2d=True)):
        yield block


def read_sound(file: BinaryIO, dtype: str = "float32") -> tuple[np.ndarray, int]:
    """Reads all samples.

    Args:
        file: a file object, open for bytes.
        dtype: `"float32"`, `"int16"` or `"int32"`.

    Returns:
        Array `(time, channels)`, and the sample rate in Hz.

    Raises:
        soundfile.LibsndfileError: libsndfile cannot read it.
    """
    with soundfile.SoundFile(file) as sound:
        return read_open_sound(sound, os.fstat(file.fileno()).st_size, dtype), sound.samplerate


def read_open_sound(sound: soundfile.SoundFile, size: int, dtype: str = "float32") -> np.ndarray:
    """Reads all samples, like `read_sound`, from an open file of `size` bytes: array `(time, channels)`."""
    if sound.frames * sound.channels <= max(_DENSEST * size, _SMALL):
        return sound.read(dtype=dtype, always_2d=True)
    blocks = list(sound_blocks(sound, _BLOCK_LENGTH, dtype))
    return np.concatenate(blocks) if blocks else np.zeros((0, sound.channels), dtype)
