"""Stage 2: tracks -> lossy twins, aligned to the sample, and `pairs.jsonl`."""

import argparse
import contextlib
import dataclasses
import fcntl
import filecmp
import hashlib
import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import beam
from .audio import files
from .codecs.align import measure_delay
from .codecs.round_trip import ENCODERS, encode_file, encoder_of, same_samples
from .codecs.spec import CodecSpec
from .datasets.pairs import Pair, Track, read_manifest, write_manifest
from .datasets.shelf import bring_in, match_twins, path_inside, read_track
from .errors import AudioSRError, PairError, UsageError
from .threads import side_by_side

# Codecs whose name and bitrate say all there is: other twins are "unknown".
_NAMED_CODECS = ("mp3", "aac", "vorbis", "opus")

# Seconds between two writes of pairs.jsonl: what a kill can cost.
_SAVE_EVERY = 15.0


@dataclasses.dataclass(frozen=True)
class EncodeReport:
    """What `encode` did.

    Attributes:
        manifest: path of `pairs.jsonl`.
        made: twins made or taken in by this run.
        kept: twins that were there already.
        rejected: `(path, reason)` of each twin that is no pair with its track.
        failed: `(path, reason)` of each that could not be read, made or written.
    """

    manifest: Path
    made: int
    kept: int
    rejected: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class _Task:
    """One twin to make (`spec`) or to take in (`brought`), at `lossy` inside the output folder."""

    lossy: str
    spec: CodecSpec | None = None
    brought: Path | None = None


@dataclasses.dataclass(frozen=True)
class _Item:
    """The missing twins of one track."""

    track: Track
    source: Path
    lossless: str
    tasks: tuple[_Task, ...]
    out: Path


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keeps a second run out of the same folder; the system drops the lock when the process ends."""
    with open(out / ".encode.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"one run at a time writes a folder; another encode is at work in {out}; wait or choose another folder"
            ) from error
        yield


def _pair(task: _Task, track: Track, lossless_name: str, lossless: np.ndarray, out: Path) -> Pair:
    """Makes or takes in one twin, aligns it, and returns its `Pair`."""
    path = out / task.lossy
    if task.spec is not None:
        encode_file(out / lossless_name, path, task.spec)
        # Our own containers declare their delay; where nothing can be measured that is believed.
        codec, expected = str(task.spec), 0
    elif task.brought is not None:
        info = files.probe(task.brought)
        codec = f"{info.codec}@{info.bitrate}k" if info.codec in _NAMED_CODECS and info.bitrate else "unknown"
        expected = None
        bring_in(task.brought, path)
    try:
        lossy, _ = files.read(path, track.sample_rate)
        delay = measure_delay(lossless, lossy, track.sample_rate, expected=expected).delay
    except AudioSRError:
        # What has no line in the manifest has no file; but one that the user put there stays.
        if task.brought is None or path.resolve() != task.brought.resolve():
            path.unlink(missing_ok=True)
        raise
    encoder = encoder_of(path)
    if task.spec is not None:
        made_by = ENCODERS[task.spec.codec][0] if task.spec.codec in ENCODERS else f"keras_audiosr {task.spec.codec}"
        # A FLAC or M4A tag names no encoder, an MP3's only Lavc.
        encoder = made_by if encoder == "unknown" else encoder if made_by in encoder else f"{encoder} {made_by}"
    return Pair(
        lossless=lossless_name,
        lossy=task.lossy,
        album=track.album,
        track=track.track,
        title=track.title,
        duration=track.duration,
        length=track.length,
        sample_rate=track.sample_rate,
        channels=track.channels,
        md5=track.md5,
        codec=codec,
        encoder=encoder,
        delay=delay,
        decoder="any" if same_samples(path, lossy, track.sample_rate, delay, track.length) else "ffmpeg",
    )


def _work(item: _Item) -> list[tuple[_Task, Pair | Exception]]:
    """Makes the missing twins of one track, the same wherever it is done; FFmpeg does the work."""
    try:
        bring_in(item.source, item.out / item.lossless)
        lossless = read_track(item.out / item.lossless, item.track)
    except (AudioSRError, OSError, MemoryError) as error:
        return [(task, error) for task in item.tasks]
    done: list[tuple[_Task, Pair | Exception]] = []
    for task in item.tasks:
        try:
            done.append((task, _pair(task, item.track, item.lossless, lossless, item.out)))
        except (AudioSRError, OSError, MemoryError) as error:
            done.append((task, error))
    return done


def _drawn(track: Track, specs: Sequence[CodecSpec], count: int | None) -> Sequence[CodecSpec]:
    """`count` of the codecs, by lot; the lot hangs on the track's path alone, so another run draws the same."""
    if count is None:
        return specs
    lot = {spec: hashlib.sha256(f"{track.lossless}\0{spec}".encode()).digest() for spec in specs}
    return sorted(specs, key=lot.__getitem__)[:count]


