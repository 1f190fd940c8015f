"""Stage 1, `rip`: ripped discs -> one FLAC a track, samples proven identical, and a manifest of them."""

import argparse
import contextlib
import dataclasses
import hashlib
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from .audio.bandwidth import SpectrumMeter
from .audio.discs import Cut, clean, describe, find_cuts, place
from .audio.files import atomic_output
from .audio.pcm import (
    Pcm,
    as_float,
    damaged,
    flac_writer,
    holds,
    inspect,
    pcm_bytes,
    pcm_md5,
    read_pcm,
    require_flac,
    streaminfo_md5,
    write_block,
)
from .audio.tags import write_tags
from .datasets.pairs import Track
from .datasets.ripped import MANIFEST, RippedTracks
from .errors import AudioFileError, AudioSRError, UsageError

# CD rips reach 20 kHz; codecs up to 128 kbit/s end at 17 kHz and below.
LOSSY_BELOW = 17000.0


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


class _ProbablyLossyError(Exception):
    """A source that ends at a brick wall."""

    def __init__(self, wall: float):
        super().__init__(f"probably lossy: its spectrum ends at a wall at {wall / 1000:.1f} kHz")
        self.wall = wall


class _OccupiedError(Exception):
    """Other audio lies under the track's name, and is not this source's to replace."""


class _StoppedError(Exception):
    """The run was interrupted while this track was being made."""


class _Ripper:
    """Makes tracks, from several threads at once, into one report."""

    def __init__(self, ripped: RippedTracks, report: RipReport, include_probably_lossy: bool):
        self.ripped = ripped
        self.report = report
        self.include_probably_lossy = include_probably_lossy
        self.stop = threading.Event()
        self.paths: dict[str, str] = {}
        self.taken: set[str] = set()
        self.lock = threading.Lock()

    def rip_file(self, cuts: list[Cut], on_track) -> None:
        """Makes the tracks that lie in one audio file; what goes wrong with one is written down."""
        try:
            pcm = inspect(cuts[0].source)
            declared = streaminfo_md5(pcm.path) if pcm.container == "FLAC" else ""
            # Cut tracks have no sum of their own: a FLAC disc is proven as a whole before it is cut.
            if declared and cuts[0].cue is not None and pcm_md5(pcm) != declared:
                raise damaged(pcm)
        except (AudioSRError, OSError) as error:
            for cut in cuts:
                self.report.failed[cut.name] = str(error)
                on_track()
            return
        for cut in cuts:
            if self.stop.is_set():
                return
            try:
                self._rip_cut(cut, pcm, declared)
            except _StoppedError:
                return
            except _ProbablyLossyError as reason:
                self.ripped.leave_out(cut.key, cut.stamp(), reason.wall)
                self.report.left_out[cut.name] = str(reason)
            except AudioSRError as error:
                self.report.failed[cut.name] = str(error)
            except Exception as error:
                # Whatever a file does to a library, the next one is made.
                self.report.failed[cut.name] = f"a file must be readable; {type(error).__name__}: {error}; rip it again"
            on_track()

    def _rip_cut(self, cut: Cut, pcm: Pcm, declared: str) -> None:
        stamp = cut.stamp()
        start, stop = cut.span(pcm.sample_rate, pcm.length)
        album, number, title, tags, pictures = describe(cut)
        path = self.paths[cut.key]
        while True:
            try:
                md5, cutoff, wall = self._make(cut, pcm, (start, stop), declared, path, (tags, pictures))
                break
            except _OccupiedError:
                with self.lock:
                    path = place(album, number, title, self.taken)
        length = stop - start
        track = Track(
            lossless=path, album=album, track=number, title=title, duration=round(length / pcm.sample_rate, 6),
            length=length, sample_rate=pcm.sample_rate, channels=pcm.channels, md5=md5, cutoff=round(cutoff, 1),
            source=clean(cut.name),
        )  # fmt: skip
        self.ripped.add(cut.key, stamp, track, wall)
        with self.lock:
            self.report.tracks.append(track)
            self.report.made.append(path)

    def _make(self, cut: Cut, pcm: Pcm, span: tuple[int, int], declared: str, path: str, tags: tuple):
        """Makes one FLAC under its final name; returns its MD5, cutoff and wall."""
        target = self.ripped.out / path
        # A whole FLAC whose own MD5 holds needs no second encoding.
        copied = bool(declared) and cut.cue is None
        with atomic_output(target) as partial:
            md5, cutoff, wall = self._read(pcm, *span, None if copied else partial)
            if copied and md5 != declared:
                raise damaged(pcm)
            if wall is not None and wall < LOSSY_BELOW and not self.include_probably_lossy:
                raise _ProbablyLossyError(wall)
            if target.exists() and path != self.ripped.path_of(cut.key) and not holds(target, md5):
                raise _OccupiedError
            if copied:
                shutil.copyfile(pcm.path, partial)
            elif any(tags):
                write_tags(partial, *tags)
            require_flac(partial, md5, pcm.path)
        return md5, cutoff, wall

    def _read(self, pcm: Pcm, start: int, stop: int, partial: Path | None) -> tuple[str, float, float | None]:
        """Reads samples once: their MD5, cutoff and wall; writes them to `partial` on the way."""
        digest = hashlib.md5(usedforsecurity=False)
        meter = SpectrumMeter(pcm.sample_rate)
        with contextlib.ExitStack() as stack:
            writer = None if partial is None else stack.enter_context(flac_writer(partial, pcm))
            for block in read_pcm(pcm, start, stop):
                if self.stop.is_set():
                    raise _StoppedError
                digest.update(pcm_bytes(block, pcm.bits))
                meter.add(as_float(block))
                if writer is not None:
                    write_block(writer, block)
        return digest.hexdigest(), meter.cutoff(), meter.brick_wall()


