"""Stage 8: converts a trained network to files that run without Keras, with metadata that describes them.

The conversion runs in a child process, because some errors in TensorFlow's converter abort the whole process instead of
raising an exception. The child process also checks that every artefact returns what the Keras model returns.
"""

import argparse
import fnmatch
import importlib.util
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..annotations import StrPath
from ..errors import ArtifactError, OutputExistsError, UsageError, cause, how_to_install
from ..exporting.model_card import attribution_of, model_card
from ..measures.tables import EvaluationTable
from ..presets import is_name, list_presets
from ..processes.child_process import ChildError, call_in_child
from ..processes.partial_files import atomic_folder
from ..runners.artifact import METADATA, read_exported_preset, read_metadata
from ..runners.checkpoint import RECORD, kept_epoch, read_history, read_record, read_run_preset
from ..runners.locate import EXPORTED, KERAS, locate
from ..runners.pretrained import read_weights

MODEL_CARD = "MODEL_CARD.md"
VARIANTS = ("float16", "dynamic", "int16x8", "int8")
# Signal-to-noise ratio in dB that the correction of a quantized variant must have for listening.
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
    name: str | None = None,
) -> Path:
    """Exports a trained model to SavedModel, TFLite and Keras weights, with metadata and a model card.

    Args:
        source: a run folder of `train`, a `.keras` file in one, an exported model with its Keras weights, or the name
            of a preset that is bundled with such a model. Use the last two to make other steps and variants; the model
            card keeps its figures and attribution.
        out: folder that receives `<name>/`: `1/` (SavedModel, signature `serving_default`: lossy
            `(batch, window_length, 1)` -> restored), `model.tflite` (float32, batch 1), `model.weights.h5`,
            `metadata.json` (with size and SHA-256 of all of them) and `MODEL_CARD.md`.
        evaluation: the `evaluation.json` that `evaluate` wrote, for the figures of the model card.
        attribution: Markdown file that names the training data, its licences and authors, for the model card. A line
            of it such as `Licence of the weights: MIT` states the licence in the card's YAML header.
        overwrite: whether an earlier export may be replaced.
        stream: step lengths in samples, multiples of the model's hop. Each makes a streaming artefact
            `stream_<hop>.tflite` for players: `step(lossy, state) -> (restored, state)`
            (`runners.streaming.StreamingRunner`).
        variants: some of `VARIANTS`. Each makes a quantized copy `<file>_<variant>.tflite` of every TFLite file:
            `float16` has weights of float16; the others have weights of 8 bits, and activations of float32 (`dynamic`),
            16 bits (`int16x8`) or 8 bits (`int8`). Needs the extra `quantize`.
        leave_out: patterns of files to remove, such as `"1/*"` or `"*_float16.tflite"`. All files are first made and
            compared with the Keras model. Then those that match a pattern are removed.
        name: the model's name, of letters, digits, `_`, `-` and `.`. When `None`, an exported model keeps its name, and
            a run of a preset of your own gets the preset's name. A run of a preset of this package gets the names of
            the preset and of the run's folder, such as `paired_resnet_bands_44k_run`, so that it is not mistaken for
            the bundled model.

    Returns:
        Path of the new `<out>/<name>/`.

    Raises:
        ArtifactError: the source cannot be loaded or converted, or an artefact differs from it by more
            than 1e-4 of full scale.
        OutputExistsError: `<out>/<name>/` exists and `overwrite` is false.
        UsageError: `evaluation` or `attribution` cannot be read, a step is not a multiple of the model's hop, a variant
            is unknown or ai-edge-quantizer is not installed, a pattern matches no file, no TFLite file is left, or the
            name is not valid.
        AudioFileError: `out` cannot be written.

    Example:

    >>> export("runs/first", "exported_models")  # doctest: +SKIP
    """
    located = locate(source)
    located.require(KERAS, "an export is made from", "name the run or the exported folder it comes from")
    origin = _exported(located.place) if located.kind in EXPORTED else _trained(located.checkpoint)
    name = origin.name if name is None else name
    if not is_name(name):
        raise UsageError(f"a model's name has letters, digits, '_', '-' and '.'; received {name!r}; try another")
    preset = origin.preset | {"name": name}
    variants = list(dict.fromkeys(variants))
    if variants and importlib.util.find_spec("ai_edge_quantizer") is None:
        raise UsageError(f"variants need ai-edge-quantizer; it is not installed; {how_to_install('quantize')}")
    if unknown := set(variants) - set(VARIANTS):
        raise UsageError(f"a variant is one of {', '.join(VARIANTS)}; received {min(unknown)!r}; try 'dynamic'")
    target = Path(out) / name
    if os.path.lexists(target) and not overwrite:
        raise OutputExistsError(
            f"an export is only replaced with --overwrite; {target} exists; add it, or choose another name or folder"
        )
    table = origin.table if evaluation is None else _read_table(evaluation)
    attributions = origin.attribution if attribution is None else _read_text(attribution)

    from ..version import __version__

    with atomic_folder(target, replaces=METADATA) as folder:
        _convert_in_child(located.place.absolute(), folder.absolute(), sorted(set(stream)), variants)
        metadata = json.loads(_read_text(folder / METADATA))
        _leave_out(folder, metadata, leave_out)
        metadata |= {"name": name, "version": __version__, "preset": preset, "training": origin.training}
        if table is not None:
            metadata["evaluation"] = {"rows": table.rows, "definitions": table.definitions}
        (folder / METADATA).write_text(json.dumps(metadata, indent=2, ensure_ascii=False) + "\n", "utf-8")
        (folder / MODEL_CARD).write_text(model_card(metadata, table, attributions), "utf-8")
    return target


