"""Which runner a path asks for."""

import os
from pathlib import Path

from .. import presets
from ..errors import ArtifactError
from ..serving import Server, is_server
from .artifact import METADATA, read_metadata
from .base import Runner
from .checkpoint import CHECKPOINT
from .keras import KerasRunner
from .litert import TFLITE, LiteRTRunner
from .streaming import StreamingRunner


def load_runner(
    path_or_preset: str | os.PathLike | Server | None = None, trust: bool = False, num_threads: int = 1
) -> Runner:
    """The runner for a model, chosen by what the path holds.

    Args:
        path_or_preset: one of
            - an exported model: the folder with `metadata.json`, for its `model.tflite` or, where that was left out,
              the first `.tflite` file in the alphabet; or a `.tflite` file in it (LiteRT), which may be a streaming
              one or a smaller variant;
            - its SavedModel folder, which holds `saved_model.pb` (TensorFlow);
            - a run folder of `train`, or a `.keras` file in one (Keras);
            - a preset's name, for the exported model that comes with the package (LiteRT);
            - the URL of a model on TensorFlow Serving, `grpc://HOST:PORT/MODEL[@VERSION|:LABEL]`, or with
              `grpcs`, `http`, `https`; a `serving.Server` is such a URL with options;
            - `None` for the default preset.
        trust: whether a SavedModel that did not come with this package may be run. It is a program, which can read and
            write files; TFLite and Keras' files are none.
        num_threads: CPU threads of a network on LiteRT that takes whole windows. The samples are the same.

    Raises:
        ArtifactError: nothing of the kind, it is damaged, or a SavedModel from elsewhere that is not trusted.
        ServerError: the server does not answer, or not with a model of `keras-audiosr serve bundle`.
    """
    if path_or_preset is None:
        return _lite(presets.bundled_folder(presets.DEFAULT_PRESET), num_threads)
    if is_server(path_or_preset):
        path_or_preset = Server(str(path_or_preset))
    if isinstance(path_or_preset, Server):
        from .serving import ServingRunner

        return ServingRunner(path_or_preset.url, path_or_preset.options)
    path = Path(path_or_preset)
    if path.is_dir():
        if (path / METADATA).exists():
            return _lite(path, num_threads)
        if (path / "saved_model.pb").exists():
            from .saved_model import SavedModelRunner

            return SavedModelRunner(path, trust)
        if (path / CHECKPOINT).exists():
            return KerasRunner(path / CHECKPOINT)
    elif path.suffix == ".tflite":
        return _lite(path.parent, num_threads, path.name)
    elif path.suffix == ".keras":
        return KerasRunner(path)
    elif str(path_or_preset) in presets.list_presets():
        return _lite(presets.bundled_folder(str(path_or_preset)), num_threads)
    raise ArtifactError(
        "a model is an exported folder, a SavedModel, a run folder, a .keras file or a preset"
        f" ({', '.join(presets.list_presets())}); received {str(path_or_preset)!r}, none of them; check the path"
    )


def _lite(folder: Path, num_threads: int, file: str | None = None) -> Runner:
    """LiteRT's runner for a file of an exported model, the main one unless it is named."""
    metadata = read_metadata(folder)
    if file is None:
        others = sorted(name for name in metadata["files"] if name.endswith(".tflite"))
        file = TFLITE if TFLITE in others or not others else others[0]
    if file in metadata.get("streaming", {}):
        return StreamingRunner(folder, file)
    return LiteRTRunner(folder, file, num_threads)
