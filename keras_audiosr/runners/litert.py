"""TensorFlow Lite on LiteRT: the runner of `restore`. Imports no TensorFlow."""

import contextlib
import os
from pathlib import Path

import numpy as np

from ..errors import ArtifactError
from .artifact import read_metadata, read_verified, runner_arguments, version_of
from .base import Runner

TFLITE = "model.tflite"


class LiteRTRunner(Runner):
    """Runs an exported `model.tflite`.

    Args:
        folder: the exported model: `metadata.json` and what it lists.
        file: name of the `.tflite` file in it.
        num_threads: CPU threads for one window. More than one is slower on a busy machine;
            run several files side by side instead.

    Raises:
        ArtifactError: missing, damaged (SHA-256), or not the network that `metadata.json` describes.
    """

    def __init__(self, folder, file: str = TFLITE, num_threads: int = 1):
        folder = Path(folder)
        metadata = read_metadata(folder)
        super().__init__(**runner_arguments(metadata))
        content = read_verified(folder, metadata, file)
        self.version = version_of(metadata, file)

        from ai_edge_litert.interpreter import Interpreter  # here: `--help` does without

        try:
            with _quiet_stderr():
                self._interpreter = Interpreter(model_content=content, num_threads=num_threads)
                self._interpreter.allocate_tensors()
            (signature,) = self._interpreter.get_signature_list()
            self._network = self._interpreter.get_signature_runner(signature)
            shapes = {
                name: tuple(detail["shape"])
                for details in (self._network.get_input_details(), self._network.get_output_details())
                for name, detail in details.items()
            }
        except (ValueError, RuntimeError) as error:
            raise ArtifactError(
                f"a model that LiteRT can run is needed; {folder / file}: {_one_line(error)}; export it again"
            ) from error
        window = (1, self.window_length, 1)
        if shapes != {"lossy": window, "restored": window}:
            raise ArtifactError(
                f"the network must take lossy {window} and return restored; {folder / file} has {shapes};"
                " export it again"
            )

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network on `(batch, window_length, 1)`, one window at a time."""
        # The network's shapes are static, which is what makes it fast.
        return np.concatenate([self._network(lossy=window[None])["restored"] for window in windows])


@contextlib.contextmanager
def _quiet_stderr():
    """Keeps LiteRT's "Created XNNPACK delegate" line, which no setting turns off, away from the user's terminal."""
    try:
        kept = os.dup(2)
    except OSError:  # closed: nothing to keep quiet
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
