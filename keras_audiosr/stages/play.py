"""Restores a song as a player does: block by block as it arrives, into a pipe or a file.

`play` needs NumPy, soundfile and ai-edge-litert. It needs no TensorFlow, and it needs FFmpeg only for files that
libsndfile cannot read. Unlike `restore` it can be switched off and on while it runs, and can run in real time.
"""

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import AudioFileError, UsageError

if TYPE_CHECKING:
    from ..runners import Runner

__all__ = ["PlayReport", "play"]

_StrPath = str | os.PathLike[str]
# Stands for standard input and output on the command line.
_PIPE = "-"
# Formats of standard output: WAV of 16 bits, or raw samples.
_PIPE_FORMATS = ("wav", "s16le", "s24le", "f32le")
# Preferred number of samples in a step, if a model has streaming artefacts with several step lengths.
_STEP = 1024


@dataclasses.dataclass(frozen=True)
class PlayReport:
    """The result of `play`: what was played, and how long the steps took.

    Attributes:
        sample_rate: sample rate in Hz.
        channels: number of audio channels.
        length: number of samples of each channel, which is the same for input and output.
        block_length: number of samples in a step.
        latency: number of samples between the arrival of a sample and its output, including the wait until its block
            is complete.
        step_p50: median time of a step, in % of the block's duration.
        step_p99: time that 99 % of the steps do not exceed, in % of the block's duration.
        underruns: number of steps that were too late; 0 unless blocks are read in real time.
        limited: number of samples (of one channel) at which the limiter reduced the level.
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

    Each input block gives an output block, and the output has as many samples as the input. A limiter keeps true peaks
    below full scale, and changes nothing elsewhere.

    Args:
        source: a file that libsndfile reads (MP3, FLAC, WAV, AIFF, Ogg; with FFmpeg also others), or a binary pipe with
            a WAV file or, with `raw`, samples without a header.
        out: a new `.wav`, `.flac` or `.aiff` file (24 bits), or a binary pipe.
        model: an exported model, one of its `.tflite` files, or a preset. If a model has several streaming artefacts,
            the one whose step is nearest to 1024 samples is used. The bundled model when `None`.
        raw: format of an input pipe without a header, such as `"s16le:44100:2"`.
        pipe_format: format of an output pipe: `"wav"` (16 bits, of unknown length), `"s16le"`, `"s24le"` or `"f32le"`.
        bypass: whether the unprocessed music is heard, or a function that takes a time in seconds and returns this. The
            function is called before each block. Both signals have the same latency, and each switch is a cross-fade
            of 10 ms.
        realtime: whether blocks are read in real time and late blocks are counted.
        buffer: number of blocks that a sound card buffers. A block that is ready later than this counts as late.
        overwrite: whether `out` may be replaced.

    Returns:
        A `PlayReport`: what was played, and how long the steps took.

    Raises:
        AudioFileError: `source` cannot be read, or `out` cannot be written.
        ArtifactError: the model is missing or damaged.
        OutputExistsError: `out` exists and `overwrite` is false.
        UsageError: a format is unknown, `buffer` is below 1, or the music has another sample rate than the model and
            soxr is not installed.

    Example:

    >>> report = play("song.mp3", "restored.wav", bypass=lambda time: time > 30)  # doctest: +SKIP
    >>> report.step_p99  # doctest: +SKIP
    6.1
    """
    if buffer < 1:
        raise UsageError(f"buffer must be 1 block or more; received {buffer}; use 1")
    if pipe_format not in _PIPE_FORMATS:
        raise UsageError(
            f"a pipe's format must be one of {', '.join(_PIPE_FORMATS)}; received {pipe_format!r}; use wav"
        )
    from ..files.playback import open_sink, open_source
    from ..sound.bypass import Bypass
    from ..sound.limiter import Limiter
    from ..sound.mid_side import layout_pairs
    from ..sound.oversampling import Oversampler

    runner, block_length = _load(model)
    with contextlib.ExitStack() as stack:
        info, blocks = stack.enter_context(open_source(source, raw, block_length))
        sample_rate, channels = info.sample_rate, info.channels
        _require_rate(sample_rate, runner.sample_rate)
        path = None if hasattr(source, "read") else source
        restoring = runner.processor(channels, sample_rate, path, layout_pairs(channels, info.channel_layout))
        switch = Bypass(restoring, sample_rate, channels, active=_asked(bypass, 0.0))
        limiter = Limiter(sample_rate, channels, Oversampler(channels))
        write = stack.enter_context(open_sink(out, info, pipe_format, overwrite))
        return _run(blocks, switch, limiter, write, bypass, sample_rate, channels, block_length, realtime, buffer)


