"""TensorFlow Lite on LiteRT: the runner of `restore`. Imports no TensorFlow."""

import contextlib
import os
from pathlib import Path
from typing import Any

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
        num_threads: CPU threads for one window. On two idle cores two take 0.6 of the time of one; for many files
            it is better to run several side by side.

    Raises:
        ArtifactError: missing, damaged (SHA-256), or not the network that `metadata.json` describes.
    """

    def __init__(self, folder, file: str = TFLITE, num_threads: int = 1):
        folder = Path(folder)
        metadata = read_metadata(folder)
        super().__init__(**runner_arguments(metadata))
        content = read_verified(folder, metadata, file)
        self.version = version_of(metadata, file)

        self._network, shapes = open_network(folder / file, content, num_threads)
        window = (1, self.window_length, 1)
        if shapes != ({"lossy": window}, {"restored": window}):
            raise ArtifactError(
                f"the network must take lossy {window} and return restored; {folder / file} has {shapes};"
                " export it again"
            )

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network on `(batch, window_length, 1)`, one window at a time."""
        # The network's shapes are static, which is what makes it fast.
        return np.concatenate([self._network(lossy=window[None])["restored"] for window in windows])


def open_network(path: Path, content: bytes, num_threads: int) -> tuple[Any, tuple[dict, dict]]:
    """Opens a `.tflite` file of one signature.

    Args:
        path: where it came from, for messages.
        content: the file.
        num_threads: CPU threads.

    Returns:
        What calls the signature, and the shapes of its inputs and of its outputs by name.

    Raises:
        ArtifactError: not a network that LiteRT can run.
    """
    from ai_edge_litert.interpreter import Interpreter  # here: `--help` does without

    try:
        with _quiet_stderr():
            interpreter = Interpreter(model_content=content, num_threads=num_threads)
            interpreter.allocate_tensors()
        (signature,) = interpreter.get_signature_list()
        network = interpreter.get_signature_runner(signature)
        inputs, outputs = (
            {name: tuple(map(int, detail["shape"])) for name, detail in details.items()}
            for details in (network.get_input_details(), network.get_output_details())
        )
    except (ValueError, RuntimeError) as error:
        raise ArtifactError(
            f"a model that LiteRT can run is needed; {path}: {_one_line(error)}; export it again"
        ) from error
    return network, (inputs, outputs)


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
