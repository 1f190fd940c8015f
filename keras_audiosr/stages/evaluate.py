"""Stage 7: measures how much closer to lossless music restored music is than the lossy music it was made from.

`evaluate` restores the lossy side of every pair, or takes files that were restored before, and compares lossy and
restored music with lossless music. It writes a table for each codec and bitrate with the `unprocessed` row first, all
figures of each file as JSON, the paper's spectrum figure, and a figure of the highs.
"""

import argparse
import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..codecs.spec import CodecSpec
from ..datasets.restored_files import match_restored
from ..errors import ManifestError, UsageError
from ..measures.pairs import Worker, mapper
from ..measures.tables import EvaluationTable
from ..processes.partial_files import atomic_folder
from ..processes.versions import versions
from ..shelf.manifests import Pair, read_manifest

__all__ = ["EvaluationTable", "add_arguments", "evaluate", "run"]


def _sha256(paths: Iterable[Path]) -> str:
    """Returns the SHA-256 of one file. For several files it is the SHA-256 of their hexadecimal sums, in order."""
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _choose(pairs: list[Pair], codecs: Sequence[str] | None, manifest: Path) -> list[Pair]:
    if not codecs:
        return pairs
    there = {pair.codec for pair in pairs}
    # Names are first compared as they are written, because the user's own pairs may have the codec "unknown".
    wanted = {codec if codec in there else str(CodecSpec.parse(codec)) for codec in codecs}
    if wanted - there:
        raise ManifestError(
            f"the manifest must have pairs of every requested codec; {manifest} has {', '.join(sorted(there))} and no"
            f" {', '.join(sorted(wanted - there))}; 'keras-audiosr encode' makes them"
        )
    return [pair for pair in pairs if pair.codec in wanted]