def _plan(tracks: Sequence[Track], folder: Path, out: Path, specs: Sequence[CodecSpec], draw, twins: Path | None):
    """What every track should have: `{track: (lossless name, [task])}`, and the twins without a track."""
    plan = {}
    for track in tracks:
        name = path_inside(folder / track.lossless, out, "lossless", track.lossless)
        stem = Path(track.lossless)
        chosen = _drawn(track, specs, draw)
        plan[track] = (name, [_Task(f"{s}/{stem.with_suffix('.' + s.suffix).as_posix()}", spec=s) for s in chosen])
    rejected: list[tuple[str, str]] = []
    if twins is not None:
        matches, rejected = match_twins(twins, tracks)
        for path, track in matches:
            lossy = path_inside(path, out, "twins", path.relative_to(twins).as_posix())
            plan[track][1].append(_Task(lossy, brought=path))
    return plan, rejected


def _previous_pairs(manifest: Path, out: Path, plan) -> dict:
    """Pairs of earlier runs that still hold, by path of the lossy file."""
    if not manifest.is_file():
        return {}
    md5 = {name: track.md5 for track, (name, _) in plan.items()}
    brought = {task.lossy: task.brought for _, tasks in plan.values() for task in tasks if task.brought}
    return {
        pair.lossy: pair
        for pair in read_manifest(manifest, Pair)
        if md5.get(pair.lossless, pair.md5) == pair.md5
        and (out / pair.lossless).is_file()
        and (out / pair.lossy).is_file()
        and (out / pair.lossy).stat().st_size > 0
        and (pair.lossy not in brought or filecmp.cmp(out / pair.lossy, brought[pair.lossy]))
    }


