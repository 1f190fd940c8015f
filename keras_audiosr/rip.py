"""Stage 1, `rip`: ripped discs -> one FLAC a track, samples proven identical, and a manifest of them."""

import argparse
import contextlib
import dataclasses
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from . import beam
from .audio.discs import Cut, describe, find_cuts, place
from .datasets.pairs import Track
from .datasets.ripped import MANIFEST, RippedTracks
from .datasets.ripping import LOSSY_BELOW, Outcome, Source, rip_file
from .errors import AudioFileError, UsageError
from .threads import side_by_side


@dataclasses.dataclass
class RipReport:
    """What a run of `rip` did.

    Attributes:
        manifest: path of `tracks.jsonl`.
        tracks: the tracks of this source that now lie in the folder.
        made: their paths, relative to the manifest, that this run wrote.
        kept: their paths that an earlier run wrote and that are still right.
        left_out: reason by source: probably lossy, a data track, a pregap ...
        failed: reason by source.
    """

    manifest: Path
    tracks: list[Track] = dataclasses.field(default_factory=list)
    made: list[str] = dataclasses.field(default_factory=list)
    kept: list[str] = dataclasses.field(default_factory=list)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)


def _probably_lossy(wall: float) -> str:
    return f"probably lossy: its spectrum ends at a wall at {wall / 1000:.1f} kHz"


class _Ripper:
    """Names the tracks to make, and enters what became of them, from several threads at once, into one report."""

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
        """The tracks by audio file. Named here, in order: who makes them must not decide which of two is "(2)"."""
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
        """Writes down what became of a track."""
        cut = outcome.cut
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
    source,
    out,
    include_probably_lossy: bool = False,
    jobs: int = 1,
    runner: str = "local",
    beam_options: str | Sequence[str] = (),
) -> RipReport:
    """Turns ripped discs into one FLAC a track and a manifest.

    Tracks are written to `OUT/<album>/<NN title>.flac` with their tags and cover art, the manifest to
    `OUT/tracks.jsonl`. The MD5 of each source's samples equals the one its FLAC declares and the one it decodes
    to. A second run makes only what is missing, changed or damaged; further runs can add other discs.

    Args:
        source: folder of discs at any depth (WAV, AIFF, FLAC; or one of them and a CUE sheet a disc),
            a CUE sheet, or one file.
        out: folder, made if needed.
        include_probably_lossy: take also sources whose spectrum ends at a brick wall below 17 kHz.
        jobs: files worked on at once.
        runner: `"local"`, or `"beam"` for an Apache Beam pipeline; the tracks and the manifest are the same.
        beam_options: of the pipeline, such as `"--runner=FlinkRunner ..."`; Beam's own runner when empty.

    Returns:
        `RipReport`. What goes wrong with one file stands in its `failed` and stops no other.

    Raises:
        UsageError: `source` is missing or of another kind, `out` holds it, `jobs` is under 1, or `runner` is
            not there.
        AudioFileError: there is nothing to rip under `source`, or `out` cannot be written.
        ManifestError: `out` has a damaged manifest.

    Example:
        ```python
        report = keras_audiosr.rip("discs", "shelf", jobs=2)
        print(len(report.made), "made,", len(report.failed), "failed")
        ```
    """

    if jobs < 1:
        raise UsageError(f"jobs must be at least 1; got {jobs}; leave it out for one")
    options = beam.check(runner, beam_options)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"OUT is a folder; {out} is a file; name a folder")
    shelf = find_cuts(source, out)
    if not shelf.cuts and not shelf.failed:
        raise AudioFileError(f"WAV, AIFF or FLAC files are needed; {source} holds none; name the folder of the discs")
    ripped = RippedTracks(out)
    report = RipReport(out / MANIFEST, left_out=shelf.left_out, failed=shelf.failed)
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
                # Other audio lies where these would go: they get the next free name.
                order = {cut.key: number for number, cut in enumerate(missing)}
                missing = sorted(ripper.occupied, key=lambda cut: order[cut.key])
                ripper.occupied = []
    finally:
        # Also after Ctrl-C: what is done is done.
        ripped.save()
        for folder in {(out / path).parent for path in ripper.paths.values()}:
            # Made for tracks that did not come.
            with contextlib.suppress(OSError):
                folder.rmdir()
    report.tracks.sort(key=lambda track: track.lossless)
    report.made.sort()
    return report


def _keep(ripper: _Ripper, cuts: list[Cut]) -> list[Cut]:
    """Sorts out what needs nothing done; returns the rest."""

    missing = []
    stale = set()
    for cut in cuts:
        try:
            stamp = cut.stamp()
        except OSError as error:
            ripper.report.failed[cut.name] = f"a source must be readable; {error}; check the path and its rights"
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
    # A track that is made again may take its own old name; so may one whose source has moved, if its samples agree.
    ripper.taken = {path.casefold() for path in ripper.ripped.owned() if path not in stale}
    return missing


def _run(ripper: _Ripper, sources: list[Source], jobs: int, on_track) -> None:

    def work(source: Source) -> None:
        for outcome in rip_file(source, ripper.stop.is_set):
            ripper.enter(outcome)
            on_track(not outcome.occupied)

    # Threads: decoding, encoding and hashing all leave the interpreter's lock.
    for _ in side_by_side(work, sources, jobs, ripper.stop):
        pass


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `keras-audiosr rip`."""
    parser.add_argument("source", metavar="SOURCE", help="folder of ripped discs, a CUE sheet, or one lossless file")
    parser.add_argument("out", metavar="OUT", help="folder for the FLAC tracks and tracks.jsonl")
    lossy_help = "take also sources whose spectrum ends at a brick wall below 17 kHz"
    parser.add_argument("--include-probably-lossy", action="store_true", help=lossy_help)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="files worked on at once (default: 1)")
    beam.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr rip`; returns 1 when a file failed."""
    report = rip(args.source, args.out, args.include_probably_lossy, args.jobs, args.runner, args.beam_options)
    for label, reasons in (("left out", report.left_out), ("failed", report.failed)):
        for name, reason in sorted(reasons.items()):
            print(f"{label}: {name}: {reason}", file=sys.stderr)
    counts = [
        f"{len(getattr(report, name))} {name.replace('_', ' ')}" for name in ("made", "kept", "left_out", "failed")
    ]
    print(f"{', '.join(counts)}: {report.manifest}")
    return 1 if report.failed else 0
