"""Stage 8: a trained network becomes files that run without Keras, and say what they are.

Conversion runs in a child process: parts of TensorFlow's converter abort the
whole process where others raise, and an abort there must not take the caller
along. The same child proves that every artefact gives what the Keras model gives.
"""

import argparse
import fnmatch
import importlib.util
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .audio.partials import atomic_folder
from .child import ChildError, call_in_child
from .errors import ArtifactError, OutputExistsError, UsageError
from .model_card import attribution_of, model_card
from .presets import bundled_folder, list_presets
from .runners.artifact import METADATA, read_exported_preset, read_metadata, read_verified
from .runners.checkpoint import CHECKPOINT, read_run_preset
from .runners.pretrained import WEIGHTS
from .tables import EvaluationTable

MODEL_CARD = "MODEL_CARD.md"
VARIANTS = ("float16", "dynamic", "int16x8", "int8")
# dB that a variant's noise has to lie under the learned correction.
FIT = 20


def export(
    source: str | os.PathLike,
    out: str | os.PathLike,
    evaluation: str | os.PathLike | None = None,
    attribution: str | os.PathLike | None = None,
    overwrite: bool = False,
    stream: Iterable[int] = (),
    variants: Iterable[str] = (),
    leave_out: Iterable[str] = (),
) -> Path:
    """Exports a trained model to SavedModel, TFLite and Keras weights, with metadata and a model card.

    Args:
        source: a run folder of `train`, a `.keras` file in one, an exported model with its Keras weights, or the name
            of a preset that is bundled with them: other steps and variants of it, say, whose card keeps its figures
            and attribution.
        out: folder that receives `<preset>/`: `1/` (SavedModel, signature `serving_default`: lossy
            `(batch, window_length, 1)` -> restored), `model.tflite` (float32, batch 1), `model.weights.h5`,
            `metadata.json` (with size and SHA-256 of all of them) and `MODEL_CARD.md`.
        evaluation: the `evaluation.json` that `evaluate` wrote, for the figures of the model card.
        attribution: Markdown file that names the training data, its licences and authors, for the model card.
        overwrite: whether an earlier export may be replaced.
        stream: samples a step of streaming artefacts, `stream_<hop>.tflite` each, multiples of the model's hop:
            `step(lossy, state) -> (restored, state)`, for players (`runners.streaming.StreamingRunner`).
        variants: of `VARIANTS`, each of which makes `<file>_<variant>.tflite` of all TFLite files: weights of float16;
            weights of 8 bits, activations as they come (`dynamic`), of 16 bits or of 8. Needs the extra `quantize`.
        leave_out: patterns of files, such as `"1/*"` or `"*_float16.tflite"`, that are not wanted in the folder: all
            are made and held against the Keras model, and what matches is removed then.

    Returns:
        Path of the new `<out>/<preset>/`.

    Raises:
        ArtifactError: the source cannot be loaded or converted, or an artefact differs from it by more
            than 1e-4 of full scale.
        OutputExistsError: `<out>/<preset>/` is there and `overwrite` is false.
        UsageError: `evaluation` or `attribution` cannot be read, a hop that does not fit the model's, variants
            without ai-edge-quantizer, or a pattern that no file matches, or that leaves none to run.
        AudioFileError: `out` cannot be written.

    Example:

    >>> export("runs/first", "exported_models")  # doctest: +SKIP
    """
    source = bundled_folder(str(source)) if str(source) in list_presets() else Path(source)
    origin = _exported(source) if (source / METADATA).is_file() else _trained(source)
    preset = origin.preset
    hops = sorted(set(stream))
    for hop in hops:
        if hop < 1 or hop % preset["hop_length"]:
            raise UsageError(
                f"a streaming step is a multiple of the model's hop, {preset['hop_length']} samples; received {hop};"
                f" try {max(1, round(hop / preset['hop_length'])) * preset['hop_length']}"
            )
    variants = list(dict.fromkeys(variants))
    if variants and importlib.util.find_spec("ai_edge_quantizer") is None:
        raise UsageError(
            "variants are made by ai-edge-quantizer; it is not here; pip install 'keras_audiosr[quantize]'"
        )
    if unknown := set(variants) - set(VARIANTS):
        raise UsageError(f"a variant is one of {', '.join(VARIANTS)}; received {min(unknown)!r}; try 'dynamic'")
    target = Path(out) / preset["name"]
    if os.path.lexists(target) and not overwrite:
        raise OutputExistsError(
            f"an export is not replaced unasked; {target} is there; add --overwrite or choose another folder"
        )
    table = origin.table if evaluation is None else _read_table(evaluation)
    attributions = origin.attribution if attribution is None else _read_text(attribution)

    from . import __version__

    with atomic_folder(target, replaces=METADATA) as folder:
        _convert_in_child(source.absolute(), folder.absolute(), hops, variants)
        metadata = json.loads(_read_text(folder / METADATA))
        _leave_out(folder, metadata, leave_out)
        metadata |= {"version": __version__, "preset": preset, "training": origin.training}
        if table is not None:
            metadata["evaluation"] = {"rows": table.rows, "definitions": table.definitions}
        (folder / METADATA).write_text(json.dumps(metadata, indent=2, ensure_ascii=False) + "\n", "utf-8")
        (folder / MODEL_CARD).write_text(model_card(metadata, table, attributions), "utf-8")
    return target


