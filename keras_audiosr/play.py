"""A player's way through a song: block by block, as it comes, into a pipe or a file.

Needs NumPy, soundfile and ai-edge-litert, and nothing else that a player would not have: no TensorFlow, and no FFmpeg
for what libsndfile reads. What `restore` does for files, this does for ears: with a switch, and by the clock.
"""

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .errors import AudioFileError, UsageError

if TYPE_CHECKING:
    from .runners import Runner

__all__ = ["PlayReport", "play"]

_StrPath = str | os.PathLike[str]
# What stands for standard input and output on the command line.
_PIPE = "-"
# What a pipe out can carry: WAV of 16 bits, or raw samples.
_PIPE_FORMATS = ("wav", "s16le", "s24le", "f32le")


@dataclasses.dataclass(frozen=True)
class PlayReport:
    """How a song went through.

    Attributes:
        sample_rate: Hz.
        channels: number of audio channels.
        length: samples a channel, in and out.
        block_length: samples a step.
        latency: samples from a sample's coming in to its going out, the block it waits for included.
        step_p50: median time of a step, in % of the block's duration.
        step_p99: time that 99 % of the steps keep to, in % of the block's duration.
        underruns: steps that came too late; 0 unless held to real time.
        limited: samples (of one channel) that the limiter turned down.
    """

    sample_rate: int
    channels: int
    length: int
    block_length: int
    latency: int
    step_p50: float
    step_p99: float
    underruns: int
    limited: int


def play(
    source: "_StrPath | BinaryIO",
    out: "_StrPath | BinaryIO",
    model: "_StrPath | None" = None,
    *,
    raw: str | None = None,
    pipe_format: str = "wav",
    bypass: bool | Callable[[float], bool] = False,
    realtime: bool = False,
    buffer: int = 1,
    overwrite: bool = False,
) -> PlayReport:
    """Restores music block by block, as a player does.

    As many samples come out as go in, in step with them. A limiter keeps true peaks under full scale; elsewhere it
    changes nothing.

    Args:
        source: a file that libsndfile reads (MP3, FLAC, WAV, AIFF, Ogg; others where FFmpeg is), or a binary pipe with
            WAV or, with `raw`, bare samples.
        out: a new `.wav`, `.flac` or `.aiff` file (24 bits), or a binary pipe.
        model: exported model, or one of its `.tflite` files; of a folder with streaming artefacts the step of 1024
            samples or the nearest to it. The bundled model when `None`.
        raw: what a pipe without a header carries, such as `"s16le:44100:2"`.
        pipe_format: what goes into a pipe: `"wav"` (16 bits, its length left open), `"s16le"`, `"s24le"`, `"f32le"`.
        bypass: whether the untouched music is heard; or what answers that for a time in seconds, asked before each
            block. Both lag alike, and a switch fades within 10 ms.
        realtime: whether blocks come by the clock, and late ones are counted.
        buffer: blocks that a sound card holds, for the count.
        overwrite: whether `out` may be replaced.

    Returns:
        What was played, and how long steps took.

    Raises:
        AudioFileError: `source` cannot be read, or `out` not be written.
        ArtifactError: the model is missing or damaged.
        OutputExistsError: `out` is there and `overwrite` is false.
        UsageError: a format that does not exist; music at another sample rate than the model's where soxr is missing.

    Example:

    >>> report = play("song.mp3", "restored.wav", bypass=lambda time: time > 30)  # doctest: +SKIP
    >>> report.step_p99  # doctest: +SKIP
    6.1
    """
    if buffer < 1:
        raise UsageError(f"a sound card holds at least one block; received buffer={buffer}; use 1")
    if pipe_format not in _PIPE_FORMATS:
        raise UsageError(f"a pipe carries {', '.join(_PIPE_FORMATS)}; received {pipe_format!r}; use wav")
    from .audio.bypass import Bypass
    from .audio.ends import open_sink, open_source
    from .audio.limiter import Limiter
    from .audio.oversampling import Oversampler

    runner, block_length = _load(model)
    with contextlib.ExitStack() as stack:
        sample_rate, channels, blocks = stack.enter_context(open_source(source, raw, block_length))
        _require_rate(sample_rate, runner.sample_rate)
        restoring = runner.processor(channels, sample_rate, None if hasattr(source, "read") else source)
        switch = Bypass(restoring, sample_rate, channels, active=_asked(bypass, 0.0))
        limiter = Limiter(sample_rate, channels, Oversampler(channels))
        write = stack.enter_context(open_sink(out, sample_rate, channels, pipe_format, overwrite))
        return _run(blocks, switch, limiter, write, bypass, sample_rate, channels, block_length, realtime, buffer)


