"""Writes restored music block by block, in the formats that `restore` offers."""

import contextlib
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from ..errors import AudioFileError, UsageError
from ..processes.ffmpeg import find_binary, input_argument, last_line, start_limited
from ..sound.dither import Dither
from ..sound.layouts import USUAL, layout_mask, remixless, same_layout, speakers
from .chunks import append_chan, write_wave_mask
from .formats import FORMATS, Format, held_layout
from .headers import AudioInfo

BITS = {"PCM_16": 16, "PCM_24": 24}
# Above this size a WAV file's 32-bit lengths are too small; RF64 is WAV with 64-bit lengths.
WAV_LIMIT = 4_000_000_000


def to_pcm(audio: np.ndarray, bits: int) -> tuple[np.ndarray, int]:
    """Rounds samples to integers of `bits` bits, and clamps samples beyond full scale.

    Samples of an integer file that were decoded to floating point and not changed are restored exactly.

    Args:
        audio: array `(time, channels)` float32, full scale at [-1, 1).
        bits: 16 or 24.

    Returns:
        Array `(time, channels)` int32 with the sample in its upper bits, and the number of clamped samples.
    """
    scale = 1 << (bits - 1)
    # Double precision is used, because float32 cannot hold 24 bits and the fraction to round.
    scaled = np.rint(audio.astype(np.float64) * scale)
    clamped = np.clip(scaled, -scale, scale - 1)
    clipped = int(np.count_nonzero((scaled < -scale) | (scaled > scale)))
    return clamped.astype(np.int32) << (32 - bits), clipped


def sample_format(suffix: str, subtype: str | None = None) -> str:
    """Returns the sample format of an output: `"PCM_16"`, `"PCM_24"` or `"FLOAT"`.

    Args:
        suffix: a key of `FORMATS`, in any case.
        subtype: the requested sample format, in any case; `None` for 24 bits.

    Raises:
        UsageError: the output format does not have this subtype.
    """
    form = FORMATS[suffix.lower()]
    wanted = (subtype or "PCM_24").upper()
    if wanted not in (*BITS, "FLOAT") or (subtype and form.encoder) or (wanted == "FLOAT" and not form.floating):
        raise UsageError(
            "a subtype must be PCM_16 or PCM_24, or FLOAT in WAV and AIFF;"
            f" received {subtype!r} for {suffix}; leave it out for 24 bits"
        )
    return wanted


def little_endian(block: np.ndarray) -> np.ndarray:
    """Returns samples as a contiguous little-endian array, int32 or float32, for a checksum."""
    return np.ascontiguousarray(block, "<i4" if block.dtype.kind == "i" else "<f4")


class Writer:
    """Writes blocks `(time, channels)`; 16-bit samples are dithered.

    Attributes:
        clipped: number of clamped samples.
        length: samples per channel that were written.
        bits: bits per sample of an integer format, else `None`.
    """

    def __init__(self, sink: Callable[[np.ndarray], object], bits: int | None, clamp: bool = True):
        self._sink = sink
        self.bits = bits
        self._clamp = clamp
        self._dither = Dither(bits) if bits == 16 else None
        self._digest = hashlib.md5(usedforsecurity=False)
        self.clipped = 0
        self.length = 0

    @property
    def md5(self) -> str:
        """MD5 of all written samples, as little-endian int32 with the sample in the upper bits, or as float32."""
        return self._digest.hexdigest()

    def write(self, block: np.ndarray) -> None:
        """Appends a block `(time, channels)` float32."""
        if self.bits is None and self._clamp:
            self.clipped += int(np.count_nonzero(np.abs(block) > 1.0))
            block = np.clip(block, -1.0, 1.0)
        elif self.bits is not None:
            # Clipping is counted before the dither, which is not part of the music.
            pcm, clipped = to_pcm(block, self.bits)
            self.clipped += clipped
            block = pcm if self._dither is None else to_pcm(self._dither(block), self.bits)[0]
        self.length += len(block)
        self._digest.update(little_endian(block).data)
        self._sink(block)


