"""Opens the runner for a model."""

import importlib
import os
from pathlib import Path
from typing import Any

from ..errors import ArtifactError
from ..serving import Server
from .artifact import METADATA, read_metadata
from .base import Runner, RunnerOptions
from .litert import TFLITE, LiteRTRunner
from .locate import OPENED_BY, Kind, Located, locate
from .streaming import StreamingRunner

# Length in samples from which on a step restores whole songs faster than `model.tflite`, whose windows overlap by the
# context of the network. Shorter steps copy their state too often.
SONG_STEP = 16384

__all__ = ["RunnerOptions", "load_runner", "open_runner"]


def load_runner(
    path_or_preset: str | os.PathLike[str] | Server | None = None, trust: bool = False, num_threads: int = 1
) -> Runner:
    """Opens the runner for a model. The kind of the model decides which runner it is.

    Args:
        path_or_preset: one of
            - the folder of an exported model, which contains `metadata.json` (LiteRT). Its step of at least `SONG_STEP`
              samples is run, or else its `model.tflite`, or else its only `.tflite` file;
            - a `.tflite` file in such a folder (LiteRT), which may also be a streaming network or a smaller variant;
            - the SavedModel folder of an exported model, which contains `saved_model.pb` (TensorFlow);
            - a run folder of `train`, or a `.keras` file in one (Keras);
            - the name of a preset, for the exported model that comes with the package (LiteRT). A folder of this name
              in the working directory is `./NAME`;
            - the URL of a model on TensorFlow Serving, `grpc://HOST:PORT/MODEL[@VERSION|:LABEL]`, or with `grpcs`,
              `http` or `https`; or a `serving.Server`, which is such a URL with options;
            - `None` for the default preset.
        trust: whether a SavedModel that did not come with this package may be run. It is a program, which can read and
            write files; TFLite and Keras files are not.
        num_threads: CPU threads of a LiteRT network. Each thread computes one window at a time. Steps of mid, side and
            other channels share the threads. The samples do not depend on it.

    Raises:
        ArtifactError: there is no such model, the model is damaged, it is a SavedModel that did not come with this
            package and is not trusted, or it has several `.tflite` files but no `model.tflite`.
        ServerError: the server does not respond, or its model was not made by `keras-audiosr serve bundle`.
    """
    return open_runner(locate(path_or_preset), RunnerOptions(trust, num_threads))


def open_runner(located: Located, options: RunnerOptions | None = None) -> Runner:
    """Opens the runner for a model that `locate` found. It raises the same errors as `load_runner`."""
    options = options or RunnerOptions()
    if located.kind in OPENED_BY:
        module, name = OPENED_BY[located.kind]
        runner: Runner = getattr(importlib.import_module(f".{module}", __package__), name).open(located, options)
        return runner
    path = located.place
    if located.kind is Kind.TFLITE:
        return _lite(path.parent, path.name, read_metadata(path.parent), options)
    metadata = read_metadata(path)
    return _lite(path, _network(path, metadata, options.step), metadata, options)


def _lite(folder: Path, file: str, metadata: dict[str, Any], options: RunnerOptions) -> Runner:
    """Returns the LiteRT runner for a file of an exported model."""
    if file in metadata.get("streaming", {}):
        return StreamingRunner(folder, file, options.num_threads)
    return LiteRTRunner(folder, file, options.num_threads)


def _network(folder: Path, metadata: dict[str, Any], step: int | None) -> str:
    """Returns the name of the `.tflite` file that is run if the user names only the folder of an exported model."""
    steps = _hop_lengths(folder, metadata)
    if step is not None and steps:
        return min(steps, key=lambda name: abs(steps[name] - step))
    if steps and max(steps.values()) >= SONG_STEP:
        return max(steps, key=lambda name: steps[name])
    files = sorted(name for name in metadata["files"] if name.endswith(".tflite"))
    if TFLITE in files or not files:
        return TFLITE
    if len(files) > 1:
        raise ArtifactError(
            f"an exported model is run by its {TFLITE}; {folder} has none, but {', '.join(files)}; name the one to run,"
            f" such as {folder / files[0]}"
        )
    return files[0]


def _hop_lengths(folder: Path, metadata: dict[str, Any]) -> dict[str, int]:
    """Returns the length in samples of each step of an exported model, by the name of its file."""
    try:
        return {name: int(entry["hop_length"]) for name, entry in (metadata.get("streaming") or {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{METADATA} must give the hop_length of each step; {folder}: {error!r}; export it again"
        ) from error
