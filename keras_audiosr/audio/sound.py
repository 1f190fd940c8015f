"""Samples out of libsndfile without trusting the length that a file declares.

A forged header can declare 2^36 samples: `soundfile.read` would ask for memory by it, `SoundFile.blocks` go on
yielding what is left in its buffer.
"""

import os
from collections.abc import Iterator

import numpy as np
import soundfile

_BLOCK_LENGTH = 1 << 18
# Values a byte of the file, or in all, up to which a declared length is believed: the array is made in one piece.
_DENSEST, _SMALL = 64, 1 << 22


def sound_blocks(sound: soundfile.SoundFile, block_length: int, dtype: str = "float32") -> Iterator[np.ndarray]:
    """Arrays `(time, channels)` of `block_length` samples, the last one shorter, as long as there are any."""
    while len(block := sound.read(block_length, dtype=dtype, always_2d=True)):
        yield block


def read_sound(file, dtype: str = "float32") -> tuple[np.ndarray, int]:
    """Reads all that there is.

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
    """As `read_sound`, of a file of `size` bytes that is open already: array `(time, channels)`."""
    if sound.frames * sound.channels <= max(_DENSEST * size, _SMALL):
        return sound.read(dtype=dtype, always_2d=True)
    blocks = list(sound_blocks(sound, _BLOCK_LENGTH, dtype))
    return np.concatenate(blocks) if blocks else np.zeros((0, sound.channels), dtype)
