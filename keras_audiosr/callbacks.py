"""Keras callbacks for training runs that can be killed at any moment."""

import json
import os
from pathlib import Path

import keras

from .errors import AudioSRError


def write_json(path, content) -> None:
    """Writes JSON so that `path` is always the old file or the whole new one."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    _sync(partial)
    os.replace(partial, path)


def _sync(path: Path) -> None:
    """Puts a file on the disk, so that a name given to it afterwards never names half of it."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


class BestCheckpoint(keras.callbacks.Callback):
    """Saves the model when a monitored value is the lowest so far, whole or not at all.

    Keras' `ModelCheckpoint` writes in place: a run killed in mid-write loses its best model.

    Args:
        path: the `.keras` file.
        monitor: the logged value; lower is better.
    """

    def __init__(self, path, monitor: str = "val_loss"):
        super().__init__()
        self.path = Path(path)
        self.monitor = monitor
        self.best = float("inf")

    def on_epoch_end(self, epoch, logs=None):
        value = float((logs or {})[self.monitor])
        if value < self.best:
            self.best = value
            partial = self.path.with_name(f".partial.{self.path.name}")
            self.model.save(partial)
            _sync(partial)
            os.replace(partial, self.path)


class Resume(keras.callbacks.Callback):
    """Saves everything a run needs to go on, at the start of every epoch.

    That is the weights with the optimizer's state, the epoch, what the stateful
    callbacks remember, and the history so far. By then all that the epoch before
    did is on disk, so a run killed at any moment repeats at most one epoch, and
    with the same data it ends with the weights of a run that was never killed.

    Args:
        folder: where the state lies.
        stateful: callbacks with plain numbers to remember, and the names of these attributes.
    """

    def __init__(self, folder, stateful: dict[keras.callbacks.Callback, tuple[str, ...]]):
        super().__init__()
        self.folder = Path(folder)
        self.stateful = stateful
        self.history: list[dict] = []
        self._remembered: dict = {}

    @property
    def index(self) -> Path:
        """The file that names the current state; written last."""
        return self.folder / "state.json"

    def load(self, model: keras.Model) -> int:
        """Puts the saved state into a compiled model; returns the epoch to start with.

        Raises:
            AudioSRError: a state is there, and damaged.
        """
        if not self.index.is_file():
            return 0
        try:
            state = json.loads(self.index.read_text("utf-8"))
            model.load_weights(self.folder / Path(state["weights"]).name)
            self.history, self._remembered, epoch = state["history"], state["callbacks"], int(state["epoch"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise AudioSRError(
                f"a run resumes from a whole state; {self.folder}: {type(error).__name__} {reason}; remove that folder"
                " to begin again"
            ) from error
        return epoch

    def on_train_begin(self, logs=None):
        # Only now: Keras' callbacks forget everything when training begins.
        for position, (callback, names) in enumerate(self.stateful.items()):
            for name in names:
                if str(position) in self._remembered:
                    setattr(callback, name, self._remembered[str(position)][name])

    def on_epoch_begin(self, epoch, logs=None):
        self.folder.mkdir(parents=True, exist_ok=True)
        weights = self.folder / f"epoch_{epoch:05d}.weights.h5"
        self.model.save_weights(weights)
        _sync(weights)
        remembered = {
            str(position): {name: getattr(callback, name) for name in names}
            for position, (callback, names) in enumerate(self.stateful.items())
        }
        state = {"epoch": epoch, "weights": weights.name, "callbacks": remembered, "history": self.history}
        write_json(self.index, state)
        for old in self.folder.glob("epoch_*.weights.h5"):
            if old != weights:
                old.unlink()

    def on_epoch_end(self, epoch, logs=None):
        self.history.append({"epoch": epoch, **{name: float(value) for name, value in (logs or {}).items()}})


class StopOnNaN(keras.callbacks.Callback):
    """Ends a run whose loss is no longer a number, with a word on what to do."""

    def on_train_batch_end(self, batch, logs=None):
        loss = float((logs or {}).get("loss", 0.0))
        if loss != loss or loss in (float("inf"), float("-inf")):
            raise AudioSRError(
                f"the loss must stay finite; it became {loss} at step {batch} of this epoch; the last good"
                " checkpoint is kept: lower learning_rate or clip_norm in the preset, and train into a new folder"
            )


class ClipSummaries(keras.callbacks.Callback):
    """Writes fixed clips to TensorBoard after every epoch: audio and log spectrograms.

    Args:
        folder: the TensorBoard log folder.
        lossy, lossless: arrays `(clips, time, 1)`, float32.
        sample_rate: Hz.
    """

    def __init__(self, folder, lossy, lossless, sample_rate: int):
        super().__init__()
        self.folder = str(folder)
        self.lossy = lossy
        self.lossless = lossless
        self.sample_rate = sample_rate
        self._writer = None

    def _write(self, name, audio, step):
        import tensorflow as tf

        with self._writer.as_default(step=step):
            tf.summary.audio(name, audio, self.sample_rate, max_outputs=len(audio))
            spectrum = tf.abs(tf.signal.stft(audio[..., 0], 1024, 256)) / 512.0
            decibels = 20.0 * tf.math.log(spectrum + 1e-5) / tf.math.log(10.0)
            # -100..0 dB as black to white, low frequencies at the bottom.
            image = tf.reverse(tf.transpose(decibels / 100.0 + 1.0, (0, 2, 1)), axis=[1])
            tf.summary.image(name, image[..., None], max_outputs=len(audio))

    def on_train_begin(self, logs=None):
        import tensorflow as tf

        self._writer = tf.summary.create_file_writer(self.folder)
        self._write("lossless", self.lossless, 0)
        self._write("lossy", self.lossy, 0)

    def on_epoch_end(self, epoch, logs=None):
        self._write("restored", self.model(self.lossy, training=False), epoch + 1)
        self._writer.flush()
