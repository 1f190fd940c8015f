"""Keras callbacks for training runs that can be killed at any moment."""

from pathlib import Path
from typing import Any

import keras

from ..annotations import StrPath, Tensor
from ..processes.partial_files import atomic_output

# Names of the two runs in TensorBoard.
_SCALARS = ("train", "validation")


class BestCheckpoint(keras.callbacks.Callback):
    """Saves the model after an epoch whose monitored value is the lowest so far. The file is always complete.

    Keras' `ModelCheckpoint` writes in place, so a run that is killed while it writes loses its best model.

    Args:
        path: path of the `.keras` file.
        monitor: name of the logged value; lower is better.
        always: name of a logged value. The model is also saved after every epoch that logs it. Epochs in which
            discriminators take part log `"adversarial"`; their goal is not a low loss, so the latest model is kept.
    """

    def __init__(self, path: StrPath, monitor: str = "val_loss", always: str = "adversarial"):
        super().__init__()
        self.path = Path(path)
        self.monitor = monitor
        self.always = always
        self.best = float("inf")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        value = float(logs[self.monitor])
        if value < self.best or self.always in logs:
            self.best = min(value, self.best)
            with atomic_output(self.path) as partial:
                self.model.save(partial)


class History(keras.callbacks.Callback):
    """Writes one row of numbers for each epoch to a CSV file. A resumed run replaces the rows of repeated epochs.

    Args:
        path: path of the CSV file.
    """

    def __init__(self, path: StrPath):
        super().__init__()
        self.path = Path(path)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        row = {"epoch": epoch, **{name: float(value) for name, value in (logs or {}).items()}}
        before = self.path.read_text("utf-8").splitlines()[1 : epoch + 1] if self.path.is_file() else []
        lines = [",".join(row), *before, ",".join(map(str, row.values()))]
        with atomic_output(self.path) as partial:
            partial.write_text("\n".join(lines) + "\n", "utf-8")


class ScalarSummaries(keras.callbacks.Callback):
    """Writes the values of each epoch to TensorBoard, as the runs `train` and `validation`.

    Keras' own `TensorBoard` callback does the same, but it needs a compiled model.

    Args:
        folder: the TensorBoard log folder.
    """

    def __init__(self, folder: StrPath):
        super().__init__()
        self.folder = Path(folder)
        self._writers: dict[str, Any] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        import tensorflow as tf

        self._writers = {name: tf.summary.create_file_writer(str(self.folder / name)) for name in _SCALARS}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        import tensorflow as tf

        for name, value in (logs or {}).items():
            validation = name.startswith("val_")
            with self._writers["validation" if validation else "train"].as_default(step=epoch):
                tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", value)
        for writer in self._writers.values():
            writer.flush()


class ClipSummaries(keras.callbacks.Callback):
    """Restores fixed clips after every epoch, and writes them to TensorBoard as audio and log spectrograms.

    Args:
        folder: the TensorBoard log folder.
        lossy, lossless: arrays `(clips, time, 1)`, float32.
        sample_rate: sample rate in Hz.
    """

    def __init__(self, folder: StrPath, lossy: Tensor, lossless: Tensor, sample_rate: int):
        super().__init__()
        self.folder = str(folder)
        self.lossy = lossy
        self.lossless = lossless
        self.sample_rate = sample_rate
        self._writer: Any = None

    def _write(self, name: str, audio: Tensor, step: int) -> None:
        import tensorflow as tf

        with self._writer.as_default(step=step):
            tf.summary.audio(name, audio, self.sample_rate, max_outputs=len(audio))
            spectrum = tf.abs(tf.signal.stft(audio[..., 0], 1024, 256)) / 512.0
            decibels = 20.0 * tf.math.log(spectrum + 1e-5) / tf.math.log(10.0)
            # Black is -100 dB and white is 0 dB. Low frequencies are at the bottom.
            image = tf.reverse(tf.transpose(decibels / 100.0 + 1.0, (0, 2, 1)), axis=[1])
            tf.summary.image(name, image[..., None], max_outputs=len(audio))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        import tensorflow as tf

        self._writer = tf.summary.create_file_writer(self.folder)
        self._write("lossless", self.lossless, 0)
        self._write("lossy", self.lossy, 0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._write("restored", self.model(self.lossy, training=False), epoch + 1)
        self._writer.flush()
