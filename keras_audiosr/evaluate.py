"""Stage 7: how much better restored music is than the lossy music it was made from.

`evaluate` restores the lossy side of every pair, or takes files restored
before, and holds lossy and restored against lossless: a table per codec and
bitrate with the `unprocessed` row first, every single figure in JSON, and the
paper's spectrum figure.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import multiprocessing
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from .audio.partials import atomic_folder
from .codecs.spec import CodecSpec
from .datasets.decode import decode_pair
from .datasets.pairs import Pair, read_manifest
from .datasets.restored import match_restored, read_restored
from .errors import ArtifactError, ManifestError, UsageError
from .tables import EvaluationTable
from .versions import versions

if TYPE_CHECKING:
    from .runners import Runner

__all__ = ["EvaluationTable", "add_arguments", "evaluate", "run"]

# What makes a folder a model rather than a folder of music.
MODEL_FILES = ("best.keras", "metadata.json", "saved_model.pb")


@dataclasses.dataclass
class _Worker:
    """All that measuring a pair needs; pickled into each process of a pool before a model is loaded."""

    folder: Path
    what: str
    restored_files: dict[str, Path] | None
    visqol: bool
    trust: bool = False
    cutoff: float | None = None
    runner: "Runner | None" = None

    def load(self) -> None:
        """Loads the model, once a process."""
        if self.runner is None and self.restored_files is None:
            from .runners import load_runner

            self.runner = load_runner(self.what, self.trust)

    def signals(self, pair: Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lossless, lossy and restored: arrays `(pair.length, pair.channels)`."""
        lossless, lossy = decode_pair(pair, self.folder)
        if self.runner is not None:
            restored = self.runner.run(lossy, pair.sample_rate, self.folder / pair.lossy)
        else:
            assert self.restored_files is not None
            restored = read_restored(self.restored_files[pair.lossy], pair, self.folder)
        if restored.shape != lossless.shape or not np.isfinite(restored).all():
            finite = "finite" if np.isfinite(restored).all() else "not finite"
            raise ArtifactError(
                f"restored audio is finite and has the shape of its lossless source, {lossless.shape}; {self.what} gave"
                f" {restored.shape}, {finite}, for {pair.lossy}; restore it again"
            )
        return lossless, lossy, restored

    def __call__(self, pair: Pair) -> dict:
        from .audio.bandwidth import estimate_cutoff
        from .metrics import measure

        self.load()
        lossless, lossy, restored = self.signals(pair)
        cutoff = float(estimate_cutoff(lossy, pair.sample_rate)) if self.cutoff is None else self.cutoff
        # One gain for all three: see LEVEL_DEFINITION.
        peak = float(np.abs(lossless).max(initial=0.0))
        lossless, lossy, restored = (signal / (peak or 1.0) for signal in (lossless, lossy, restored))
        rows = measure(lossless, (lossy, restored), pair.sample_rate, cutoff)
        if self.visqol:
            from .visqol import visqol

            for row, signal in zip(rows, (lossy, restored), strict=True):
                row["visqol"] = visqol(lossless, signal, pair.sample_rate)
        about = {name: getattr(pair, name) for name in ("lossless", "lossy", "codec", "duration")}
        return {**about, "cutoff": cutoff, "unprocessed": rows[0], "restored": rows[1]}


_worker: _Worker | None = None


def _start_process(worker: _Worker) -> None:
    global _worker  # how a pool hands a process its state
    _worker = worker


def _measure_in_process(pair: Pair) -> dict:
    assert _worker is not None
    return _worker(pair)


