"""Stage 2: makes lossy copies ("twins") of tracks, aligns them to the sample, and writes `pairs.jsonl`."""

import argparse
import contextlib
import dataclasses
import filecmp
import hashlib
import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..annotations import StrPath
from ..codecs.spec import CodecSpec
from ..errors import PairError, UsageError, naming
from ..processes import beam
from ..processes.file_systems import lock
from ..processes.threads import side_by_side
from ..shelf.encode_track import TrackTwins, Twin, make_twins
from ..shelf.file_locations import match_twins, path_inside
from ..shelf.manifests import Pair, Track, read_manifest, write_manifest

# Seconds between two writes of pairs.jsonl. A run that is killed loses at most the work of this time.
_SAVE_EVERY = 15.0


@dataclasses.dataclass(frozen=True)
class EncodeReport:
    """The result of a run of `encode`.

    Attributes:
        manifest: path of `pairs.jsonl`.
        made: number of pairs that this run added, with twins that it made or that the user brought.
        kept: number of twins that existed already.
        rejected: `(path, reason)` of each twin that does not fit its track.
        failed: `(path, reason)` of each twin that could not be read, made or written.
    """

    manifest: Path
    made: int
    kept: int
    rejected: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...]


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keeps a second run out of the same folder. The operating system drops the lock when the process ends."""
    with open(out / ".encode.lock", "w") as file:
        try:
            lock(file.fileno(), wait=False)  # on a disk without locks this has no effect
        except BlockingIOError as error:
            raise UsageError(
                f"only one run at a time may write a folder; another encode is writing {out}; wait for it or choose"
                " another folder"
            ) from error
        yield


def _drawn(track: Track, specs: Sequence[CodecSpec], count: int | None) -> Sequence[CodecSpec]:
    """Draws `count` of the codecs at random. Only the track's path decides, so that every run draws the same."""
    if count is None:
        return specs
    lot = {spec: hashlib.sha256(f"{track.lossless}\0{spec}".encode()).digest() for spec in specs}
    return sorted(specs, key=lot.__getitem__)[:count]


def _plan(
    tracks: Sequence[Track], folder: Path, out: Path, specs: Sequence[CodecSpec], draw: int | None, twins: Path | None
) -> tuple[dict[Track, Any], list[tuple[str, str]]]:
    """Returns the twins that every track should have, `{track: (lossless name, [twin])}`, and twins without a track."""
    plan = {}
    for track in tracks:
        name = path_inside(folder / track.lossless, out, "lossless", track.lossless)
        stem = Path(track.lossless)
        chosen = _drawn(track, specs, draw)
        plan[track] = (name, [Twin(f"{s}/{stem.with_suffix('.' + s.suffix).as_posix()}", spec=s) for s in chosen])
    rejected: list[tuple[str, str]] = []
    if twins is not None:
        matches, rejected = match_twins(twins, tracks)
        for path, track in matches:
            lossy = path_inside(path, out, "twins", path.relative_to(twins).as_posix())
            plan[track][1].append(Twin(lossy, brought=path))
    return plan, rejected


