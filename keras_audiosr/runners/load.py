"""Which runner a path asks for."""

import os
from pathlib import Path

from .. import presets
from ..errors import ArtifactError
from ..serving import Server, is_server
from .artifact import METADATA
from .base import Runner
from .keras import CHECKPOINT, KerasRunner
from .litert import LiteRTRunner


def load_runner(path_or_preset: str | os.PathLike | Server | None = None) -> Runner:
    """The runner for a model, chosen by what the path holds.

    Args:
        path_or_preset: one of
            - an exported model: the folder with `metadata.json`, or a `.tflite` file in it (LiteRT);
            - its SavedModel folder, which holds `saved_model.pb` (TensorFlow);
            - a run folder of `train`, or a `.keras` file in one (Keras);
            - a preset's name, for the exported model that comes with the package (LiteRT);
            - the URL of a model on TensorFlow Serving, `grpc://HOST:PORT/MODEL[@VERSION|:LABEL]`, or with
              `grpcs`, `http`, `https`; a `serving.Server` is such a URL with options;
            - `None` for the default preset.

    Raises:
        ArtifactError: nothing of the kind, or it is damaged.
        ServerError: the server does not answer, or not with a model of `keras-audiosr serve bundle`.
    """
    if path_or_preset is None:
        return LiteRTRunner(presets.bundled_folder(presets.DEFAULT_PRESET))
    if is_server(path_or_preset):
        path_or_preset = Server(str(path_or_preset))
    if isinstance(path_or_preset, Server):
        from .serving import ServingRunner

        return ServingRunner(path_or_preset.url, path_or_preset.options)
    path = Path(path_or_preset)
    if path.is_dir():
        if (path / METADATA).exists():
            return LiteRTRunner(path)
        if (path / "saved_model.pb").exists():
            from .saved_model import SavedModelRunner

            return SavedModelRunner(path)
        if (path / CHECKPOINT).exists():
            return KerasRunner(path / CHECKPOINT)
    elif path.suffix == ".tflite":
        return LiteRTRunner(path.parent, path.name)
    elif path.suffix == ".keras":
        return KerasRunner(path)
    elif str(path_or_preset) in presets.list_presets():
        return LiteRTRunner(presets.bundled_folder(str(path_or_preset)))
    raise ArtifactError(
        "a model is an exported folder, a SavedModel, a run folder, a .keras file or a preset"
        f" ({', '.join(presets.list_presets())}); received {str(path_or_preset)!r}, none of them; check the path"
    )
