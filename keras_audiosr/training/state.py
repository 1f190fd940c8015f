"""The state from which a killed run resumes: every variable of its trainer, and the state of its training loop."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..errors import AudioSRError, on_one_line
from ..processes.file_systems import sync
from ..processes.partial_files import write_json
from .step import Trainer


def save_variables(trainer: Trainer, path: Path) -> None:
    """Writes the variables of a trainer to an `.npz` file, and waits until the file is on the disk."""
    arrays = {f"{index:05d}": variable.numpy() for index, variable in enumerate(trainer.variables)}
    np.savez(path, **arrays)
    sync(path)


def load_variables(trainer: Trainer, path: Path) -> None:
    """Restores the variables of a trainer from an `.npz` file, bit for bit.

    Raises:
        OSError, ValueError, KeyError: the file is missing or damaged, or belongs to another network.
    """
    variables = trainer.variables
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[f"{index:05d}"] for index in range(len(variables))]
            if len(file.files) != len(variables):
                raise ValueError(f"{len(file.files)} arrays for {len(variables)} variables")
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error
    for variable, array in zip(variables, arrays, strict=True):
        if tuple(variable.shape) != array.shape:
            raise ValueError(f"{variable.path} has shape {tuple(variable.shape)}, not {array.shape}")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


class Resume(keras.callbacks.Callback):
    """Saves everything that a run needs to resume, at the start of every epoch.

    The state consists of the variables of the trainer (the weights of all its networks, its optimizers, the running
    averages), the epoch, some attributes of stateful objects, and the history so far. All other files of the previous
    epoch are on the disk by then. A killed run therefore repeats at most one epoch. If its batches are the same, it
    ends with the weights of a run that was never killed.

    Args:
        folder: folder of the state.
        trainer: trainer whose variables are saved.
        stateful: objects, and for each the names of its attributes to save. These attributes are plain numbers.
    """

    def __init__(self, folder: Path, trainer: Trainer, stateful: dict[Any, tuple[str, ...]]):
        super().__init__()
        self.folder = Path(folder)
        self.trainer = trainer
        self.stateful = stateful
        self.history: list[dict] = []
        self._remembered: dict = {}

    @property
    def index(self) -> Path:
        """The file that names the current state. It is written last."""
        return self.folder / "state.json"

    def load(self) -> int:
        """Restores the saved state, if there is one. Returns the epoch to start with.

        Raises:
            AudioSRError: the saved state is damaged.
        """
        if not self.index.is_file():
            return 0
        try:
            state = json.loads(self.index.read_text("utf-8"))
            load_variables(self.trainer, self.folder / Path(state["variables"]).name)
            self.history, self._remembered, epoch = state["history"], state["stateful"], int(state["epoch"])
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            reason = on_one_line(error)
            raise AudioSRError(
                f"a run must resume from a complete state; {self.folder}: {type(error).__name__} {reason}; remove that"
                " folder to begin again"
            ) from error
        return epoch

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        # The attributes are restored only now, because Keras' callbacks reset them when training begins.
        for position, (holder, names) in enumerate(self.stateful.items()):
            for name in names:
                if str(position) in self._remembered:
                    setattr(holder, name, self._remembered[str(position)][name])

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        variables = self.folder / f"epoch_{epoch:05d}.npz"
        save_variables(self.trainer, variables)
        remembered = {
            str(position): {name: getattr(holder, name) for name in names}
            for position, (holder, names) in enumerate(self.stateful.items())
        }
        state = {"epoch": epoch, "variables": variables.name, "stateful": remembered, "history": self.history}
        write_json(self.index, state)
        for old in self.folder.glob("epoch_*.npz"):
            if old != variables:
                old.unlink()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.history.append({"epoch": epoch, **{name: float(value) for name, value in (logs or {}).items()}})