def _leave_out(folder: Path, metadata: dict, patterns: Iterable[str]) -> None:
    """Removes the files that match a pattern, and their entries in `metadata`."""
    for pattern in patterns:
        names = fnmatch.filter(metadata["files"], pattern)
        if not names:
            raise UsageError(
                f"a pattern to leave out must match a file of the export; {pattern!r} matches none of"
                f" {', '.join(metadata['files'])}; correct the pattern"
            )
        for name in names:
            (folder / name).unlink()
            for part in ("files", "streaming", "variants"):
                metadata.get(part, {}).pop(name, None)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    if not any(name.endswith(".tflite") for name in metadata["files"]):
        raise UsageError("an exported model needs a .tflite file to run; all of them are left out; keep one")


@dataclass(frozen=True)
class _Origin:
    """The facts about a network that are known before its conversion."""

    name: str
    preset: dict[str, Any]
    training: dict[str, Any]
    table: EvaluationTable | None = None
    attribution: str | None = None


def _trained(checkpoint: Path) -> _Origin:
    preset = read_run_preset(checkpoint)
    return _Origin(_name_of_run(preset["name"], checkpoint.parent), preset, _training_facts(checkpoint.parent))


def _name_of_run(preset: str, folder: Path) -> str:
    """Returns the name of a run's model. It is never that of the package's presets, which stand for bundled models."""
    presets = list_presets()
    if preset not in presets:
        return preset
    run = re.sub(r"[^A-Za-z0-9_-]+", "_", folder.resolve().name).strip("_")
    name = run if run.startswith(preset) else f"{preset}_{run}".strip("_")
    return f"{name}_own" if name in presets else name


def _exported(folder: Path) -> _Origin:
    metadata = read_metadata(folder)
    read_weights(folder, metadata)  # so that missing weights are reported before anything else is done
    table, card = metadata.get("evaluation"), folder / MODEL_CARD
    preset = read_exported_preset(folder)
    return _Origin(
        preset["name"],
        preset,
        metadata.get("training", {}),
        None if table is None else EvaluationTable(table["rows"], [], table["definitions"], {}),
        attribution_of(_read_text(card)) if card.is_file() else None,
    )


def _read_table(path: StrPath) -> EvaluationTable:
    try:
        return EvaluationTable(**json.loads(_read_text(path)))
    except (ValueError, TypeError) as error:
        raise UsageError(f"an evaluation.json of 'evaluate' is needed; {path}: {error}; check the path") from error