@contextlib.contextmanager
def open_writer(
    path: Path, info: AudioInfo, subtype: str | None, clamp: bool = True, target: Path | None = None
) -> Iterator[Writer]:
    """Opens an output file. Its suffix determines the format, and `formats.held_layout` the channel layout.

    The layout of a FLAC is a tag (`formats.layout_tags`), which is written later together with the other tags.

    Args:
        path: output path, a new file.
        info: sample rate, channels and layout of the music; its duration decides whether a WAV needs 64-bit lengths.
        subtype: `"PCM_16"`, `"PCM_24"`, `"FLOAT"`; `None` for 24 bits.
        clamp: whether floating-point samples are clamped to full scale. Integers always are.
        target: the final path of the output, for messages; `path` if `None`.

    Raises:
        UsageError: the output format does not have this subtype.
        AudioFileError: the format holds fewer channels than the music has, or the encoder fails.
    """
    form = FORMATS[path.suffix.lower()]
    wanted = sample_format(path.suffix, subtype)
    held, _ = held_layout(path.suffix, info.channels, info.channel_layout)
    if form.encoder:
        with _ffmpeg_encoder(path, info, form, held, target or path) as sink:
            yield Writer(sink, 24)
        return
    container = form.container
    marked = bool(speakers(held)) and not same_layout(held, USUAL.get(info.channels, ""))
    if container == "WAV" and info.duration * info.sample_rate * info.channels * 4 > WAV_LIMIT:
        container = "RF64"
    elif container == "WAV" and marked:
        container = "WAVEX"
    arguments = {"samplerate": info.sample_rate, "channels": info.channels, "format": container, "subtype": wanted}
    try:
        # As bytes, because libsndfile's binding refuses a str that is not UTF-8.
        file = soundfile.SoundFile(os.fsencode(path), "w", **arguments)
    except (ValueError, soundfile.LibsndfileError) as error:
        raise AudioFileError(
            f"the output format must allow the music's {info.channels} channels at {info.sample_rate} Hz;"
            f" {target or path} in {container} {wanted}: {_reason(error)}; try --format wav"
        ) from error
    with file:
        yield Writer(file.write, BITS.get(wanted), clamp)
    if container in ("WAVEX", "RF64"):
        write_wave_mask(path, layout_mask(held))
    elif container == "AIFF" and marked:
        append_chan(path, layout_mask(held))


@contextlib.contextmanager
def _ffmpeg_encoder(path: Path, info: AudioInfo, form: Format, held: str, target: Path) -> Iterator:
    command = [find_binary("ffmpeg"), "-nostdin", "-hide_banner", "-v", "error", "-y"]
    mixed = info.channels > form.most_channels
    # Unless the channels are mixed down, FFmpeg is given the output's layout for them, so that it remixes nothing.
    command += ["-f", "s32le", "-ar", str(info.sample_rate)]
    command += [*remixless(info.channels, info.channel_layout if mixed else held), "-i", "pipe:0"]
    command += [*form.encoder, *(remixless(form.most_channels, held) if mixed else [])]
    with tempfile.TemporaryFile() as log, _chapters(info if path.suffix.lower() == ".m4a" else None) as chapters:
        after = command.index("pipe:0") + 1
        command[after:after] = chapters
        process = start_limited([*command, input_argument(path)], stdin=subprocess.PIPE, stderr=log)
        sink = process.stdin
        assert sink is not None  # for the type checker
        complete = False
        try:
            with contextlib.suppress(BrokenPipeError):  # The exit status below shows that FFmpeg failed.
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
                f"FFmpeg must be able to write {path.suffix}; {target} with {info.channels} channels at"
                f" {info.sample_rate} Hz: {last_line(log.read())}; try --format flac"
            )


def _reason(error: Exception) -> str:
    """Returns why libsndfile refused to open a file, without the path, which is that of a temporary file."""
    return str(getattr(error, "error_string", error)).rstrip(".")


@contextlib.contextmanager
def _chapters(info: AudioInfo | None) -> Iterator[list[str]]:
    """Yields FFmpeg's arguments for an input with the chapters of an M4A, because mutagen cannot write them."""
    if info is None or not info.chapters:
        yield []
        return
    lines = [";FFMETADATA1"]
    for start, end, title in info.chapters:
        escaped = re.sub(r"([=;#\\\n])", r"\\\1", title)
        lines += ["[CHAPTER]", "TIMEBASE=1/1000", f"START={round(1000 * start)}"]
        lines += [f"END={round(1000 * max(start, end))}", f"title={escaped}"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8", errors="replace") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        limits = ["-protocol_whitelist", "file,pipe", "-format_whitelist", "ffmetadata", "-f", "ffmetadata"]
        yield [*limits, "-i", input_argument(file.name), "-map", "0:a", "-map_chapters", "1", "-map_metadata", "-1"]
