"""Writing restored music block by block, in the formats that `restore` offers."""

import contextlib
import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ..errors import AudioFileError, UsageError
from .dither import Dither
from .ffmpeg import find_binary, input_argument, last_line
from .files import AudioInfo

# Suffix -> libsndfile's format, or the encoder arguments of FFmpeg.
FORMATS: dict[str, str | list[str]] = {
    ".flac": "FLAC",
    ".wav": "WAV",
    ".aiff": "AIFF",
    ".aif": "AIFF",
    ".m4a": ["-c:a", "alac", "-sample_fmt", "s32p"],
    ".wv": ["-c:a", "wavpack", "-sample_fmt", "s32p"],
    ".mp3": ["-c:a", "libmp3lame", "-b:a", "320k"],
}
BITS = {"PCM_16": 16, "PCM_24": 24}
# Above this a WAV file's 32-bit lengths no longer hold; RF64 is WAV with 64-bit ones.
WAV_LIMIT = 4_000_000_000


def to_pcm(audio: np.ndarray, bits: int) -> tuple[np.ndarray, int]:
    """Rounds to integers of `bits` bits, clamping what lies beyond full scale.

    The samples of an integer file that were decoded to floating point and left alone come back exactly.

    Args:
        audio: array `(time, channels)` float32, full scale at [-1, 1).
        bits: 16 or 24.

    Returns:
        Array `(time, channels)` int32 with the sample in its upper bits, and the number of clamped samples.
    """
    scale = 1 << (bits - 1)
    # In double: a float32 has not the room for 24 bits and rounding.
    scaled = np.rint(audio.astype(np.float64) * scale)
    clamped = np.clip(scaled, -scale, scale - 1)
    clipped = int(np.count_nonzero((scaled < -scale) | (scaled > scale)))
    return clamped.astype(np.int32) << (32 - bits), clipped


def sample_format(suffix: str, subtype: str | None = None) -> str:
    """The sample format of an output: `"PCM_16"`, `"PCM_24"` or `"FLOAT"`.

    Args:
        suffix: a key of `FORMATS`, in any case.
        subtype: the one asked for, in any case; `None` for 24 bits.

    Raises:
        UsageError: a subtype that the format does not have.
    """
    container = FORMATS[suffix.lower()]
    wanted = (subtype or "PCM_24").upper()
    if (
        wanted not in (*BITS, "FLOAT")
        or (subtype and isinstance(container, list))
        or (wanted == "FLOAT" and container == "FLAC")
    ):
        raise UsageError(
            "a subtype is PCM_16 or PCM_24, or in WAV and AIFF FLOAT;"
            f" received {subtype!r} for {suffix}; leave it out for 24 bits"
        )
    return wanted


def little_endian(block: np.ndarray) -> np.ndarray:
    """Samples as bytes for a checksum: int32 or float32, in order, lowest byte first."""
    return np.ascontiguousarray(block, "<i4" if block.dtype.kind == "i" else "<f4")


class Writer:
    """Takes blocks `(time, channels)`; 16 bits are dithered.

    Attributes:
        clipped: samples it had to clamp.
        length: samples a channel that were written.
        bits: of an integer format, else `None`.
    """

    def __init__(self, sink, bits: int | None, clamp: bool = True):
        self._sink = sink
        self.bits = bits
        self._clamp = clamp
        self._dither = Dither(bits) if bits == 16 else None
        self._digest = hashlib.md5(usedforsecurity=False)
        self.clipped = 0
        self.length = 0

    @property
    def md5(self) -> str:
        """MD5 of all that was written, as it is read back: little-endian int32 with the sample on top, or float32."""
        return self._digest.hexdigest()

    def write(self, block: np.ndarray) -> None:
        """Appends a block `(time, channels)` float32."""
        if self.bits is None and self._clamp:
            self.clipped += int(np.count_nonzero(np.abs(block) > 1.0))
            block = np.clip(block, -1.0, 1.0)
        elif self.bits is not None:
            # Counted before the dither, which is no one's music.
            pcm, clipped = to_pcm(block, self.bits)
            self.clipped += clipped
            block = pcm if self._dither is None else to_pcm(self._dither(block), self.bits)[0]
        self.length += len(block)
        self._digest.update(little_endian(block).data)
        self._sink(block)


@contextlib.contextmanager
def open_writer(path: Path, info: AudioInfo, subtype: str | None, clamp: bool = True) -> Iterator[Writer]:
    """Opens an output file; its suffix chooses the format.

    Args:
        path: output path, a new file.
        info: sample rate and channels of the music; its duration decides whether a WAV needs 64-bit lengths.
        subtype: `"PCM_16"`, `"PCM_24"`, `"FLOAT"`; `None` for 24 bits.
        clamp: whether floating point is clamped to full scale too, as integers always are.

    Raises:
        UsageError: a subtype that the format does not have.
        AudioFileError: the encoder fails.
    """
    container = FORMATS[path.suffix.lower()]
    wanted = sample_format(path.suffix, subtype)
    if isinstance(container, list):
        with _ffmpeg_encoder(path, info, container) as sink:
            yield Writer(sink, 24)
        return
    if container == "WAV" and info.duration * info.sample_rate * info.channels * 4 > WAV_LIMIT:
        container = "RF64"
    arguments = {"samplerate": info.sample_rate, "channels": info.channels, "format": container, "subtype": wanted}
    try:
        file = soundfile.SoundFile(path, "w", **arguments)
    except (ValueError, soundfile.LibsndfileError) as error:
        raise AudioFileError(
            f"the output format must allow the music's {info.channels} channels at {info.sample_rate} Hz;"
            f" {container} {wanted}: {error}; try --format wav"
        ) from error
    with file:
        yield Writer(file.write, BITS.get(wanted), clamp)


@contextlib.contextmanager
def _ffmpeg_encoder(path: Path, info: AudioInfo, arguments: list[str]) -> Iterator:
    command = [find_binary("ffmpeg"), "-nostdin", "-hide_banner", "-v", "error", "-y"]
    command += ["-f", "s32le", "-ar", str(info.sample_rate), "-ac", str(info.channels), "-i", "pipe:0"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([*command, *arguments, input_argument(path)], stdin=subprocess.PIPE, stderr=log)
        sink = process.stdin
        assert sink is not None  # as asked for; for the type checker
        complete = False
        try:
            with contextlib.suppress(BrokenPipeError):  # its exit status says why
                yield lambda block: sink.write(np.ascontiguousarray(block, "<i4").data)
                sink.close()
                complete = True
        finally:
            if not complete:
                process.kill()
            with contextlib.suppress(BrokenPipeError):
                sink.close()
            failed = process.wait() != 0
        if failed:
            log.seek(0)
            raise AudioFileError(
                f"FFmpeg must be able to write {path.suffix}; {info.channels} channels at {info.sample_rate} Hz:"
                f" {last_line(log.read())}; try --format flac"
            )