def _leave_out(folder: Path, metadata: dict, patterns: Iterable[str]) -> None:
    """Removes the files that match, and what `metadata` lists of them."""
    for pattern in patterns:
        names = fnmatch.filter(metadata["files"], pattern)
        if not names:
            raise UsageError(
                f"what is left out matches a file of the export; {pattern!r} matches none of"
                f" {', '.join(metadata['files'])}; correct it"
            )
        for name in names:
            (folder / name).unlink()
            for part in ("files", "streaming", "variants"):
                metadata.get(part, {}).pop(name, None)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    if not any(name.endswith(".tflite") for name in metadata["files"]):
        raise UsageError("an exported model has a .tflite file to run; all of them are left out; keep one")


@dataclass(frozen=True)
class _Origin:
    """What is known of a network before it is converted."""

    preset: dict[str, Any]
    training: dict[str, Any]
    table: EvaluationTable | None = None
    attribution: str | None = None


def _trained(run: Path) -> _Origin:
    run_folder = run if run.is_dir() else run.parent
    return _Origin(read_run_preset(run_folder / CHECKPOINT), _training_facts(run_folder))


def _exported(folder: Path) -> _Origin:
    metadata = read_metadata(folder)
    read_verified(folder, metadata, WEIGHTS)  # before anything else is done
    table, card = metadata.get("evaluation"), folder / MODEL_CARD
    return _Origin(
        read_exported_preset(folder),
        metadata.get("training", {}),
        None if table is None else EvaluationTable(table["rows"], [], table["definitions"], {}),
        attribution_of(_read_text(card)) if card.is_file() else None,
    )


def _read_table(path) -> EvaluationTable:
    try:
        return EvaluationTable(**json.loads(_read_text(path)))
    except (ValueError, TypeError) as error:
        raise UsageError(f"an evaluation.json of 'evaluate' is needed; {path}: {error}; check the path") from error


def _training_facts(run_folder: Path) -> dict:
    """What `train` recorded of the run: seed, corpus hash, versions, and the epoch that was kept."""
    facts = {}
    if (run_folder / "run.json").is_file():
        record = json.loads(_read_text(run_folder / "run.json"))
        facts = {key: value for key, value in record["arguments"].items() if key != "preset"}
        facts["versions"] = record["versions"]
    if (run_folder / "history.json").is_file():
        history = json.loads(_read_text(run_folder / "history.json"))
        facts |= {"epochs": len(history), "best_epoch": min(history, key=lambda logs: logs["val_loss"])}
    return facts


def _read_text(path) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"a UTF-8 text file is needed; {path}: {error}; check the path") from error


def _convert_in_child(source: Path, folder: Path, hops: list[int], variants: list[str]) -> None:
    """Runs `conversion.convert` in a process of its own; what it raises or dies of becomes an `ArtifactError`."""
    try:
        call_in_child("conversion.convert", source, folder, ",".join(map(str, hops)))
        if variants:
            call_in_child("quantization.quantize", folder, ",".join(variants))
    except ChildError as error:
        # An error of our own says by itself what to do.
        advice = "" if "keras_audiosr.errors." in str(error) else "; use layers that convert to plain TFLite ops"
        raise ArtifactError(f"a model must convert to SavedModel and TFLite; {source}: {error}{advice}") from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `keras-audiosr export`."""
    source_help = "run folder of 'train', a .keras file in one, or an exported model with weights: its folder or preset"
    parser.add_argument("source", help=source_help)
    parser.add_argument("out", help="folder that receives <preset>/")
    parser.add_argument("--evaluation", metavar="FILE", help="evaluation.json of 'evaluate', for the model card")
    parser.add_argument("--attribution", metavar="FILE", help="Markdown: training data, licences, authors")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    stream_help = "also stream_HOP.tflite, a step of HOP samples for players, such as 1024; may be repeated"
    parser.add_argument("--stream", type=int, action="append", default=[], metavar="HOP", help=stream_help)
    variant_help = "also FILE_VARIANT.tflite of every TFLite file, smaller and mostly quicker; may be repeated"
    parser.add_argument("--variant", choices=VARIANTS, action="append", default=[], help=variant_help)
    leave_help = "files not to keep once all are proven, such as '*_float16.tflite'; may be repeated"
    parser.add_argument("--leave-out", action="append", default=[], metavar="PATTERN", help=leave_help)


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr export`; returns the exit code."""
    target = export(
        args.source, args.out, args.evaluation, args.attribution, args.overwrite, args.stream, args.variant,
        args.leave_out,
    )  # fmt: skip
    metadata = json.loads((target / METADATA).read_text("utf-8"))
    for name, entry in metadata["files"].items():
        print(f"{target / name}  {entry['bytes']:,} bytes")
    worst = ", ".join(f"{name} {value:.1e}" for name, value in metadata["worst_difference"].items())
    print(f"largest difference to the Keras model: {worst}")
    for name, entry in metadata.get("variants", {}).items():
        unfit = "" if entry["correction_snr"] >= FIT else f": not fit to hear, {FIT} dB are asked for"
        print(f"{name}: noise {entry['correction_snr']:.1f} dB below what the model changes{unfit}")
    return 0
