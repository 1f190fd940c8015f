"""Lossless files as exact integer PCM: read by blocks, hashed as FLAC hashes, written to FLAC and proven.

FLAC's STREAMINFO holds the MD5 of the samples as signed little-endian integers,
channels interleaved. The same sum over the source proves that nothing changed.
"""

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ..errors import AudioFileError
from .chunks import require_whole
from .sound import sound_blocks

_BLOCK_LENGTH = 1 << 16
_CONTAINERS = ("WAV", "WAVEX", "RF64", "AIFF", "FLAC")
_BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}
_SUBTYPES = {8: "PCM_S8", 16: "PCM_16", 24: "PCM_24"}
_FLAC_CHANNELS = 8
_FLAC_SAMPLE_RATE = 655350


@dataclasses.dataclass(frozen=True)
class Pcm:
    """The samples of a lossless file.

    Attributes:
        path: the file.
        container: `"WAV"`, `"AIFF"` or `"FLAC"`.
        sample_rate: Hz.
        channels: number of audio channels.
        length: samples a channel.
        bits: 8, 16 or 24: what the samples need, which for 32-bit and float files is less than they take.
        scaled: whether the samples are stored as floating point.
    """

    path: Path
    container: str
    sample_rate: int
    channels: int
    length: int
    bits: int
    scaled: bool = False


def _open(path) -> soundfile.SoundFile:
    try:
        # Bytes: libsndfile's binding refuses a str that is not UTF-8.
        return soundfile.SoundFile(os.fsencode(path))
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        reason = getattr(error, "error_string", "") or str(error)
        raise AudioFileError(
            f"a WAV, AIFF or FLAC file is needed; {path}: {reason.rstrip('.')}; rip it again"
        ) from error


def _bits_needed(block: np.ndarray) -> int:
    """Bits that hold a block of int32 (left-justified) or float64 samples exactly; 0 when 24 do not."""
    if block.dtype == np.float64:
        block = block * 2.0**31
        # Inf and NaN fail the comparisons as they should.
        if not ((block >= -(2.0**31)) & (block < 2.0**31) & (block == np.rint(block))).all():
            return 0
        block = block.astype(np.int64)
    if not (block & 0xFFFF).any():
        return 16
    return 0 if (block & 0xFF).any() else 24


def inspect(path) -> Pcm:
    """Reads a lossless file's header and checks that FLAC can hold its samples.

    32-bit and float files are read through once: FLAC takes them when 24 bits
    hold every sample exactly.

    Raises:
        AudioFileError: not a WAV, AIFF or FLAC, cut short, empty, compressed with loss, or more than FLAC holds.
    """
    path = Path(path)
    with _open(path) as file:
        container, subtype = file.format, file.subtype
        if container not in _CONTAINERS:
            raise AudioFileError(f"a WAV, AIFF or FLAC file is needed; {path} is {container}; rip the disc itself")
        if subtype not in _BITS and subtype not in ("PCM_32", "FLOAT", "DOUBLE"):
            raise AudioFileError(f"lossless PCM is needed; {path} holds {subtype}; rip the disc itself")
        if file.frames <= 0:
            raise AudioFileError(f"a track needs samples; {path} has none; rip it again")
        if file.channels > _FLAC_CHANNELS or file.samplerate > _FLAC_SAMPLE_RATE:
            raise AudioFileError(
                f"FLAC holds up to {_FLAC_CHANNELS} channels at {_FLAC_SAMPLE_RATE} Hz;"
                f" {path} has {file.channels} at {file.samplerate} Hz; convert it first"
            )
        if container != "FLAC":
            require_whole(path)
        bits = _BITS.get(subtype, 0)
        if not bits:
            dtype = "int32" if subtype == "PCM_32" else "float64"
            for block in sound_blocks(file, _BLOCK_LENGTH, dtype):
                needed = _bits_needed(block)
                if not needed:
                    raise AudioFileError(
                        f"FLAC holds integers of up to 24 bits; {path} is {subtype} and needs more;"
                        " export it as 24-bit WAV"
                    )
                bits = max(bits, needed)
        family = {"WAVEX": "WAV", "RF64": "WAV"}.get(container, container)
        scaled = subtype in ("FLOAT", "DOUBLE")
        return Pcm(path, family, file.samplerate, file.channels, file.frames, bits, scaled)


