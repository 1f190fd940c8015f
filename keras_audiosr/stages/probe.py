"""Examines music files: codec, real bandwidth, lossy or lossless, and whether it is worth restoring them."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ..errors import AudioSRError

__all__ = ["ProbeReport", "probe"]

_BLOCK_LENGTH = 1 << 16


@dataclasses.dataclass(frozen=True)
class ProbeReport:
    """The result of `probe`: the facts about a music file, and a verdict.

    Attributes:
        path: the file.
        codec: FFmpeg's name of the codec, such as `"mp3"`.
        container: FFmpeg's name of the format, such as `"mov,mp4,m4a,3gp,3g2,mj2"`.
        bitrate: kbit/s; 0 when unknown.
        sample_rate: Hz.
        channels: number of audio channels.
        channel_layout: FFmpeg's name, such as `"stereo"`; empty when unknown.
        duration: seconds, as decoded.
        cutoff: frequency in Hz above which there is (almost) nothing; `None` for silence and for less than a second.
        kind: `"lossy"`, `"lossless"` or `"unknown"`.
        reason: the reason for this verdict.
        worth: whether it is worth restoring the file: `"yes"`, `"little"`, `"no"` or `"unknown"`.
        advice: what to do with the file.
        warnings: warnings of one line each, such as that the file may be cut short.
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
    """Examines a music file: its header, its tags and all of its samples.

    Args:
        path: path of any file that FFmpeg reads.

    Returns:
        The report. A file with a lossless codec counts as lossless unless its spectrum ends abruptly, as it does after
        lossy encoding (`sound.bandwidth.brick_wall`). The thresholds are in `files.verdict`.

    Raises:
        AudioFileError: the file is missing, damaged, or not music.

    Example:

    >>> probe("song.mp3").worth  # doctest: +SKIP
    'yes'
    """
    import numpy as np

    from ..files import audio_files, headers
    from ..files.scan import find_faults
    from ..files.tags import read_tags
    from ..files.verdict import Verdict, judge, meter_blocks
    from ..library.provenance import RESTORED_BY

    path = Path(path)
    info = headers.probe(path)
    length, finite = 0, True
    complaints: list[str] = []

    def counted() -> Iterator[np.ndarray]:
        nonlocal length, finite
        for block in audio_files.read_blocks(path, info, _BLOCK_LENGTH, complaints=complaints):
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
    warnings += [] if finite else [f"{path} has samples that are NaN or infinity; make it again without them"]
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
    """Adds the arguments of `keras-audiosr probe`."""
    inputs_help = "music files that FFmpeg reads, folders, or patterns such as 'music/*.mp3'"
    parser.add_argument("inputs", nargs="+", metavar="IN", help=inputs_help)
    parser.add_argument("-r", "--recursive", action="store_true", help="search subfolders")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line, one for each file")


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr probe`: prints a paragraph for each file and a count, and returns the exit code."""
    from ..library.plan import find_music

    found, problems = find_music(args.inputs, args.recursive)
    codes = [_fail(error) for _, error in problems]
    reports = []
    for path, _ in found:
        try:
            report = probe(path)
        except AudioSRError as error:
            codes.append(_fail(error))
            continue
        reports.append(report)
        if args.json:
            print(json.dumps(dataclasses.asdict(report) | {"path": str(report.path)}), flush=True)
            continue
        print(_paragraph(report), flush=True)
        for warning in report.warnings:
            print(f"keras-audiosr: warning: {' '.join(warning.splitlines())}", file=sys.stderr)
    several = len(found) + len(problems) > 1
    if several and not args.json:
        print(_count(reports, len(codes)))
    if not codes:
        return 0
    return 1 if several else codes[0]


def _fail(error: AudioSRError) -> int:
    print(f"keras-audiosr: error: {' '.join(str(error).splitlines())}", file=sys.stderr)
    return error.exit_code


def _count(reports: list[ProbeReport], broken: int) -> str:
    """Returns one line that says how many files there are of each kind."""
    worth = sum(report.worth == "yes" for report in reports)
    lossless = sum(report.kind == "lossless" for report in reports)
    others = len(reports) - sum(report.worth == "yes" or report.kind == "lossless" for report in reports)
    total = len(reports) + broken
    return (
        f"{total} file{'s' if total > 1 else ''}: {worth} worth restoring, {lossless} lossless, {broken} broken"
        f"{f', {others} of another kind' if others else ''}"
    )


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
