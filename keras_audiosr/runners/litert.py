"""Runs TensorFlow Lite models with LiteRT, the default of `restore`. It does not import TensorFlow."""

import contextlib
import functools
import os
import queue
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..annotations import StrPath
from ..errors import ArtifactError
from .artifact import facts_of, read_metadata, read_verified
from .base import Runner

TFLITE = "model.tflite"
_Network: TypeAlias = Callable[..., dict[str, np.ndarray]]
_Shapes: TypeAlias = dict[str, tuple[int, ...]]


class LiteRTRunner(Runner):
    """Runs an exported `model.tflite`.

    Several threads may call `predict`. Up to `num_threads` windows are computed at a time, each on its own interpreter
    and core. This is faster than several threads for one window, which would wait for each other after every layer. The
    samples are the same bit for bit.

    Args:
        folder: the exported model, a folder with `metadata.json`.
        file: name of the `.tflite` file in the folder.
        num_threads: number of CPU threads. Each thread computes one window at a time. If it is 1, everything is
            computed in the caller's thread.

    Raises:
        ArtifactError: the file is missing or damaged (SHA-256), or is not the network that `metadata.json` describes.
    """

    def __init__(self, folder: StrPath, file: str = TFLITE, num_threads: int = 1):
        folder = Path(folder)
        metadata = read_metadata(folder)
        super().__init__(facts_of(metadata, file))
        content = read_verified(folder, metadata, file)

        self._networks = NetworkPool(folder / file, content, num_threads)
        # One more call than there are interpreters, so that no interpreter is idle while a result is written.
        self.in_flight = num_threads + 1 if num_threads > 1 else 1
        window = (1, self.window_length, 1)
        if self._networks.shapes != ({"lossy": window}, {"restored": window}):
            raise ArtifactError(
                f"the network must take lossy {window} and return restored; {folder / file} has"
                f" {self._networks.shapes}; export it again"
            )

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network on `(batch, window_length, 1)` float32, window by window; several threads may call it."""
        # The network has static shapes, because they make it fast. Each call therefore takes one window.
        return np.concatenate([self._networks(lossy=window[None])["restored"] for window in windows])


class NetworkPool:
    """Interpreters of one `.tflite` file with one signature. Several threads may call it at a time.

    Args:
        path: path of the file, for messages.
        content: the file's bytes.
        count: number of interpreters. More calls wait until one of them is free.
        num_threads: CPU threads of each interpreter.
        quiet: whether standard error is silenced while the first interpreter is opened. Interpreters of a file that has
            been opened before print nothing, and can be opened while other threads print.

    Raises:
        ArtifactError: LiteRT cannot run the network.

    Attributes:
        shapes: two dicts with the shapes of the network's inputs and of its outputs by name.
        free: the interpreters that are not in use.
    """

    def __init__(self, path: Path, content: bytes, count: int = 1, num_threads: int = 1, quiet: bool = True):
        self._open = functools.partial(_open_network, path, content, num_threads)
        self._quiet = quiet
        self.free: queue.SimpleQueue[_Network] = queue.SimpleQueue()
        self._count = 0
        self.grow(count)

    def grow(self, count: int) -> None:
        """Opens more interpreters until there are `count` of them."""
        for _ in range(self._count, count):
            with _quiet_stderr() if self._quiet else contextlib.nullcontext():
                network, self.shapes = self._open()
            self._quiet = False
            self.free.put(network)
            self._count += 1
            # Python must not exit while a thread is still inside LiteRT, for example after an interrupt. Therefore it
            # takes every interpreter first, which waits for the calls in flight.
            weakref.finalize(self, self.free.get)

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Runs a free interpreter; returns the outputs by name."""
        network = self.free.get()
        try:
            return network(**inputs)
        finally:
            self.free.put(network)


def _open_network(path: Path, content: bytes, num_threads: int) -> tuple[_Network, tuple[_Shapes, _Shapes]]:
    """Opens a `.tflite` file with one signature.

    Args:
        path: path of the file, for messages.
        content: the file's bytes.
        num_threads: CPU threads that share the work of each layer. The samples do not depend on it.

    Returns:
        A function that calls the signature, and two dicts with the shapes of its inputs and its outputs by name.

    Raises:
        ArtifactError: LiteRT cannot run the network.
    """
    from ai_edge_litert.interpreter import Interpreter  # imported here, because `--help` does not need it

    try:
        interpreter = Interpreter(model_content=content, num_threads=num_threads)
        interpreter.allocate_tensors()
        (signature,) = interpreter.get_signature_list()
        runner = interpreter.get_signature_runner(signature)
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
    except (ValueError, RuntimeError) as error:
        raise ArtifactError(
            f"a model that LiteRT can run is needed; {path}: {_one_line(error)}; export it again"
        ) from error

    # `runner(...)` would resize all inputs and allocate all tensors again in every call.
    def network(**arrays: np.ndarray) -> dict[str, np.ndarray]:
        for name, detail in inputs.items():
            interpreter.set_tensor(detail["index"], arrays[name])
        interpreter.invoke()
        return {name: interpreter.get_tensor(detail["index"]) for name, detail in outputs.items()}

    del runner  # LiteRT refuses to run while another object refers to the interpreter
    return network, (_shapes(inputs), _shapes(outputs))


def _shapes(details: dict[str, dict[str, Any]]) -> _Shapes:
    return {name: tuple(map(int, detail["shape"])) for name, detail in details.items()}


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keeps LiteRT's "Created XNNPACK delegate" line, which no setting turns off, away from the user's terminal."""
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed, so no line can appear
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
