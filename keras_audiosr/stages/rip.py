"""Stage 1: turns ripped discs into one FLAC file for each track, with identical samples, and a manifest."""

import argparse
import contextlib
import dataclasses
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from ..annotations import StrPath
from ..errors import AudioFileError, UsageError, cause, naming
from ..processes import beam
from ..processes.threads import side_by_side
from ..shelf.discs import Cut, describe, find_cuts, place
from ..shelf.manifests import Track
from ..shelf.rip_file import LOSSY_BELOW, Outcome, Source, rip_file
from ..shelf.track_folder import MANIFEST, RippedTracks


@dataclasses.dataclass
class RipReport:
    """The result of a run of `rip`.

    Attributes:
        manifest: path of `tracks.jsonl`.
        tracks: the tracks of this source that are now in the folder.
        made: paths, relative to the manifest, of the tracks that this run wrote.
        kept: paths of the tracks that an earlier run wrote and that are still correct.
        left_out: reason for each source that was left out, such as that it is probably lossy or a data track.
        failed: reason for each source that failed.
        notes: notes on a source, such as the encoding of its CUE sheet, or that the sheet was inside the file.
    """

    manifest: Path
    tracks: list[Track] = dataclasses.field(default_factory=list)
    made: list[str] = dataclasses.field(default_factory=list)
    kept: list[str] = dataclasses.field(default_factory=list)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: dict[str, str] = dataclasses.field(default_factory=dict)


def _probably_lossy(wall: float) -> str:
    return f"probably lossy: its spectrum ends at a wall at {wall / 1000:.1f} kHz"


class _Ripper:
    """Names the tracks to make, and records their outcomes in one report. Several threads may use it at once."""

    def __init__(self, ripped: RippedTracks, report: RipReport, include_probably_lossy: bool):
        self.ripped = ripped
        self.report = report
        self.include_probably_lossy = include_probably_lossy
        self.stop = threading.Event()
        self.paths: dict[str, str] = {}
        self.taken: set[str] = set()
        self.occupied: list[Cut] = []
        self.lock = threading.Lock()

    def sources(self, cuts: list[Cut]) -> list[Source]:
        """Names the tracks in order, so that the order of work has no effect, and groups them by audio file."""
        files: dict[Path, list[Cut]] = {}
        for cut in cuts:
            files.setdefault(cut.source, []).append(cut)
        for cut in (cut for cuts in files.values() for cut in cuts):
            self.paths[cut.key] = place(*describe(cut)[:3], self.taken)
        return [
            Source(
                tuple(cuts),
                tuple(self.paths[cut.key] for cut in cuts),
                tuple(self.ripped.path_of(cut.key) for cut in cuts),
                self.ripped.out,
                self.include_probably_lossy,
            )
            for cuts in files.values()
        ]

    def enter(self, outcome: Outcome) -> None:
        """Records the outcome of a track."""
        cut = outcome.cut
        if outcome.left_out:
            self.report.notes[cut.name] = f"left out: {'; '.join(outcome.left_out)}"
        if outcome.track is not None:
            self.ripped.add(cut.key, outcome.stamp, outcome.track, outcome.wall)
            with self.lock:
                self.report.tracks.append(outcome.track)
                self.report.made.append(outcome.track.lossless)
        elif outcome.occupied:
            with self.lock:
                self.occupied.append(cut)
        elif outcome.failed is not None:
            self.report.failed[cut.name] = outcome.failed
        elif outcome.wall is not None:
            self.ripped.leave_out(cut.key, outcome.stamp, outcome.wall)
            self.report.left_out[cut.name] = _probably_lossy(outcome.wall)