def _run(
    blocks: Iterable[Any],
    switch: Any,
    limiter: Any,
    write: Callable[[Any], object],
    bypass: bool | Callable[[float], bool],
    sample_rate: int,
    channels: int,
    block_length: int,
    realtime: bool,
    buffer: int,
) -> PlayReport:
    import numpy as np

    from ..processes.real_time import Pace

    pace = Pace(block_length / sample_rate, buffer, realtime)
    received = returned = latency = 0
    for block in blocks:
        if not np.isfinite(block).all():
            raise AudioFileError("samples must be finite; the source has NaN or infinity; make it again without them")
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
        raise AudioFileError("music is needed; the source holds no samples; check the source")
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


def _load(model: Any) -> "tuple[Runner, int]":
    """Returns the runner, and the number of samples in one of its steps."""
    from ..runners.load import RunnerOptions, open_runner
    from ..runners.locate import locate
    from ..runners.streaming import StreamingRunner

    runner = open_runner(locate(model), RunnerOptions(step=_STEP))
    if isinstance(runner, StreamingRunner):
        return runner, runner.step_length
    return runner, runner.window_length - 2 * runner.context


def _require_rate(sample_rate: int, model_rate: int) -> None:
    import importlib.util

    if sample_rate != model_rate and importlib.util.find_spec("soxr") is None:
        raise UsageError(
            f"without soxr, music must have the model's sample rate, {model_rate} Hz; received {sample_rate} Hz;"
            " pip install soxr"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `keras-audiosr play`."""
    add = parser.add_argument
    add("source", metavar="IN", help="music file, or - for standard input (a WAV file, or raw samples with --raw)")
    out_help = "new .wav, .flac or .aiff file (24 bits), or - for standard output (default)"
    add("-o", "--out", default=_PIPE, help=out_help)
    add("--model", help="preset, exported model or one of its stream_*.tflite files (default: the bundled preset)")
    add("--raw", metavar="FORMAT:HZ:CHANNELS", help="format of raw samples on standard input, such as s16le:44100:2")
    add("--format", choices=_PIPE_FORMATS, default="wav", help="format of standard output (default: wav, 16 bits)")
    bypass_help = "start with the unprocessed music; the signal SIGUSR1 switches between unprocessed and restored"
    add("--bypass", action="store_true", help=bypass_help)
    add("--realtime", action="store_true", help="read blocks in real time, and count blocks that are late")
    buffer_help = "number of blocks that a sound card buffers before one is late (default: 1)"
    add("--buffer", type=int, default=1, metavar="BLOCKS", help=buffer_help)
    add("--overwrite", action="store_true", help="replace an existing output file")


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr play`. Figures go to standard error, because music may go to standard output."""
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
        f"steps of {report.block_length} samples, {block:.1f} ms: p50 {report.step_p50:.1f} % of this time,"
        f" p99 {report.step_p99:.1f} %",
        f"latency: {report.latency} samples, {1000 * report.latency / rate:.0f} ms",
    ]
    if report.limited:
        lines.append(f"limiter: reduced the level for {1000 * report.limited / rate:.0f} ms")
    if args.realtime:
        lines.append(f"underruns: {report.underruns}, with a buffer of {args.buffer} x {block:.1f} ms")
    print("\n".join(lines), file=sys.stderr)
    return 0