def _run(blocks, switch, limiter, write, bypass, sample_rate, channels, block_length, realtime, buffer) -> PlayReport:
    import numpy as np

    from .pace import Pace

    pace = Pace(block_length / sample_rate, buffer, realtime)
    received = returned = latency = 0
    for block in blocks:
        if not np.isfinite(block).all():
            raise AudioFileError("samples must be finite; the source holds NaN or infinity; mend it where it was made")
        pace.begin()
        switch.active = _asked(bypass, received / sample_rate)
        ready = limiter.push(switch.push(block))
        pace.end()
        received += len(block)
        if len(ready):
            latency = max(latency, received - returned)
            returned += len(ready)
        write(ready)
    for rest in (limiter.push(switch.finish()), limiter.finish()):
        write(rest)
    if not received:
        raise AudioFileError("music is needed; the source holds no samples; check it")
    return PlayReport(
        sample_rate=sample_rate,
        channels=channels,
        length=received,
        block_length=block_length,
        latency=latency,
        step_p50=pace.percent(0.5),
        step_p99=pace.percent(0.99),
        underruns=pace.underruns,
        limited=limiter.limited,
    )


def _asked(bypass: bool | Callable[[float], bool], position: float) -> bool:
    return bool(bypass(position)) if callable(bypass) else bypass


def _load(model) -> "tuple[Runner, int]":
    """The runner, and the samples of one of its steps."""
    from . import presets
    from .runners.artifact import METADATA, read_metadata
    from .runners.load import load_runner
    from .runners.streaming import StreamingRunner

    if model is None or str(model) in presets.list_presets():
        model = presets.bundled_folder(presets.DEFAULT_PRESET if model is None else str(model))
    if (Path(model) / METADATA).is_file():
        steps = read_metadata(model).get("streaming") or {}
        if steps:
            model = Path(model) / min(steps, key=lambda name: abs(steps[name]["hop_length"] - 1024))
    runner = load_runner(model)
    if isinstance(runner, StreamingRunner):
        return runner, runner.step_length
    return runner, runner.window_length - 2 * runner.context


def _require_rate(sample_rate: int, model_rate: int) -> None:
    import importlib.util

    if sample_rate != model_rate and importlib.util.find_spec("soxr") is None:
        raise UsageError(
            f"where soxr is not installed, music must be at the model's {model_rate} Hz; received {sample_rate} Hz;"
            " pip install soxr"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `keras-audiosr play`."""
    add = parser.add_argument
    add("source", metavar="IN", help="music file, or - for a pipe with WAV (or what --raw says)")
    add("-o", "--out", default=_PIPE, help="new .wav, .flac or .aiff file (24 bits), or - for a pipe (default)")
    add("--model", help="preset, exported model or one of its stream_*.tflite; else the bundled preset")
    add("--raw", metavar="FORMAT:HZ:CHANNELS", help="the pipe in has no header, such as s16le:44100:2")
    add("--format", choices=_PIPE_FORMATS, default="wav", help="of the pipe out (default wav, 16 bits)")
    add("--bypass", action="store_true", help="begin with the untouched music; SIGUSR1 switches either way")
    add("--realtime", action="store_true", help="take blocks by the clock and count those that come too late")
    add("--buffer", type=int, default=1, metavar="BLOCKS", help="blocks a sound card holds, for the count (default 1)")
    add("--overwrite", action="store_true", help="replace an existing output file")


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr play`; figures go to standard error, for music may go to standard output."""
    if args.out == _PIPE and sys.stdout.isatty():
        raise UsageError("music is not written to a terminal; pipe it into a player ('| aplay'), or add -o FILE")
    switch = [args.bypass]
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, lambda number, frame: switch.append(not switch.pop()))
    report = play(
        sys.stdin.buffer if args.source == _PIPE else args.source,
        sys.stdout.buffer if args.out == _PIPE else args.out,
        args.model,
        raw=args.raw,
        pipe_format=args.format,
        bypass=lambda _: switch[-1],
        realtime=args.realtime,
        buffer=args.buffer,
        overwrite=args.overwrite,
    )
    rate = report.sample_rate
    block = 1000 * report.block_length / rate
    lines = [
        f"played {report.length / rate:.1f} s, {report.channels} channels at {rate} Hz",
        f"steps of {report.block_length} samples, {block:.1f} ms: p50 {report.step_p50:.1f} % of that,"
        f" p99 {report.step_p99:.1f} %",
        f"latency: {report.latency} samples, {1000 * report.latency / rate:.0f} ms",
    ]
    if report.limited:
        lines.append(f"limiter: {1000 * report.limited / rate:.0f} ms turned down")
    if args.realtime:
        lines.append(f"underruns: {report.underruns}, with a buffer of {args.buffer} x {block:.1f} ms")
    print("\n".join(lines), file=sys.stderr)
    return 0
