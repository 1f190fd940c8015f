"""Loads trained networks as Keras models, for inspection, further training or use in other networks."""

import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArtifactError, UsageError, on_one_line
from ..presets import DEFAULT_PRESET, load_preset
from .artifact import METADATA, read_metadata, read_verified
from .checkpoint import load_checkpoint, require_finite_weights
from .locate import EXPORTED, KERAS, Located, locate

if TYPE_CHECKING:
    import keras

WEIGHTS = "model.weights.h5"


def load_model(preset_or_path: "str | os.PathLike[str] | Located | None" = None) -> "keras.Model":
    """Loads a trained network.

    Args:
        preset_or_path: one of
            - the name of a preset, for the weights that come with the package (a folder of this name is `./NAME`);
            - the folder of an exported model, which contains `metadata.json` and `model.weights.h5`;
            - a run folder of `train`, or a `.keras` file in one;
            - `None` for the default preset;
            - the result of `runners.locate`.

    Returns:
        A `keras.Model` that takes `lossy`, shape `(batch, time, 1)`, and returns `restored` of the same shape. Each row
        is one channel. The model is not compiled. To restore whole songs, use `load_runner` instead.

    Raises:
        ArtifactError: there is no such model, it is damaged (SHA-256), it has no Keras weights, or its weights are not
            finite.

    Example:

    >>> model = load_model("paired_resnet_bands_44k")  # doctest: +SKIP
    >>> restored = model(lossy)  # doctest: +SKIP
    """
    located = locate(preset_or_path)
    located.require(KERAS, "a Keras model is loaded from", "name the run or the exported folder it comes from")
    return _load_exported(located.place) if located.kind in EXPORTED else load_checkpoint(located.checkpoint)


def from_preset(preset: str | os.PathLike[str], load_weights: bool = True, **config: Any) -> "keras.Model":
    """Builds the network that a preset describes.

    Args:
        preset: one of `list_presets()`. Without weights it can also be the path of a `.json` file of the same form.
        load_weights: whether to load the trained weights that come with the package. If false, the network is newly
            initialized.
        **config: arguments of the architecture that replace those of the preset. They are allowed only without weights.

    Returns:
        A `keras.Model` that takes `lossy`, shape `(batch, time, 1)`, and returns `restored` of the same shape. A newly
        initialized network returns its input.

    Raises:
        UsageError: there is no such preset, the architecture does not accept the arguments, or arguments are given
            together with weights.
        ArtifactError: the preset ships without weights.

    Example:

    >>> model = from_preset("paired_resnet_bands_44k", load_weights=False, filters=64)  # doctest: +SKIP
    """
    if load_weights:
        if config:
            raise UsageError(
                f"trained weights fit the preset's own network only; received {', '.join(sorted(config))};"
                " add load_weights=False"
            )
        load_preset(preset)  # for an unknown name, its error suggests the nearest preset
        return load_model(preset)
    return _build(load_preset(preset)["model"], str(preset), config)


def _build(model: Any, source: str, config: dict[str, Any]) -> "keras.Model":
    if not isinstance(model, dict) or not isinstance(model.get("architecture"), str):
        raise ArtifactError(
            f"a network is built from its architecture and config; {source} names none of them; export it again"
        )
    from ..models import build_model

    return build_model(model["architecture"], **(model.get("config") or {}) | config)


def read_weights(folder: Path, metadata: dict[str, Any]) -> bytes:
    """Reads the Keras weights of an exported model and checks their hash against the recorded one.

    Args:
        folder: the exported model.
        metadata: the metadata that `read_metadata` returned.

    Raises:
        ArtifactError: the weights were left out of the export, or they are missing or damaged.
    """
    if WEIGHTS not in metadata["files"]:
        raise ArtifactError(
            f"a Keras model needs its weights, {WEIGHTS}; they were left out of {folder}, which can only restore and"
            f" play; name the run that {metadata['name']!r} was exported from, or a preset with weights, such as"
            f" {DEFAULT_PRESET!r}"
        )
    return read_verified(folder, metadata, WEIGHTS)


def _load_exported(folder: Path) -> "keras.Model":
    metadata = read_metadata(folder)
    content = read_weights(folder, metadata)
    preset = metadata.get("preset")
    model = _build(preset.get("model") if isinstance(preset, dict) else None, str(folder / METADATA), {})
    # Keras reads weights from a file, so the verified bytes are written to a temporary one.
    with tempfile.TemporaryDirectory() as place:
        weights = Path(place, WEIGHTS)
        weights.write_bytes(content)
        try:
            with warnings.catch_warnings():
                # Keras only warns about layers that are missing in the file, and keeps their random initial weights.
                warnings.filterwarnings("error", message="Skipping")
                model.load_weights(weights)
        except (ValueError, OSError, KeyError, UserWarning) as error:
            reason = on_one_line(error)
            raise ArtifactError(
                f"the weights must fit the network in {METADATA}; {folder / WEIGHTS}: {reason}; export it again"
            ) from error
    require_finite_weights(model, folder / WEIGHTS)
    return model
