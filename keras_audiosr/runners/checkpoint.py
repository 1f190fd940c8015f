"""Reads a checkpoint of a training run and the files beside it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..annotations import StrPath
from ..errors import ArtifactError, UsageError, on_one_line
from ..presets import read_recorded
from ..processes.partial_files import atomic_output

CHECKPOINT = "best.keras"
PRESET = "preset.json"
# Files of a training run: the arguments it was started with, and the results of its epochs.
RECORD = "run.json"
HISTORY = "history.json"
# Suffix of the file with a checkpoint's hash, in the format of sha256sum. It is written when the run has ended.
CHECKSUM = ".sha256"


def read_run_preset(checkpoint: StrPath) -> dict:
    """Returns the preset of a run, from the `preset.json` that `train` writes beside its checkpoints.

    Raises:
        ArtifactError: the file is missing or malformed.
    """
    path = Path(checkpoint).parent / PRESET
    if not path.is_file():
        raise ArtifactError(
            f"a checkpoint needs its run's {PRESET} beside it; {path} is not a file;"
            " name the run folder that 'keras-audiosr train' made"
        )
    return read_recorded(path)


def read_record(run: Path) -> dict[str, Any]:
    """Returns the `run.json` of a run, a dict with the dicts `arguments` and `versions`.

    Raises:
        UsageError: the file is missing or damaged.
    """
    record = _read_json(run / RECORD, "must contain its arguments")
    if not isinstance(record, dict) or not all(isinstance(record.get(key), dict) for key in ("arguments", "versions")):
        raise _damaged(run / RECORD, "must contain its arguments", "no arguments and versions in it")
    return record


def read_history(run: Path) -> list[dict[str, Any]] | None:
    """Returns the `history.json` of a run, a list with one dict per epoch, or `None` if the run has not ended.

    Raises:
        UsageError: the file is damaged.
    """
    if not (run / HISTORY).is_file():
        return None
    history = _read_json(run / HISTORY, "must contain its epochs")
    epochs = isinstance(history, list) and bool(history) and all(isinstance(epoch, dict) for epoch in history)
    if not epochs or not all(isinstance(epoch.get("val_loss"), int | float) for epoch in history):
        raise _damaged(run / HISTORY, "must contain its epochs", "no list of epochs with a val_loss")
    return history


def kept_epoch(history: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the epoch of a history whose weights the checkpoint has.

    This is the epoch with the lowest validation loss. If discriminators took part, it is the last one, because a low
    loss is not their goal (`training.callbacks.BestCheckpoint`).
    """
    if "adversarial" in history[-1]:
        return history[-1]
    return min(history, key=lambda epoch: epoch["val_loss"])


def _read_json(path: Path, rule: str) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, rule, f"{type(error).__name__} {on_one_line(error)}") from error


def _damaged(path: Path, rule: str, reason: str) -> UsageError:
    return UsageError(f"a run's {path.name} {rule}; {path}: {reason}; name another folder, or restore the file")


def load_checkpoint(path: StrPath) -> Any:
    """Loads a `.keras` file in safe mode and returns the `keras.Model`.

    Raises:
        ArtifactError: the file is missing or damaged, needs another version of Keras, contains code (a `Lambda` layer),
            or has weights that are not finite. Or its SHA-256 is not the one that was recorded at the end of the run.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"a checkpoint is needed; {path} is not a file; 'keras-audiosr train' makes one")
    _require_noted_hash(path)
    import keras

    # Importing these modules registers their classes, which safe mode requires.
    from .. import layers, models  # noqa: F401

    try:
        # The model is not trained here, so the optimizer and the losses need not be loaded.
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    # Keras does not catch exceptions of zipfile, h5py, json and the layers.
    except Exception as error:
        reason = on_one_line(error)
        raise ArtifactError(
            f"a checkpoint that Keras can load is needed; {path}: {type(error).__name__} {reason};"
            " train or fetch it again"
        ) from error
    require_finite_weights(model, path)
    return model


def write_checksum(checkpoint: Path) -> None:
    """Writes the SHA-256 of a checkpoint to a file beside it. `load_checkpoint` then checks it."""
    with atomic_output(checkpoint.with_name(checkpoint.name + CHECKSUM)) as partial:
        partial.write_text(f"{hashlib.sha256(checkpoint.read_bytes()).hexdigest()}  {checkpoint.name}\n", "utf-8")


def _require_noted_hash(path: Path) -> None:
    note = path.with_name(path.name + CHECKSUM)
    if not note.is_file():
        return
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if note.read_bytes().split()[:1] != [found.encode()]:
        raise ArtifactError(
            f"a checkpoint's SHA-256 must be the one in {note.name}; {path} has {found[:12]}...; it is damaged or"
            f" changed: fetch it again, or remove {note.name} if you changed it"
        )


def require_finite_weights(model: Any, path: StrPath) -> None:
    """Refuses a model with NaN or infinity among its weights.

    Raises:
        ArtifactError: a weight is not finite. The message names the first such weight.
    """
    import keras

    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise ArtifactError(
                f"weights must be finite; {path} has NaN or infinity in {weight.path}; train or fetch it again"
            )