def _training_facts(run_folder: Path) -> dict:
    """Returns what `train` recorded about the run: seed, corpus hash, versions, and the epoch that was kept."""
    facts: dict[str, Any] = {}
    if (run_folder / RECORD).is_file():
        record = read_record(run_folder)
        facts = {key: value for key, value in record["arguments"].items() if key != "preset"}
        facts["versions"] = record["versions"]
    history = read_history(run_folder)
    if history is not None:
        facts |= {"epochs": len(history), "best_epoch": kept_epoch(history)}
    return facts


def _read_text(path: StrPath) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"a UTF-8 text file is needed; {path}: {cause(error)}; check the path") from error


def _convert_in_child(source: Path, folder: Path, hops: list[int], variants: list[str]) -> None:
    """Runs `conversion.convert` and `quantization.quantize` in child processes.

    Raises:
        UsageError: the child process raised one, for example because a step is not a multiple of the model's hop.
        ArtifactError: the child process raised another error or was aborted.
    """
    try:
        call_in_child("exporting.conversion.convert", source, folder, ",".join(map(str, hops)))
        if variants:
            call_in_child("exporting.quantization.quantize", folder, ",".join(variants))
    except ChildError as error:
        if usage := re.search(r"keras_audiosr\.errors\.UsageError: (.*) \(exit code \d+\)", str(error)):
            raise UsageError(usage[1]) from error
        # Errors of this package already say what to do.
        advice = "" if "keras_audiosr.errors." in str(error) else "; use layers that convert to plain TFLite ops"
        raise ArtifactError(f"a model must convert to SavedModel and TFLite; {source}: {error}{advice}") from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `keras-audiosr export`."""
    source_help = "run folder of 'train', .keras file in one, exported model with its Keras weights, or bundled preset"
    parser.add_argument("source", help=source_help)
    parser.add_argument("out", help="folder that receives the exported model as the folder NAME")
    name_help = "name of the model (default: the preset's; for a run of a preset of this package PRESET_RUNFOLDER)"
    parser.add_argument("--name", help=name_help)
    evaluation_help = "evaluation.json that 'evaluate' wrote, for the figures of the model card"
    parser.add_argument("--evaluation", metavar="FILE", help=evaluation_help)
    attribution_help = (
        "Markdown file with training data, licences and authors, for the model card; its line 'Licence of the weights:"
        " MIT' also sets the licence in the card's header"
    )
    parser.add_argument("--attribution", metavar="FILE", help=attribution_help)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    stream_help = "also write stream_HOP.tflite for players, with steps of HOP samples, such as 1024; may be repeated"
    parser.add_argument("--stream", type=int, action="append", default=[], metavar="HOP", help=stream_help)
    variant_help = "also quantize every TFLite file to FILE_VARIANT.tflite, mostly smaller and faster; may be repeated"
    parser.add_argument("--variant", choices=VARIANTS, action="append", default=[], help=variant_help)
    leave_help = "remove files such as '*_float16.tflite', after all files have been checked; may be repeated"
    parser.add_argument("--leave-out", action="append", default=[], metavar="PATTERN", help=leave_help)


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr export`; returns the exit code."""
    target = export(
        args.source, args.out, args.evaluation, args.attribution, args.overwrite, args.stream, args.variant,
        args.leave_out, args.name,
    )  # fmt: skip
    metadata = json.loads((target / METADATA).read_text("utf-8"))
    for name, entry in metadata["files"].items():
        print(f"{target / name}  {entry['bytes']:,} bytes")
    worst = ", ".join(f"{name} {value:.1e}" for name, value in metadata["worst_difference"].items())
    print(f"largest difference from the Keras model: {worst}")
    for name, entry in metadata.get("variants", {}).items():
        unfit = "" if entry["correction_snr"] >= FIT else f": too noisy for listening, which needs {FIT} dB"
        print(f"{name}: noise {entry['correction_snr']:.1f} dB below the model's correction{unfit}")
    return 0