@contextlib.contextmanager
def _mapper(worker: _Worker, jobs: int) -> Iterator[Callable]:
    """A `map(pairs)` over `jobs` processes, in order."""
    if jobs == 1:
        yield lambda pairs: map(worker, pairs)
        return
    # Spawned, not forked: TensorFlow's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(
        jobs, context, _start_process, (dataclasses.replace(worker, runner=None),)
    )
    try:
        yield lambda pairs: pool.map(_measure_in_process, pairs)
    except concurrent.futures.process.BrokenProcessPool as error:
        raise UsageError(
            f"{jobs} processes need memory for {jobs} models, and a script that calls them an"
            " 'if __name__ == \"__main__\":'; one process ended early; try jobs=1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _sha256(paths: Iterable[Path]) -> str:
    """The SHA-256 of one file; of several, that of their SHA-256 in order."""
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _model_files(what: str) -> list[Path]:
    path = Path(what)
    if not path.exists():
        from .presets import bundled_folder

        path = bundled_folder(what)
    if path.is_dir() and (path / "best.keras").is_file():
        return [path / "best.keras"]
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _choose(pairs: list[Pair], codecs: Sequence[str] | None, manifest: Path) -> list[Pair]:
    if not codecs:
        return pairs
    there = {pair.codec for pair in pairs}
    # As written first: pairs brought by the user may be of an "unknown" codec.
    wanted = {codec if codec in there else str(CodecSpec.parse(codec)) for codec in codecs}
    if wanted - there:
        raise ManifestError(
            f"the manifest must have pairs of every codec asked for; {manifest} has {', '.join(sorted(there))} and no"
            f" {', '.join(sorted(wanted - there))}; 'keras-audiosr encode' makes them"
        )
    return [pair for pair in pairs if pair.codec in wanted]


def _draw(worker: _Worker, pairs: list[Pair], measured: list[dict], folder: Path) -> list[str]:
    """One spectrum figure a codec: of the file whose restored LSD is the median, not of the best one."""
    from .figures import spectrum_figure

    names = []
    by_lossy = {pair.lossy: pair for pair in pairs}
    for codec in sorted({file["codec"] for file in measured}):
        group = sorted((file for file in measured if file["codec"] == codec), key=lambda file: file["restored"]["lsd"])
        file = group[(len(group) - 1) // 2]
        pair = by_lossy[file["lossy"]]
        worker.load()
        signals = dict(zip(("lossless", f"lossy ({codec})", "restored"), worker.signals(pair), strict=True))
        before, after = (file[signal]["lsd"] for signal in ("unprocessed", "restored"))
        title = f"{pair.title}: LSD {before:.2f} unprocessed, {after:.2f} restored"
        names.append(f"spectrum_{re.sub('[^a-zA-Z0-9@.]', '_', codec)}.png")
        spectrum_figure(folder / names[-1], signals, pair.sample_rate, title)
    return names


def evaluate(
    manifest: str | os.PathLike,
    what: str | os.PathLike,
    out: str | os.PathLike | None = None,
    codecs: Sequence[str] | None = None,
    visqol: bool = False,
    figure: bool = True,
    jobs: int = 1,
    trust: bool = False,
    cutoff: float | None = None,
) -> EvaluationTable:
    """Compares lossy and restored music with the lossless original.

    Args:
        manifest: pairs, as `encode` writes them.
        what: a checkpoint (`.keras`, or the folder of a training run), an exported model (its folder, `.tflite` or
            SavedModel), the name of a bundled preset, or a folder of files restored before.
        out: new folder for `evaluation.json`, `evaluation.md` and the figures; nothing is written when `None`.
        codecs: such as `["mp3@64k"]`; every codec of the manifest when `None`.
        visqol: adds the ViSQOL column (extra `visqol`), at about 1 s for 5 s of music.
        figure: with `out`, draws the spectrum figure of one file a codec, the one whose restored LSD is the median
            (extra `plot`).
        jobs: processes; each loads the model.
        trust: whether a SavedModel that did not come with this package may be run, as the program that it is.
        cutoff: Hz at which LSD is split into below and above; where each lossy file's spectrum ends when `None`. For
            lossy sides that do not show it, such as interpolated ones.

    Returns:
        The table; `to_markdown()` prints it.

    Raises:
        ManifestError: no such manifest or codec, or a restored file that is missing or ambiguous.
        ArtifactError: a model that cannot be read, or does not give as many finite samples as it takes.
        AudioFileError: audio that cannot be read, or is too long or short; an output that cannot be written.
        OutputExistsError: `out` is there and not empty.
        UsageError: an extra is missing, `jobs` is below 1, or `cutoff` is not above 0 Hz.

    Example:
        >>> print(evaluate("pairs.jsonl", "runs/first", codecs=["mp3@64k"]).to_markdown())  # doctest: +SKIP
    """
    from .metrics import LEVEL_DEFINITION, LSD_DEFINITION
    from .visqol import VISQOL_DEFINITION, require_visqol

    manifest, what = Path(manifest), os.fspath(what)
    if jobs < 1:
        raise UsageError(f"jobs must be 1 or more; received {jobs}; try 1")
    if cutoff is not None and not 0.0 < cutoff < np.inf:
        raise UsageError(f"cutoff is a frequency above 0 Hz; received {cutoff:g}; leave it out to have it estimated")
    if visqol:
        require_visqol()
    figure = figure and out is not None
    if figure:
        from .figures import require_matplotlib

        require_matplotlib()
    pairs = _choose(read_manifest(manifest, Pair), codecs, manifest)
    is_music = Path(what).is_dir() and not any((Path(what) / name).exists() for name in MODEL_FILES)
    restored_files = match_restored(Path(what), pairs) if is_music else None
    worker = _Worker(manifest.parent, what, restored_files, visqol, trust, cutoff)
    if jobs == 1:
        worker.load()  # a wrong model is told before the bar appears

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(atomic_folder(out)) if out is not None else None
        mapped = stack.enter_context(_mapper(worker, jobs))
        measured = list(tqdm(mapped(pairs), "evaluate", total=len(pairs), unit="file", disable=None))
        arguments = {"manifest": str(manifest), "what": what, "codecs": sorted({pair.codec for pair in pairs})}
        about = {
            "arguments": {**arguments, "visqol": visqol, "figure": figure, "jobs": jobs, "cutoff": cutoff},
            "manifest_sha256": _sha256([manifest]),
            "what_sha256": _sha256(restored_files.values() if restored_files is not None else _model_files(what)),
            "versions": versions(),
        }
        table = EvaluationTable.from_files(
            measured, [LSD_DEFINITION, LEVEL_DEFINITION, *([VISQOL_DEFINITION] if visqol else [])], about
        )
        if folder is not None:
            (folder / "evaluation.json").write_text(table.to_json(), "utf-8")
            pictures = _draw(worker, pairs, measured, folder) if figure else []
            links = "".join(f"\n![{name.removesuffix('.png')}]({name})\n" for name in pictures)
            (folder / "evaluation.md").write_text(table.to_markdown() + links, "utf-8")
    return table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `keras-audiosr evaluate`."""
    parser.add_argument("manifest", metavar="MANIFEST", help="pairs.jsonl written by encode")
    parser.add_argument(
        "what", metavar="WHAT", help="checkpoint, run folder, exported model, preset, or folder of restored files"
    )
    parser.add_argument("-o", "--out", metavar="OUT", help="new folder for evaluation.json, evaluation.md and figures")
    parser.add_argument(
        "--codec", action="append", metavar="CODEC", help="such as mp3@64k; may be repeated; default: all"
    )
    parser.add_argument("--visqol", action="store_true", help="add ViSQOL (needs the extra 'visqol')")
    parser.add_argument("--no-figure", action="store_true", help="draw no spectrum figure")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default: 1)")
    trust_help = "run a SavedModel that did not come with this package: it is a program, trust who made it"
    parser.add_argument("--trust-saved-model", action="store_true", help=trust_help)
    cutoff_help = "where LSD is split into below and above (default: where each lossy file's spectrum ends)"
    parser.add_argument("--cutoff", type=float, metavar="HZ", help=cutoff_help)


def run(args: argparse.Namespace) -> int:
    """Evaluates, prints the table as Markdown; returns the exit code."""
    table = evaluate(
        args.manifest,
        args.what,
        args.out,
        args.codec,
        args.visqol,
        not args.no_figure,
        args.jobs,
        args.trust_saved_model,
        args.cutoff,
    )
    print(table.to_markdown(), end="")
    return 0
