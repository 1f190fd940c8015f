"""Says what a music file is: codec, real bandwidth, lossy or lossless, and whether restoring it is worth it."""

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from .errors import AudioSRError

__all__ = ["ProbeReport", "probe"]

_BLOCK_LENGTH = 1 << 16


@dataclasses.dataclass(frozen=True)
class ProbeReport:
    """What a music file is.

    Attributes:
        path: the file.
        codec: FFmpeg's name of the codec, such as `"mp3"`.
        container: FFmpeg's name of the format, such as `"mov,mp4,m4a,3gp,3g2,mj2"`.
        bitrate: kbit/s; 0 when unknown.
        sample_rate: Hz.
        channels: number of audio channels.
        channel_layout: FFmpeg's name, such as `"stereo"`; empty when unknown.
        duration: seconds, as decoded.
        cutoff: Hz above which there is (almost) nothing; `None` for silence and less than a second.
        kind: `"lossy"`, `"lossless"` or `"unknown"`.
        reason: how one can tell.
        worth: whether restoring is worth it: `"yes"`, `"little"`, `"no"` or `"unknown"`.
        advice: what to do with it.
        warnings: one line each, such as that it may be cut short.
    """

    path: Path
    codec: str
    container: str
    bitrate: int
    sample_rate: int
    channels: int
    channel_layout: str
    duration: float
    cutoff: float | None
    kind: str
    reason: str
    worth: str
    advice: str
    warnings: tuple[str, ...] = ()


def probe(path: str | os.PathLike[str]) -> ProbeReport:
    """Looks at a music file: its header, its tags and all of its samples.

    Args:
        path: any file FFmpeg reads.

    Returns:
        The report. A lossless codec is believed unless the spectrum ends at a wall, as a lossy codec leaves it
        (`audio.bandwidth.brick_wall`); its thresholds are in `audio.verdict`.

    Raises:
        AudioFileError: the file is missing, damaged, or no music.

    Example:

    >>> probe("song.mp3").worth  # doctest: +SKIP
    'yes'
    """
    import numpy as np

    from .audio import files
    from .audio.scan import find_faults
    from .audio.tags import read_tags
    from .audio.verdict import Verdict, judge, meter_blocks
    from .library.record import RESTORED_BY

    path = Path(path)
    info = files.probe(path)
    length, finite = 0, True
    complaints: list[str] = []

    def counted():
        nonlocal length, finite
        for block in files.read_blocks(path, info, _BLOCK_LENGTH, complaints=complaints):
            length += len(block)
            finite = finite and bool(np.isfinite(block).all())
            yield block

    meter = meter_blocks(counted(), info.sample_rate)
    verdict = judge(info, meter)
    restored_by = read_tags(path)[0].get(RESTORED_BY)
    if restored_by:
        verdict = Verdict("lossy", f"restored from a lossy file by {restored_by[0]}", "no", "restored already")
    duration = length / info.sample_rate
    warnings = [find_faults(path, info, duration, complaints)]
    warnings += [] if finite else [f"{path} has samples that are NaN or infinity; mend it where it was made"]
    return ProbeReport(
        path=path,
        codec=info.codec,
        container=info.container,
        bitrate=info.bitrate,
        sample_rate=info.sample_rate,
        channels=info.channels,
        channel_layout=info.channel_layout,
        duration=duration,
        cutoff=meter.cutoff() if meter.conclusive() else None,
        **dataclasses.asdict(verdict),
        warnings=tuple(filter(None, warnings)),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `keras-audiosr probe`."""
    parser.add_argument("inputs", nargs="+", metavar="FILE", help="music file, any that FFmpeg reads")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr probe`: a paragraph a file; returns the exit code."""
    code = 0
    for given in args.inputs:
        try:
            report = probe(given)
        except AudioSRError as error:
            print(f"keras-audiosr: error: {' '.join(str(error).splitlines())}", file=sys.stderr)
            code = error.exit_code if len(args.inputs) == 1 else 1
            continue
        if args.json:
            print(json.dumps(dataclasses.asdict(report) | {"path": str(report.path)}))
            continue
        print(_paragraph(report))
        for warning in report.warnings:
            print(f"keras-audiosr: warning: {' '.join(warning.splitlines())}", file=sys.stderr)
    return code


def _paragraph(report: ProbeReport) -> str:
    minutes, seconds = divmod(report.duration, 60)
    bitrate = f"{report.bitrate} kbit/s, " if report.bitrate else ""
    layout = f" ({report.channel_layout})" if report.channel_layout else ""
    nyquist = report.sample_rate / 2000
    band = "too little sound to tell" if report.cutoff is None else f"{report.cutoff / 1000:.1f} of {nyquist:.1f} kHz"
    channels = f"{report.channels} channel{'s' if report.channels > 1 else ''}"
    rows = {
        "codec": f"{report.codec}, {bitrate}container {report.container}",
        "sound": f"{report.sample_rate} Hz, {channels}{layout}, {minutes:.0f}:{seconds:04.1f}",
        "bandwidth": band,
        "verdict": f"{report.kind}: {report.reason}",
        "restoring": f"{report.worth}: {report.advice}",
    }
    return "\n".join([" ".join(str(report.path).splitlines()), *(f"  {key:<10} {text}" for key, text in rows.items())])
