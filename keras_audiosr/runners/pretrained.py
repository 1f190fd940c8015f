"""Trained networks as Keras models: to look into, to train on, to build upon."""

import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArtifactError, UsageError
from ..presets import DEFAULT_PRESET, bundled_folder, list_presets, load_preset
from .artifact import METADATA, read_metadata, read_verified
from .checkpoint import CHECKPOINT, load_checkpoint, require_finite_weights

if TYPE_CHECKING:
    import keras

WEIGHTS = "model.weights.h5"


def load_model(preset_or_path: str | os.PathLike[str] | None = None) -> "keras.Model":
    """Loads a trained network.

    Args:
        preset_or_path: one of
            - a preset's name, for the weights that come with the package;
            - an exported model: the folder with `metadata.json` and `model.weights.h5`;
            - a run folder of `train`, or a `.keras` file in one;
            - `None` for the default preset.

    Returns:
        A `keras.Model` that takes `lossy` `(batch, time, 1)` and returns `restored` of the same shape, one channel a
        row. It is not compiled. `load_runner` gives what restores whole songs.

    Raises:
        ArtifactError: nothing of the kind; damaged (SHA-256); weights that are not finite; or a preset that ships
            without weights.

    Example:

    >>> model = load_model("paired_resnet_frame_44k")  # doctest: +SKIP
    >>> restored = model(lossy)  # doctest: +SKIP
    """
    if preset_or_path is None:
        preset_or_path = DEFAULT_PRESET
    path = Path(preset_or_path)
    if path.is_dir() and (path / METADATA).exists():
        return _load_exported(path)
    if path.is_dir() and (path / CHECKPOINT).exists():
        return load_checkpoint(path / CHECKPOINT)
    if path.suffix == ".keras":
        return load_checkpoint(path)
    if str(preset_or_path) in list_presets():
        return _load_exported(bundled_folder(str(preset_or_path)))
    raise ArtifactError(
        "a Keras model is loaded from an exported folder, a run folder, a .keras file or a preset"
        f" ({', '.join(list_presets())}); received {str(preset_or_path)!r}, none of them; check the path"
    )


def from_preset(preset: str | os.PathLike[str], load_weights: bool = True, **config: Any) -> "keras.Model":
    """Builds the network that a preset describes.

    Args:
        preset: one of `list_presets()`; without weights also the path of a `.json` file of the same form.
        load_weights: whether the trained weights that come with the package are loaded; else the network is new.
        **config: arguments of the architecture that replace the preset's, for a new network.

    Returns:
        A `keras.Model` `lossy` -> `restored`, `(batch, time, 1)`. A new one returns its input.

    Raises:
        UsageError: no such preset, arguments that the architecture does not take, or arguments with weights.
        ArtifactError: the preset ships without weights.

    Example:

    >>> model = from_preset("paired_resnet_frame_44k", load_weights=False, filters=64)  # doctest: +SKIP
    """
    if load_weights:
        if config:
            raise UsageError(
                f"trained weights fit the preset's own network only; received {', '.join(sorted(config))};"
                " add load_weights=False"
            )
        load_preset(preset)  # names the nearest preset where there is none of this name
        return load_model(preset)
    return _build(load_preset(preset)["model"], str(preset), config)


def _build(model: Any, source: str, config: dict[str, Any]) -> "keras.Model":
    if not isinstance(model, dict) or not isinstance(model.get("architecture"), str):
        raise ArtifactError(
            f"a network is built from its architecture and config; {source} names none; export it again"
        )
    from ..models import build_model

    return build_model(model["architecture"], **(model.get("config") or {}) | config)


def _load_exported(folder: Path) -> "keras.Model":
    metadata = read_metadata(folder)
    content = read_verified(folder, metadata, WEIGHTS)
    preset = metadata.get("preset")
    model = _build(preset.get("model") if isinstance(preset, dict) else None, str(folder / METADATA), {})
    # Keras reads a file: one that holds the bytes that were verified, and nothing else.
    with tempfile.TemporaryDirectory() as place:
        weights = Path(place, WEIGHTS)
        weights.write_bytes(content)
        try:
            with warnings.catch_warnings():
                # Keras only warns of layers for which the file has nothing, and leaves them as they were drawn.
                warnings.filterwarnings("error", message="Skipping")
                model.load_weights(weights)
        except (ValueError, OSError, KeyError, UserWarning) as error:
            reason = " ".join(str(error).split())[:300]
            raise ArtifactError(
                f"the weights must fit the network in {METADATA}; {folder / WEIGHTS}: {reason}; export it again"
            ) from error
    require_finite_weights(model, folder / WEIGHTS)
    return model