def _previous_pairs(manifest: Path, out: Path, plan: Any) -> dict:
    """Returns the pairs of earlier runs that are still valid, by the path of the lossy file."""
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
    manifest: StrPath,
    out: StrPath,
    codecs: Sequence = (),
    twins: StrPath | None = None,
    draw: int | None = None,
    jobs: int = 1,
    runner: str = "local",
    beam_options: str | Sequence[str] = (),
) -> EncodeReport:
    """Makes a lossy twin of every track for every codec, and aligns each twin to its track, exact to the sample.

    Twins are written to `OUT/<codec>/<path of the track>`, and their pairs to `OUT/pairs.jsonl`. Tracks outside OUT are
    hard-linked (on another file system: copied) to `OUT/lossless/`, and files of the user's own to `OUT/twins/`. OUT
    can therefore be moved as a whole. Another run makes only what is missing.

    Args:
        manifest: path of the `tracks.jsonl` that `rip` wrote.
        out: output folder.
        codecs: codecs of the twins, such as `"mp3@64k"`, `"opus@48k"` or `"lowpass@8k"`; see `codecs.CodecSpec`.
        twins: folder of the user's own lossy files, named like their tracks (in folders named like the albums where
            names repeat). Each file is aligned, and rejected if no constant lag fits it.
        draw: number of codecs for each track, which are drawn from `codecs` by the track's path; all of them when
            `None`. With this setting, more codecs take no more time, and each codec is used on different music.
        jobs: number of tracks to process at a time, each with an FFmpeg process of its own.
        runner: `"local"`, or `"beam"` for an Apache Beam pipeline, which gives the same twins and manifest.
        beam_options: options of the pipeline, such as `"--runner=FlinkRunner ..."`; Beam's own runner when empty.

    Returns:
        An `EncodeReport`. A track that fails does not stop the others.

    Raises:
        ManifestError: the manifest cannot be used.
        UsageError: a codec, folder or number is not valid, or another run is writing `out`.

    Example:
        >>> encode("shelf/tracks.jsonl", "shelf", ["mp3@64k", "aac@96k"], jobs=2)  # doctest: +SKIP
    """
    manifest, out = Path(manifest), Path(out)
    specs = list(dict.fromkeys(CodecSpec.parse(str(codec)) for codec in codecs))
    if not specs and twins is None:
        raise UsageError("encode needs a codec or a folder of twins; received neither; try '--codec mp3@64k'")
    if draw is not None and not 1 <= draw <= len(specs):
        raise UsageError(f"draw must be 1 to {len(specs)}, the number of codecs; received {draw}; try '--draw 1'")
    if jobs < 1:
        raise UsageError(f"jobs must be 1 or more; received {jobs}; try '--jobs 1'")
    options = beam.check(runner, beam_options)
    if twins is not None and not Path(twins).is_dir():
        raise UsageError(f"twins must be a folder of lossy files; received {twins}; name the folder that holds them")
    if twins is not None and any(path.resolve().is_relative_to(Path(twins).resolve()) for path in (out, manifest)):
        raise UsageError(
            f"twins must be in a folder of their own; {twins} contains the output or the manifest; move it elsewhere"
        )
    if out.exists() and not out.is_dir():
        raise UsageError(f"the output must be a folder; {out} is a file; name a folder")
    tracks = read_manifest(manifest, Track)
    out.mkdir(parents=True, exist_ok=True)
    target = out / "pairs.jsonl"

    with _locked(out):
        plan, rejected = _plan(tracks, manifest.parent, out, specs, draw, Path(twins) if twins is not None else None)
        pairs = _previous_pairs(target, out, plan)
        items = [
            TrackTwins(track, manifest.parent / track.lossless, name, missing, out)
            for track, (name, tasks) in plan.items()
            if (missing := tuple(task for task in tasks if task.lossy not in pairs))
        ]
        total = sum(len(item.tasks) for item in items)
        kept = sum(len(tasks) for _, tasks in plan.values()) - total
        made, saved = 0, time.monotonic()
        failed: list[tuple[str, str]] = []
        results: Iterable = itertools.chain.from_iterable(side_by_side(make_twins, items, jobs))
        if runner == "beam":
            results = beam.flat_map(make_twins, items, out, options, jobs)
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
            # This also runs after Ctrl-C, so that finished pairs are kept.
            if pairs:
                write_manifest(target, pairs.values())
    return EncodeReport(target, made, kept, tuple(sorted(rejected)), tuple(sorted(failed)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `keras-audiosr encode`."""
    parser.add_argument("manifest", help="tracks.jsonl that 'keras-audiosr rip' wrote")
    parser.add_argument("out", help="folder for the lossy copies and pairs.jsonl")
    parser.add_argument(
        "--codec",
        action="append",
        default=[],
        metavar="CODEC@BITRATE",
        help="codec of the lossy copies, such as mp3@64k, mp3@V6, mp3@64k-stereo, aac@96k, vorbis@64k, opus@48k or"
        " lowpass@8k; may be repeated",
    )
    twins_help = "folder of your own lossy files, named like their tracks; they are aligned and become pairs too"
    parser.add_argument("--twins", metavar="FOLDER", help=twins_help)
    draw_help = "use only N of the codecs for each track, in a random but repeatable choice (default: all codecs)"
    parser.add_argument("--draw", type=int, metavar="N", help=draw_help)
    jobs_help = "number of tracks to process at a time (default: 1)"
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help=jobs_help)
    beam.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr encode`; returns the exit code."""
    report = encode(
        args.manifest, args.out, args.codec, args.twins, args.draw, args.jobs, args.runner, args.beam_options
    )
    for word, entries in (("rejected", report.rejected), ("failed", report.failed)):
        for path, reason in entries:
            print(f"{word}: {naming(path, reason)}", file=sys.stderr)
    print(
        f"{report.made} made, {report.kept} kept, {len(report.rejected)} rejected, {len(report.failed)} failed;"
        f" pairs in {report.manifest}"
    )
    return 1 if report.rejected or report.failed else 0