def _draw(worker: Worker, pairs: list[Pair], measured: list[dict], folder: Path) -> list[str]:
    """Draws two figures for each codec: the spectra of the file with the median LSD after restoration, and the highs.

    Returns:
        The names of the figures' files.
    """
    from ..measures.figures import spectrum_figure
    from ..measures.highs_figure import highs_figure

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
        name = f"{re.sub('[^a-zA-Z0-9@.]', '_', codec)}.png"
        spectrum_figure(folder / f"spectrum_{name}", signals, pair.sample_rate, title)
        highs_figure(folder / f"highs_{name}", codec, group, signals, pair.sample_rate, f"{pair.title} ({codec})")
        names += [f"spectrum_{name}", f"highs_{name}"]
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
    limit: float | None = None,
    zimtohrli: bool = False,
) -> EvaluationTable:
    """Compares lossy and restored music with the lossless original.

    Args:
        manifest: path of the pairs that `encode` wrote.
        what: a checkpoint (`.keras`, or the folder of a training run), an exported model (its folder, `.tflite` or
            SavedModel), the name of a bundled preset, or a folder of files that were restored before.
        out: new folder for `evaluation.json`, `evaluation.md` and the figures; nothing is written when `None`.
        codecs: names such as `["mp3@64k"]`; every codec of the manifest when `None`.
        visqol: whether the table has a column for ViSQOL, a model of perceived quality (extra `visqol`). It takes about
            1 s for 5 s of music.
        figure: whether, with `out`, two figures are drawn for each codec (extra `plot`): the spectra of the file with
            the median LSD after restoration; and the bias of each band over all files, beside the modulation spectra of
            that file.
        jobs: number of processes. Each of them loads the model.
        trust: whether a SavedModel that did not come with this package may be run. A SavedModel is a program.
        cutoff: frequency in Hz at which LSD is split into a part below and a part above. When `None`, it is where the
            spectrum of each lossy file ends. Give it for lossy files whose spectrum does not show where the lossy
            codec cut it off, such as interpolated ones.
        limit: frequency in Hz up to which the lossless files are lossless, for music that is only nearly lossless.
            Nothing above it is measured.
        zimtohrli: whether the table has a column for Zimtohrli, another model of perceived quality (extra `zimtohrli`).

    Returns:
        The table; `to_markdown()` renders it.

    Raises:
        ManifestError: the manifest or the codec does not exist, or a restored file is missing or ambiguous.
        ArtifactError: the model cannot be read, or does not return as many finite samples as it receives.
        AudioFileError: audio cannot be read, or is too long or too short; or an output cannot be written.
        OutputExistsError: `out` exists and is not empty.
        UsageError: an extra is missing, `jobs` is below 1, or `cutoff` or `limit` is not above 0 Hz.

    Example:
        >>> print(evaluate("pairs.jsonl", "runs/first", codecs=["mp3@64k"]).to_markdown())  # doctest: +SKIP
    """
    from ..measures.songs import DEFINITIONS, limit_definition
    from ..measures.visqol import VISQOL_DEFINITION, require_visqol
    from ..measures.zimtohrli import ZIMTOHRLI_DEFINITION, require_zimtohrli
    from ..runners.load import RunnerOptions
    from ..runners.locate import Located, find, locate

    manifest = Path(manifest)
    if jobs < 1:
        raise UsageError(f"jobs must be 1 or more; received {jobs}; try 1")
    if cutoff is not None and not 0.0 < cutoff < np.inf:
        raise UsageError(f"cutoff must be above 0 Hz; received {cutoff:g}; leave it out to have it estimated")
    if limit is not None and not 0.0 < limit < np.inf:
        raise UsageError(f"limit must be above 0 Hz; received {limit:g}; leave it out to measure all frequencies")
    if visqol:
        require_visqol()
    if zimtohrli:
        require_zimtohrli()
    figure = figure and out is not None
    if figure:
        from ..measures.figures import require_matplotlib

        require_matplotlib()
    pairs = _choose(read_manifest(manifest, Pair), codecs, manifest)
    # A folder that is not a model is a folder of restored music.
    is_music = (model := find(what)) is None and Path(what).is_dir()
    judged: Located | Path = Path(what) if is_music else locate(model or what)
    restored_files = match_restored(Path(what), pairs) if is_music else {}
    worker = Worker(manifest.parent, judged, restored_files, RunnerOptions(trust), visqol, cutoff, limit, zimtohrli)
    if jobs == 1:
        worker.load()  # so that a wrong model is reported before the progress bar appears

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(atomic_folder(out)) if out is not None else None
        mapped = stack.enter_context(mapper(worker, jobs))
        measured = list(tqdm(mapped(pairs), "evaluate", total=len(pairs), unit="file", disable=None))
        arguments = {"manifest": str(manifest), "what": str(what), "codecs": sorted({pair.codec for pair in pairs})}
        judged_files = list(restored_files.values()) if isinstance(judged, Path) else judged.files()
        about = {
            "arguments": {**arguments, "visqol": visqol, "zimtohrli": zimtohrli, "figure": figure, "jobs": jobs}
            | {"cutoff": cutoff, "limit": limit},
            "manifest_sha256": _sha256([manifest]),
            "what_sha256": _sha256(judged_files) if judged_files else None,
            "versions": versions(),
        }
        definitions = [
            *DEFINITIONS,
            *([VISQOL_DEFINITION] if visqol else []),
            *([ZIMTOHRLI_DEFINITION] if zimtohrli else []),
        ]
        definitions += [] if limit is None else [limit_definition(limit)]
        table = EvaluationTable.from_files(measured, definitions, about)
        if folder is not None:
            (folder / "evaluation.json").write_text(table.to_json(), "utf-8")
            pictures = _draw(worker, pairs, measured, folder) if figure else []
            links = "".join(f"\n![{name.removesuffix('.png')}]({name})\n" for name in pictures)
            (folder / "evaluation.md").write_text(table.to_markdown() + links, "utf-8")
    return table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `keras-audiosr evaluate`."""
    parser.add_argument("manifest", metavar="MANIFEST", help="pairs.jsonl that 'keras-audiosr encode' wrote")
    what_help = (
        "model to evaluate (checkpoint, run folder, exported model or preset), or folder of files that were restored"
        " before"
    )
    parser.add_argument("what", metavar="WHAT", help=what_help)
    out_help = "new folder for evaluation.json, evaluation.md and figures (default: the table is only printed)"
    parser.add_argument("-o", "--out", metavar="OUT", help=out_help)
    codec_help = "evaluate only pairs of this codec, such as mp3@64k; may be repeated (default: all codecs)"
    parser.add_argument("--codec", action="append", metavar="CODEC", help=codec_help)
    visqol_help = "add a column for ViSQOL, a model of perceived quality (needs the extra 'visqol')"
    parser.add_argument("--visqol", action="store_true", help=visqol_help)
    zimtohrli_help = "add a column for Zimtohrli, a model of perceived quality (needs the extra 'zimtohrli')"
    parser.add_argument("--zimtohrli", action="store_true", help=zimtohrli_help)
    parser.add_argument("--no-figure", action="store_true", help="draw no figures")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="number of processes (default: 1)")
    trust_help = "run a SavedModel that did not come with this package; it is a program, so you must trust its author"
    parser.add_argument("--trust-saved-model", action="store_true", help=trust_help)
    cutoff_help = "split LSD at this frequency (default: where the spectrum of each lossy file ends)"
    parser.add_argument("--cutoff", type=float, metavar="HZ", help=cutoff_help)
    limit_help = "measure only up to this frequency, for music that is lossless only up to there (default: no limit)"
    parser.add_argument("--limit", type=float, metavar="HZ", help=limit_help)


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr evaluate`: prints the table as Markdown, and returns the exit code."""
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
        args.limit,
        args.zimtohrli,
    )
    print(table.to_markdown(), end="")
    return 0