def rip(source, out, include_probably_lossy: bool = False, jobs: int = 1) -> RipReport:
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

    Returns:
        `RipReport`. What goes wrong with one file stands in its `failed` and stops no other.

    Raises:
        UsageError: `source` is missing or of another kind, `out` holds it, or `jobs` is under 1.
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
        with tqdm(total=sum(map(len, missing)), desc="rip", unit="track", disable=None) as bar:
            _run(ripper, missing, jobs, bar.update)
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


def _keep(ripper: _Ripper, cuts: list[Cut]) -> list[list[Cut]]:
    """Sorts out what needs nothing done; the rest, by audio file."""

    missing: dict[Path, list[Cut]] = {}
    stale = set()
    for cut in cuts:
        try:
            stamp = cut.stamp()
        except OSError as error:
            ripper.report.failed[cut.name] = f"a source must be readable; {error}; check the path and its rights"
            continue
        wall = ripper.ripped.wall_of(cut.key, stamp)
        if wall is not None and wall < LOSSY_BELOW and not ripper.include_probably_lossy:
            ripper.ripped.leave_out(cut.key, stamp, wall)
            ripper.report.left_out[cut.name] = str(_ProbablyLossyError(wall))
            continue
        track = ripper.ripped.kept(cut.key, stamp)
        if track is not None:
            ripper.report.tracks.append(track)
            ripper.report.kept.append(track.lossless)
        else:
            missing.setdefault(cut.source, []).append(cut)
            stale.add(ripper.ripped.path_of(cut.key))
    # A track that is made again may take its own old name; so may one whose source has moved, if its samples agree.
    ripper.taken = {path.casefold() for path in ripper.ripped.owned() if path not in stale}
    # Named here, in order: the number of threads must not decide which of two namesakes is "(2)".
    for cut in (cut for cuts in missing.values() for cut in cuts):
        ripper.paths[cut.key] = place(*describe(cut)[:3], ripper.taken)
    return list(missing.values())


def _run(ripper: _Ripper, missing: list[list[Cut]], jobs: int, on_track) -> None:

    # Threads: decoding, encoding and hashing all leave the interpreter's lock.
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(ripper.rip_file, cuts, on_track) for cuts in missing]
        try:
            for future in futures:
                future.result()
        except BaseException:
            ripper.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `keras-audiosr rip`."""
    parser.add_argument("source", metavar="SOURCE", help="folder of ripped discs, a CUE sheet, or one lossless file")
    parser.add_argument("out", metavar="OUT", help="folder for the FLAC tracks and tracks.jsonl")
    lossy_help = "take also sources whose spectrum ends at a brick wall below 17 kHz"
    parser.add_argument("--include-probably-lossy", action="store_true", help=lossy_help)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="files worked on at once (default: 1)")


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr rip`; returns 1 when a file failed."""
    report = rip(args.source, args.out, args.include_probably_lossy, args.jobs)
    for label, reasons in (("left out", report.left_out), ("failed", report.failed)):
        for name, reason in sorted(reasons.items()):
            print(f"{label}: {name}: {reason}", file=sys.stderr)
    counts = [
        f"{len(getattr(report, name))} {name.replace('_', ' ')}" for name in ("made", "kept", "left_out", "failed")
    ]
    print(f"{', '.join(counts)}: {report.manifest}")
    return 1 if report.failed else 0