def read_pcm(pcm: Pcm, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
    """Reads exact samples front to back, in flat memory.

    Args:
        pcm: what `inspect` returned.
        start: first sample.
        stop: the sample after the last; the end of the file when `None`.

    Yields:
        Integer arrays `(time, channels)`, left-justified: int16 for 8 and 16 bits, int32 for 24.

    Raises:
        AudioFileError: the file is damaged, or ends before its declared length.
    """
    wide = pcm.bits > 16
    dtype = "float64" if pcm.scaled else "int32" if wide else "int16"
    left = (pcm.length if stop is None else stop) - start
    with _open(pcm.path) as file:
        try:
            file.seek(start)
            while left > 0:
                block = file.read(min(left, _BLOCK_LENGTH), dtype=dtype, always_2d=True)
                if not len(block):
                    raise AudioFileError(
                        f"a lossless file must be whole; {pcm.path} ends {left} samples early; rip it again"
                    )
                left -= len(block)
                if pcm.scaled:
                    block = (block * 2.0**31).astype(np.int32) if wide else (block * 2.0**15).astype(np.int16)
                yield block
        except soundfile.LibsndfileError as error:
            raise AudioFileError(
                f"a lossless file must be whole; {pcm.path} is damaged after {file.tell()} samples; rip it again"
            ) from error


def pcm_bytes(block: np.ndarray, bits: int) -> bytes:
    """A block of `read_pcm` as the bytes that FLAC's MD5 is taken of."""
    if bits == 8:
        return (block >> 8).astype(np.int8).tobytes()
    if bits == 16:
        return block.astype("<i2", copy=False).tobytes()
    # The upper three of four little-endian bytes.
    return np.ascontiguousarray(block.astype("<i4", copy=False)).view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()


def as_float(block: np.ndarray) -> np.ndarray:
    """A block of `read_pcm` as float32 in [-1, 1]."""
    return block.astype(np.float32) / float(1 << (8 * block.dtype.itemsize - 1))


def pcm_md5(pcm: Pcm) -> str:
    """MD5 of all samples, as FLAC's STREAMINFO defines it, in hexadecimal."""
    digest = hashlib.md5(usedforsecurity=False)
    for block in read_pcm(pcm):
        digest.update(pcm_bytes(block, pcm.bits))
    return digest.hexdigest()


def flac_writer(path, pcm: Pcm) -> soundfile.SoundFile:
    """An open FLAC file that takes blocks of `read_pcm(pcm)`."""
    return soundfile.SoundFile(
        os.fsencode(path), "w", pcm.sample_rate, pcm.channels, _SUBTYPES[pcm.bits], format="FLAC"
    )


def write_block(writer: soundfile.SoundFile, block: np.ndarray) -> None:
    """Writes a block of `read_pcm`.

    Raises:
        AudioFileError: the disk is full, which soundfile reports as a bare AssertionError.
    """
    try:
        writer.write(block)
    except (AssertionError, soundfile.LibsndfileError) as error:
        raise AudioFileError(
            f"the output must be writable; FLAC stopped with {str(error).rstrip('.') or 'a short write'};"
            " check the free space"
        ) from error


def streaminfo_md5(path) -> str:
    """The MD5 a FLAC file declares of its samples, in hexadecimal; empty when it declares none.

    A file that does not begin with `fLaC` (an ID3 tag was put before it) counts as declaring none.
    """
    with open(path, "rb") as file:
        head = file.read(42)
    # "fLaC", a block header of 4 bytes, STREAMINFO of 34 that ends in the MD5 (RFC 9639, section 8.2).
    if len(head) < 42 or head[:4] != b"fLaC" or not any(head[26:]):
        return ""
    return head[26:].hex()


def damaged(pcm: Pcm) -> AudioFileError:
    """The error for a FLAC file whose samples do not fit its own MD5."""
    return AudioFileError(
        f"a FLAC file's samples fit the MD5 in its header; those of {pcm.path} do not, it is damaged; rip it again"
    )


def holds(path, md5: str) -> bool:
    """Whether a file can be decoded, to samples of this MD5."""
    try:
        return pcm_md5(inspect(path)) == md5
    except AudioFileError:
        return False


def require_flac(path, md5: str, source) -> None:
    """Proves a FLAC against its source: the MD5 it declares, and the MD5 of what it decodes to.

    Raises:
        AudioFileError: one of them is not `md5`.
    """
    if streaminfo_md5(path) != md5 or not holds(path, md5):
        raise AudioFileError(
            f"a FLAC must hold its source's samples; the one made of {source} does not; check the disk's free space"
        )
