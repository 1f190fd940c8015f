"""Reads and writes samples through a pipe, as WAV of unknown length or as raw samples."""

import dataclasses
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from ..errors import AudioFileError, UsageError
from ..sound.layouts import USUAL, layout_mask, mask_layout
from .chunks import is_unknown, pad_length

# WAV's format tag and the bytes per sample of each sample format, by FFmpeg's name.
RAW_FORMATS = {"u8": (1, 1), "s16le": (1, 2), "s24le": (1, 3), "s32le": (1, 4), "f32le": (3, 4)}
_FORMATS = {described: name for name, described in RAW_FORMATS.items()}
_EXTENSIBLE = 0xFFFE
# The bytes after the format tag in the GUID of a WAVEFORMATEXTENSIBLE.
_SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")
_UNKNOWN = 0xFFFFFFFF  # The length is unknown, so the stream is read to its end.
_MOST_HEADER = 1 << 20
# Limits that no music exceeds, so that a forged header cannot claim too much memory.
_MOST_CHANNELS, _SAMPLE_RATES = 64, range(1000, 768_001)


@dataclasses.dataclass(frozen=True)
class PcmFormat:
    """The format of the samples in a pipe.

    Attributes:
        name: a key of `RAW_FORMATS`.
        sample_rate: Hz.
        channels: number of audio channels, interleaved.
        channel_layout: FFmpeg's name; empty when unknown.
    """

    name: str
    sample_rate: int
    channels: int
    channel_layout: str = ""

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return RAW_FORMATS[self.name][1] * self.channels


def parse_format(text: str) -> PcmFormat:
    """Parses a format such as `"s16le:44100:2"`.

    Raises:
        UsageError: the text has another form or names an unsupported format.
    """
    name, *numbers = text.split(":")
    if name in RAW_FORMATS and len(numbers) == 2 and all(number.isdecimal() for number in numbers):
        sample_rate, channels = map(int, numbers)
        if _is_music(sample_rate, channels):
            return PcmFormat(name, sample_rate, channels)
    raise UsageError(
        f"a raw format must be FORMAT:HZ:CHANNELS with one of {', '.join(RAW_FORMATS)} as FORMAT; received {text!r};"
        " use s16le:44100:2 for the samples of a CD"
    )


def _is_music(sample_rate: int, channels: int) -> bool:
    return sample_rate in _SAMPLE_RATES and 0 < channels <= _MOST_CHANNELS


def read_wav_header(pipe: BinaryIO) -> tuple[PcmFormat, int | None]:
    """Reads a WAV stream up to its first sample.

    Returns:
        The format of the samples, and their length in bytes, or `None` when that is unknown.

    Raises:
        AudioFileError: the stream is not WAV, or its sample format is not supported.
    """

    def exactly(length: int) -> bytes:
        part = pipe.read(length)
        if len(part) < length:
            raise AudioFileError("a WAV stream is needed; it ended within its header; check the program that writes it")
        return part

    start = pipe.read(12)
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        raise AudioFileError(
            "a pipe must carry WAV, or raw samples with --raw FORMAT:HZ:CHANNELS;"
            f" received {start[:12]!r}; decode it first, for instance with 'ffmpeg -i SONG -f wav -'"
        )
    described, mask, ahead = None, 0, b""
    while True:
        kind, size = struct.unpack("<4sI", ahead + exactly(8 - len(ahead)))
        ahead = b""
        if kind == b"data":
            break
        if size > _MOST_HEADER:
            raise AudioFileError(
                f"a WAV stream must have a short header; chunk {kind!r} has {size} bytes; write the stream without it"
            )
        content = exactly(size)
        if size % 2:
            ahead = exactly(5)
            ahead = ahead[pad_length(ahead) :]
        if kind == b"fmt " and size >= 16:
            tag, channels, sample_rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
            if tag == _EXTENSIBLE and size >= 26:
                mask, tag = struct.unpack("<IH", content[20:26])
            described = tag, channels, sample_rate, bits
    name = _FORMATS.get((described[0], described[3] // 8)) if described else None
    if described is None or name is None or not _is_music(described[2], described[1]):
        raise AudioFileError(
            f"a WAV stream must have samples of {', '.join(RAW_FORMATS)}; received (format, channels, Hz, bits)"
            f" {described}; convert it first"
        )
    layout = mask_layout(mask) if mask.bit_count() == described[1] else ""
    return PcmFormat(name, described[2], described[1], layout), None if is_unknown(size) else size


def read_samples(
    pipe: BinaryIO, described: PcmFormat, block_length: int, size: int | None = None
) -> Iterator[np.ndarray]:
    """Yields blocks `(time, channels)` float32 as they arrive. The last one may be shorter.

    Args:
        pipe: the pipe to read from.
        described: the format of its samples.
        block_length: samples per channel in a block.
        size: number of bytes to read; all bytes when `None`.
    """
    while size is None or size > 0:
        wanted = block_length * described.frame_bytes
        chunk = pipe.read(wanted if size is None else min(wanted, size))
        if size is not None:
            size -= len(chunk)
        whole = len(chunk) - len(chunk) % described.frame_bytes
        if whole:
            yield to_floats(chunk[:whole], described)
        if len(chunk) < wanted:
            return


def to_floats(content: bytes, described: PcmFormat) -> np.ndarray:
    """Converts bytes to an array `(time, channels)` float32; integers are scaled to [-1, 1)."""
    tag, width = RAW_FORMATS[described.name]
    if tag == 3:
        return np.frombuffer(content, "<f4").reshape(-1, described.channels).astype(np.float32)
    # Samples of any width are placed in the upper bits of 32.
    padded = np.zeros((len(content) // width, 4), np.uint8)
    padded[:, 4 - width :] = np.frombuffer(content, np.uint8).reshape(-1, width)
    if width == 1:
        padded[:, 3] ^= 0x80  # 8-bit samples are unsigned
    return (padded.view("<i4")[:, 0] * 2.0**-31).astype(np.float32).reshape(-1, described.channels)


def to_bytes(block: np.ndarray, name: str) -> bytes:
    """Converts samples in the output format (int32 with the sample in its upper bits, or float32) to bytes."""
    tag, width = RAW_FORMATS[name]
    if tag == 3:
        return np.ascontiguousarray(block, "<f4").tobytes()
    upper = np.ascontiguousarray(block, "<i4").view(np.uint8).reshape(-1, 4)[:, 4 - width :]
    return (upper ^ np.uint8(0x80) if width == 1 else upper).tobytes()


def wav_header(described: PcmFormat) -> bytes:
    """Returns the header of a WAV stream of unknown length, with a channel mask if the layout is not the usual one."""
    tag, width = RAW_FORMATS[described.name]
    byte_rate = described.sample_rate * described.frame_bytes
    mask = layout_mask(described.channel_layout)
    extensible = described.channels not in USUAL or mask not in (0, layout_mask(USUAL[described.channels]))
    form = struct.pack(
        "<HHIIHH",
        _EXTENSIBLE if extensible else tag,
        described.channels,
        described.sample_rate,
        byte_rate,
        described.frame_bytes,
        8 * width,
    )
    if extensible:
        form += struct.pack("<HHIH", 22, 8 * width, mask, tag) + _SUBFORMAT
    return (
        struct.pack("<4sI4s4sI", b"RIFF", _UNKNOWN, b"WAVE", b"fmt ", len(form))
        + form
        + struct.pack("<4sI", b"data", _UNKNOWN)
    )
