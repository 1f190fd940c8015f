"""Reads lossless files as exact integer PCM in blocks, and hashes them as FLAC does.

FLAC's STREAMINFO has the MD5 of the samples as signed little-endian integers with interleaved channels. If the source
has the same hash, nothing was changed (`flac_proof.py`).
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from ..annotations import StrPath
from ..errors import AudioFileError
from ..sound.layouts import USUAL
from .audio_files import read_blocks
from .chunks import require_whole
from .flac_header import StreamInfo, read_streaminfo
from .headers import probe
from .libsndfile import ends_as_declared, sound_blocks
from .waves import open_wave

_BLOCK_LENGTH = 1 << 16
_CONTAINERS = ("WAV", "WAVEX", "RF64", "AIFF", "FLAC")
_BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}
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
        length: samples per channel.
        bits: number of bits that the samples need: 8, 16 or 24. For 32-bit and float files this is less than the stored
            width.
        scaled: whether the samples are stored as floating point.
        channel_layout: FFmpeg's name; empty if the file does not declare it, and for one or two channels.
        own_bits: bits per sample of a FLAC that only FFmpeg reads (12 or 20 bits, or without a length in its header); 0
            for all other files.
    """

    path: Path
    container: str
    sample_rate: int
    channels: int
    length: int
    bits: int
    scaled: bool = False
    channel_layout: str = ""
    own_bits: int = 0


@contextlib.contextmanager
def _open(path: StrPath) -> Iterator[soundfile.SoundFile]:
    file: BinaryIO | None = None
    try:
        file = open_wave(path)
        sound = soundfile.SoundFile(file)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        if file is not None:
            file.close()
        reason = getattr(error, "error_string", "") or str(error)
        raise AudioFileError(
            f"a WAV, AIFF or FLAC file is needed; {path}: {reason.rstrip('.')}; rip it again"
        ) from error
    with file, sound:
        yield sound


def _bits_needed(block: np.ndarray) -> int:
    """Returns the bits, 16 or 24, that hold int32 (left-justified) or float64 samples exactly; 0 if 24 do not."""
    if block.dtype == np.float64:
        block = block * 2.0**31
        # Infinity and NaN fail the comparisons, so 0 is returned for them too.
        if not ((block >= -(2.0**31)) & (block < 2.0**31) & (block == np.rint(block))).all():
            return 0
        block = block.astype(np.int64)
    if not (block & 0xFFFF).any():
        return 16
    return 0 if (block & 0xFF).any() else 24


def inspect(path: StrPath) -> Pcm:
    """Reads a lossless file's header and checks that FLAC can hold its samples.

    32-bit and float files are read completely, because FLAC can hold them only if 24 bits represent every sample
    exactly.

    Raises:
        AudioFileError: the file is not a WAV, AIFF or FLAC, is truncated, empty or lossy, or exceeds FLAC's limits.
    """
    path = Path(path)
    header = _unreadable_flac(path)
    if header is not None:
        return _inspect_flac(path, header)
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
        # libsndfile does not report the channel layout.
        layout = "" if file.channels in USUAL else probe(path).channel_layout
        return Pcm(path, family, file.samplerate, file.channels, file.frames, bits, scaled, layout)


def _unreadable_flac(path: Path) -> StreamInfo | None:
    """Returns the header of a FLAC that libsndfile cannot read to its end; `None` for any other file."""
    try:
        header = read_streaminfo(path)
        if header is None or not header.width:
            return None
        if header.width == header.bits:
            with _open(path) as file:
                return None if ends_as_declared(file) else header
    except (OSError, AudioFileError):
        return None
    return header


def _inspect_flac(path: Path, header: StreamInfo) -> Pcm:
    info = probe(path)
    pcm = Pcm(
        path, "FLAC", info.sample_rate, info.channels, 1 << 62, header.width, False, info.channel_layout, header.bits
    )
    digest, length = hashlib.md5(usedforsecurity=False), 0
    for block in _by_ffmpeg(pcm):
        length += len(block)
        digest.update(_own_bytes(block, header.bits))
    if header.md5 and digest.hexdigest() != header.md5:
        if length != header.length and header.length:
            raise _shorter(path, header.length, length)
        raise damaged(pcm)
    if not header.md5 and header.length > length:
        raise _shorter(path, header.length, length)
    return dataclasses.replace(pcm, length=length)


def _shorter(path: Path, declared: int, held: int) -> AudioFileError:
    return AudioFileError(
        f"a lossless file must be whole; {path} declares {declared} samples and holds {held}; rip it again"
    )


def _by_ffmpeg(pcm: Pcm) -> Iterator[np.ndarray]:
    complaints: list[str] = []
    for block in read_blocks(pcm.path, probe(pcm.path), _BLOCK_LENGTH, complaints=complaints, sample_type="i4"):
        yield block if pcm.bits > 16 else (block >> 16).astype(np.int16)
    if complaints:
        raise AudioFileError(f"a lossless file must be whole; {pcm.path} is damaged ({complaints[0]}); rip it again")


def _own_bytes(block: np.ndarray, bits: int) -> bytes:
    """Converts a block of `read_pcm` to the bytes that a FLAC of this bit depth hashes."""
    width = 8 * block.dtype.itemsize
    wide = block.astype(np.int64) << (64 - width) >> (64 - bits)
    return np.ascontiguousarray(wide.astype("<i8")).view(np.uint8).reshape(-1, 8)[:, : (bits + 7) // 8].tobytes()


def _cut(blocks: Iterator[np.ndarray], start: int, stop: int) -> Iterator[np.ndarray]:
    position = 0
    for block in blocks:
        part = block[max(start - position, 0) : max(stop - position, 0)]
        position += len(block)
        if len(part):
            yield part


def read_pcm(pcm: Pcm, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
    """Reads exact samples front to back, in constant memory.

    Args:
        pcm: what `inspect` returned.
        start: first sample.
        stop: the sample after the last; the end of the file when `None`.

    Yields:
        Integer arrays `(time, channels)`, left-justified: int16 for 8 and 16 bits, int32 for 24.

    Raises:
        AudioFileError: the file is damaged, or ends before its declared length.
    """
    if pcm.own_bits:
        yield from _cut(_by_ffmpeg(pcm), start, pcm.length if stop is None else stop)
        return
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
    """Converts a block of `read_pcm` to the bytes that FLAC hashes."""
    if bits == 8:
        return (block >> 8).astype(np.int8).tobytes()
    if bits == 16:
        return block.astype("<i2", copy=False).tobytes()
    # 24-bit samples are the upper three of four little-endian bytes.
    return np.ascontiguousarray(block.astype("<i4", copy=False)).view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()


def as_float(block: np.ndarray) -> np.ndarray:
    """Converts a block of `read_pcm` to float32 in [-1, 1)."""
    return block.astype(np.float32) / float(1 << (8 * block.dtype.itemsize - 1))


def pcm_md5(pcm: Pcm) -> str:
    """Returns the MD5 of all samples, as FLAC's STREAMINFO defines it, in hexadecimal."""
    digest = hashlib.md5(usedforsecurity=False)
    for block in read_pcm(pcm):
        digest.update(pcm_bytes(block, pcm.bits))
    return digest.hexdigest()


def damaged(pcm: Pcm) -> AudioFileError:
    """Returns the error for a FLAC file whose samples do not match its own MD5."""
    return AudioFileError(
        f"a FLAC file's samples must match the MD5 in its header; {pcm.path} is damaged; rip it again"
    )