def rip(
    source: StrPath,
    out: StrPath,
    include_probably_lossy: bool = False,
    jobs: int = 1,
    runner: str = "local",
    beam_options: str | Sequence[str] = (),
    cue_encoding: str | None = None,
) -> RipReport:
    """Turns ripped discs into one FLAC file for each track, and a manifest.

    Tracks are written to `OUT/<album>/<NN title>.flac` with their tags and cover art, and the manifest to
    `OUT/tracks.jsonl`. Three MD5 sums are compared for each track and must be equal: that of the source's samples, the
    one that the FLAC declares, and that of the samples it decodes to. Another run makes only what is missing, changed
    or damaged, and can add other discs.

    Args:
        source: folder of discs, with subfolders (WAV, AIFF or FLAC files; or one such file and a CUE sheet for each
            disc); a CUE sheet; or one file.
        out: folder for the tracks. It is made if it does not exist.
        include_probably_lossy: whether sources whose spectrum ends abruptly below 17 kHz are taken too. Such a source
            was probably decoded from a lossy file.
        jobs: number of files to process at a time.
        runner: `"local"`, or `"beam"` for an Apache Beam pipeline, which gives the same tracks and manifest.
        beam_options: options of the pipeline, such as `"--runner=FlinkRunner ..."`; Beam's own runner when empty.
        cue_encoding: encoding of CUE sheets that are not Unicode, by Python's name for it, such as `"cp932"`. It is
            detected when `None`.

    Returns:
        A `RipReport`. A file that fails is in its `failed`, and does not stop the others.

    Raises:
        UsageError: `source` is missing or of another kind, `out` contains it, `jobs` is below 1, or `runner` is unknown
            or not installed.
        AudioFileError: `source` contains nothing to rip, or `out` cannot be written.
        ManifestError: `out` has a damaged manifest.

    Example:
        ```python
        report = keras_audiosr.rip("discs", "shelf", jobs=2)
        print(len(report.made), "made,", len(report.failed), "failed")
        ```
    """

    if jobs < 1:
        raise UsageError(f"jobs must be 1 or more; received {jobs}; try 1")
    options = beam.check(runner, beam_options)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"OUT must be a folder; {out} is a file; name a folder")
    shelf = find_cuts(source, out, cue_encoding)
    if not shelf.cuts and not shelf.failed:
        raise AudioFileError(f"WAV, AIFF or FLAC files are needed; {source} has none; name the folder of the discs")
    ripped = RippedTracks(out)
    report = RipReport(out / MANIFEST, left_out=shelf.left_out, failed=shelf.failed, notes=shelf.notes)
    ripper = _Ripper(ripped, report, include_probably_lossy)
    try:
        missing = _keep(ripper, shelf.cuts)
        with tqdm(total=len(missing), desc="rip", unit="track", disable=None) as bar:
            while missing:
                sources = ripper.sources(missing)
                if runner == "beam":
                    out.mkdir(parents=True, exist_ok=True)
                    for outcome in beam.flat_map(rip_file, sources, out, options, jobs):
                        ripper.enter(outcome)
                        bar.update(not outcome.occupied)
                else:
                    _run(ripper, sources, jobs, bar.update)
                # Files with other audio already have the names of these tracks, so the tracks get the next free names.
                order = {cut.key: number for number, cut in enumerate(missing)}
                missing = sorted(ripper.occupied, key=lambda cut: order[cut.key])
                ripper.occupied = []
    finally:
        # This also runs after Ctrl-C, so that finished tracks are kept.
        ripped.save()
        for folder in {(out / path).parent for path in ripper.paths.values()}:
            # Folders are removed if they are empty because their tracks were not made.
            with contextlib.suppress(OSError):
                folder.rmdir()
    report.tracks.sort(key=lambda track: track.lossless)
    report.made.sort()
    return report


def _keep(ripper: _Ripper, cuts: list[Cut]) -> list[Cut]:
    """Records the tracks that need no work, and returns the others."""
    missing = []
    stale = set()
    for cut in cuts:
        try:
            stamp = cut.stamp()
        except OSError as error:
            ripper.report.failed[cut.name] = f"a source must be readable; {cause(error)}; check its permissions"
            continue
        wall = ripper.ripped.wall_of(cut.key, stamp)
        if wall is not None and wall < LOSSY_BELOW and not ripper.include_probably_lossy:
            ripper.enter(Outcome(cut, stamp, wall=wall))
            continue
        track = ripper.ripped.kept(cut.key, stamp)
        if track is not None:
            ripper.report.tracks.append(track)
            ripper.report.kept.append(track.lossless)
        else:
            missing.append(cut)
            stale.add(ripper.ripped.path_of(cut.key))
    # A track that is made again may take its own old name. So may one whose source was moved, if the samples are equal.
    ripper.taken = {path.casefold() for path in ripper.ripped.owned() if path not in stale}
    return missing


def _run(ripper: _Ripper, sources: list[Source], jobs: int, on_track: Callable[[bool], object]) -> None:

    def work(source: Source) -> None:
        for outcome in rip_file(source, ripper.stop.is_set):
            ripper.enter(outcome)
            on_track(not outcome.occupied)

    # Threads suffice, because decoding, encoding and hashing all release the interpreter's lock.
    for _ in side_by_side(work, sources, jobs, ripper.stop):
        pass


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `keras-audiosr rip`."""
    parser.add_argument("source", metavar="SOURCE", help="folder of ripped discs, a CUE sheet, or one lossless file")
    parser.add_argument("out", metavar="OUT", help="folder for the FLAC tracks and tracks.jsonl")
    lossy_help = "also take sources that are probably lossy, because their spectrum ends abruptly below 17 kHz"
    parser.add_argument("--include-probably-lossy", action="store_true", help=lossy_help)
    jobs_help = "number of files to process at a time (default: 1)"
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help=jobs_help)
    encoding_help = "encoding of CUE sheets that are not Unicode, such as cp932 or cp1251 (default: detected)"
    parser.add_argument("--cue-encoding", metavar="NAME", help=encoding_help)
    beam.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr rip`; returns the exit code, which is 1 if a file failed."""
    report = rip(
        args.source,
        args.out,
        args.include_probably_lossy,
        args.jobs,
        args.runner,
        args.beam_options,
        args.cue_encoding,
    )
    for label, reasons in (("note", report.notes), ("left out", report.left_out), ("failed", report.failed)):
        for name, reason in sorted(reasons.items()):
            print(f"{label}: {naming(name, reason)}", file=sys.stderr)
    counts = [
        f"{len(getattr(report, name))} {name.replace('_', ' ')}" for name in ("made", "kept", "left_out", "failed")
    ]
    print(f"{', '.join(counts)}: {report.manifest}")
    return 1 if report.failed else 0