def encode(
    manifest,
    out,
    codecs: Sequence = (),
    twins=None,
    draw: int | None = None,
    jobs: int = 1,
    runner: str = "local",
    beam_options: str | Sequence[str] = (),
) -> EncodeReport:
    """Makes a lossy twin of every track for every codec, and aligns each to the sample.

    Twins lie in `OUT/<codec>/<path of the track>`, their pairs in `OUT/pairs.jsonl`. Tracks outside OUT
    are hard-linked (copied, on another file system) to `OUT/lossless/`, files brought by the user to
    `OUT/twins/`, so that OUT can be moved as a whole. Running it again makes only what is missing.

    Args:
        manifest: path of the `tracks.jsonl` that `rip` wrote.
        out: output folder.
        codecs: what to make: `"mp3@64k"`, `"opus@48k"`, `"lowpass@8k"`, ...; see `codecs.CodecSpec`.
        twins: folder of lossy files brought by the user, named as their tracks (in folders named as the
            albums where names repeat). Each is aligned; one that fits no constant lag is rejected.
        draw: codecs that each track gets, drawn from `codecs` by its path; `None` for all of them. Many codecs cost
            no more than a few then, and a network meets each on other music.
        jobs: tracks worked on at a time, each with an FFmpeg of its own.
        runner: `"local"`, or `"beam"` for an Apache Beam pipeline; the twins and the manifest are the same.
        beam_options: of the pipeline, such as `"--runner=FlinkRunner ..."`; Beam's own runner when empty.

    Returns:
        An `EncodeReport`. A track that fails does not stop the others.

    Raises:
        ManifestError: the manifest cannot be used.
        UsageError: a codec, folder or number that cannot be.

    Example:
        >>> encode("shelf/tracks.jsonl", "shelf", ["mp3@64k", "aac@96k"], jobs=2)  # doctest: +SKIP
    """
    manifest, out = Path(manifest), Path(out)
    specs = list(dict.fromkeys(CodecSpec.parse(str(codec)) for codec in codecs))
    if not specs and twins is None:
        raise UsageError("encode needs a codec or a folder of twins; received neither; try '--codec mp3@64k'")
    if draw is not None and not 1 <= draw <= len(specs):
        raise UsageError(f"draw is 1 to the number of codecs, {len(specs)}; received {draw}; try '--draw 1'")
    if jobs < 1:
        raise UsageError(f"jobs is at least 1; received {jobs}; try '--jobs 1'")
    options = beam.check(runner, beam_options)
    if twins is not None and not Path(twins).is_dir():
        raise UsageError(f"twins is a folder of lossy files; received {twins}; name the folder they lie in")
    if twins is not None and any(path.resolve().is_relative_to(Path(twins).resolve()) for path in (out, manifest)):
        raise UsageError(f"twins is a folder of its own; {twins} holds the output or manifest; move the files apart")
    if out.exists() and not out.is_dir():
        raise UsageError(f"the output is a folder; {out} is a file; name another")
    tracks = read_manifest(manifest, Track)
    out.mkdir(parents=True, exist_ok=True)
    target = out / "pairs.jsonl"

    with _locked(out):
        plan, rejected = _plan(tracks, manifest.parent, out, specs, draw, Path(twins) if twins is not None else None)
        pairs = _previous_pairs(target, out, plan)
        items = [
            _Item(track, manifest.parent / track.lossless, name, missing, out)
            for track, (name, tasks) in plan.items()
            if (missing := tuple(task for task in tasks if task.lossy not in pairs))
        ]
        total = sum(len(item.tasks) for item in items)
        kept = sum(len(tasks) for _, tasks in plan.values()) - total
        made, saved = 0, time.monotonic()
        failed: list[tuple[str, str]] = []
        results: Iterable = itertools.chain.from_iterable(side_by_side(_work, items, jobs))
        if runner == "beam":
            results = beam.flat_map(_work, items, out, options, jobs)
        try:
            with contextlib.closing(tqdm(results, total=total, unit="twin", desc="encode", disable=None)) as progress:
                for task, result in progress:
                    if isinstance(result, Exception):
                        path = str(task.brought or out / task.lossy)
                        reason = str(result) or "out of memory"
                        (rejected if isinstance(result, PairError) else failed).append((path, reason))
                    else:
                        pairs[task.lossy] = result
                        made += 1
                    if time.monotonic() - saved > _SAVE_EVERY:
                        write_manifest(target, pairs.values())
                        saved = time.monotonic()
        finally:
            # Ctrl-C lands here too: what is done is kept.
            if pairs:
                write_manifest(target, pairs.values())
    return EncodeReport(target, made, kept, tuple(sorted(rejected)), tuple(sorted(failed)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `keras-audiosr encode`."""
    parser.add_argument("manifest", help="tracks.jsonl written by 'keras-audiosr rip'")
    parser.add_argument("out", help="folder for the twins and pairs.jsonl")
    parser.add_argument(
        "--codec",
        action="append",
        default=[],
        metavar="CODEC@BITRATE",
        help="mp3@64k, mp3@V6, mp3@64k-stereo, aac@96k, vorbis@64k, opus@48k, lowpass@8k, ...; again for more",
    )
    parser.add_argument("--twins", metavar="FOLDER", help="lossy files of your own, named as their tracks")
    parser.add_argument("--draw", type=int, metavar="N", help="codecs a track gets, by lot (default: all of them)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="tracks worked on at a time (default: 1)")
    beam.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the stage from the command line; returns its exit code."""
    report = encode(
        args.manifest, args.out, args.codec, args.twins, args.draw, args.jobs, args.runner, args.beam_options
    )
    for word, entries in (("rejected", report.rejected), ("failed", report.failed)):
        for path, reason in entries:
            print(f"{word} {path}: {reason}", file=sys.stderr)
    print(
        f"{report.made} made, {report.kept} kept, {len(report.rejected)} rejected, {len(report.failed)} failed;"
        f" pairs in {report.manifest}"
    )
    return 1 if report.rejected or report.failed else 0
