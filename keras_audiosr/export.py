"""Stage 8: a checkpoint becomes files that run without Keras, and say what they are.

Conversion runs in a child process: parts of TensorFlow's converter abort the
whole process where others raise, and an abort there must not take the caller
along. The same child proves that every artefact gives what the Keras model gives.
"""

import argparse
import json
import os
from pathlib import Path

from .audio.files import atomic_folder
from .child import ChildError, call_in_child
from .errors import ArtifactError, OutputExistsError, UsageError
from .runners.artifact import METADATA
from .runners.keras import CHECKPOINT, read_run_preset
from .tables import EvaluationTable

MODEL_CARD = "MODEL_CARD.md"


def export(
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    evaluation: str | os.PathLike | None = None,
    attribution: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> Path:
    """Exports a trained model to SavedModel, TFLite and Keras weights, with metadata and a model card.

    Args:
        checkpoint: a run folder of `train`, or a `.keras` file in one.
        out: folder that receives `<preset>/`: `1/` (SavedModel, signature `serving_default`: lossy
            `(batch, window_length, 1)` -> restored), `model.tflite` (float32, batch 1), `model.weights.h5`,
            `metadata.json` (with size and SHA-256 of all of them) and `MODEL_CARD.md`.
        evaluation: the `evaluation.json` that `evaluate` wrote, for the figures of the model card.
        attribution: Markdown file that names the training data, its licences and authors, for the model card.
        overwrite: whether an earlier export may be replaced.

    Returns:
        Path of the new `<out>/<preset>/`.

    Raises:
        ArtifactError: the checkpoint cannot be loaded or converted, or an artefact differs from it by more
            than 1e-4 of full scale.
        OutputExistsError: `<out>/<preset>/` is there and `overwrite` is false.
        UsageError: `evaluation` or `attribution` cannot be read.
        AudioFileError: `out` cannot be written.

    Example:

    >>> export("runs/first", "exported_models")  # doctest: +SKIP
    """
    checkpoint = Path(checkpoint)
    if checkpoint.is_dir():
        checkpoint = checkpoint / CHECKPOINT
    preset = read_run_preset(checkpoint)
    target = Path(out) / preset["name"]
    if os.path.lexists(target) and not overwrite:
        raise OutputExistsError(
            f"an export is not replaced unasked; {target} is there; add --overwrite or choose another folder"
        )
    table = None if evaluation is None else _read_table(evaluation)
    attributions = None if attribution is None else _read_text(attribution)

    from . import __version__
    from .model_card import model_card

    with atomic_folder(target, replaces=METADATA) as folder:
        _convert_in_child(checkpoint.absolute(), folder.absolute())
        metadata = json.loads(_read_text(folder / METADATA))
        metadata |= {"version": __version__, "preset": preset, "training": _training_facts(checkpoint.parent)}
        if table is not None:
            metadata["evaluation"] = {"rows": table.rows, "definitions": table.definitions}
        (folder / METADATA).write_text(json.dumps(metadata, indent=2, ensure_ascii=False) + "\n", "utf-8")
        (folder / MODEL_CARD).write_text(model_card(metadata, table, attributions), "utf-8")
    return target


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


def _convert_in_child(checkpoint: Path, folder: Path) -> None:
    """Runs `conversion.convert` in a process of its own; what it raises or dies of becomes an `ArtifactError`."""
    try:
        call_in_child("conversion.convert", checkpoint, folder)
    except ChildError as error:
        raise ArtifactError(
            f"a model must convert to SavedModel and TFLite; {checkpoint}: {error};"
            " use layers that convert to plain TFLite ops"
        ) from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `keras-audiosr export`."""
    parser.add_argument("checkpoint", help="run folder of 'train', or a .keras file in one")
    parser.add_argument("out", help="folder that receives <preset>/")
    parser.add_argument("--evaluation", metavar="FILE", help="evaluation.json of 'evaluate', for the model card")
    parser.add_argument("--attribution", metavar="FILE", help="Markdown: training data, licences, authors")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr export`; returns the exit code."""
    target = export(args.checkpoint, args.out, args.evaluation, args.attribution, args.overwrite)
    metadata = json.loads((target / METADATA).read_text("utf-8"))
    for name, entry in metadata["files"].items():
        print(f"{target / name}  {entry['bytes']:,} bytes")
    worst = ", ".join(f"{name} {value:.1e}" for name, value in metadata["worst_difference"].items())
    print(f"largest difference to the Keras model: {worst}")
    return 0
