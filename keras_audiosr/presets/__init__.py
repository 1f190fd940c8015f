"""Presets, which are the only place for the numbers of a model. Each preset is one JSON file.

A preset defines the network, its sample rate, the windows that it is trained on, its training and its export. Presets
can be read without Keras.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from ..errors import ArtifactError, UsageError, cause
from .reading import nearest, require_keys

__all__ = [
    "DEFAULT_PRESET",
    "bundled_folder",
    "check_recorded",
    "current_name",
    "is_bundled",
    "is_name",
    "list_presets",
    "load_preset",
    "read_recorded",
]

_FOLDER = Path(__file__).parent
DEFAULT_PRESET = "paired_resnet_bands_44k"
# The name of the default in version 0.1.0. Command lines with that name still work, and use the current default.
_RENAMED = {"paired_resnet_frame_44k": DEFAULT_PRESET}


def list_presets() -> list[str]:
    """Returns the names of the presets in the package, in alphabetical order."""
    return sorted(file.stem for file in _FOLDER.glob("*.json"))


def current_name(name: str) -> str:
    """Returns the current name of a preset for a name from an earlier version, and any other name unchanged."""
    return _RENAMED.get(name, name)


def load_preset(name_or_path: str | os.PathLike[str]) -> dict:
    """Reads a preset by its name or from a JSON file.

    Args:
        name_or_path: one of `list_presets()`, or the path of a `.json` file.

    Returns:
        The preset, with the keys `name`, `description`, `sample_rate` (Hz), `model`, `data`, `training` and `export`.
        It does not contain the receptive field and the grid of the windows, which are computed from the network
        (`streaming.receptive_field`).

    Raises:
        UsageError: the preset does not exist. The message contains the nearest name.
        ArtifactError: the file is not a valid preset: a key is missing or unknown, or a value has the wrong type or is
            out of its range.
    """
    name = current_name(str(name_or_path))
    if name in list_presets():
        text = (_FOLDER / f"{name}.json").read_text("utf-8")
    elif Path(name).suffix == ".json" and Path(name).is_file():
        text = _read(Path(name))
    else:
        near = nearest(name, list_presets())
        raise UsageError(f"a preset's name or a .json file is needed; received {name!r}; did you mean {near!r}?")
    from .settings import read_preset  # imported here, because `restore` reads no preset

    preset = _parse(text, name)
    read_preset(preset, name)
    _require_name(preset, name)
    return preset


def read_recorded(path: Path) -> dict[str, Any]:
    """Reads the preset that a training run saved in its folder, and checks it with `check_recorded`.

    Raises:
        ArtifactError: the file cannot be read, or is not a preset.
    """
    return check_recorded(_parse(_read(path), str(path)), str(path))


def check_recorded(preset: Any, source: str) -> dict[str, Any]:
    """Checks a preset that was saved with a model, and returns it if it has all that is needed to run the model.

    Another version of the package may have written it, so the settings of the training are not checked.

    Args:
        preset: the parsed JSON.
        source: name of the preset's origin, for error messages.

    Raises:
        ArtifactError: a required key is missing, or its value has the wrong type.
    """
    needed = {"name": str, "description": str, "sample_rate": int, "model": dict, "data": dict, "training": dict}
    require_keys(preset, needed | {"export": dict}, f"a preset ({source})", "bring the file back")
    require_keys(preset["export"], {"window_length": int}, f"a preset's export ({source})", "bring the file back")
    _require_name(preset, source)
    return preset


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"a preset is a UTF-8 JSON file; {path}: {cause(error)}; check the file") from error


def _parse(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"a preset is a JSON object; {source}: {error}; fix the file") from error


def _require_name(preset: dict[str, Any], source: str) -> None:
    if not is_name(preset["name"]):
        raise ArtifactError(
            f"a preset's name has letters, digits, '_', '-' and '.'; {source} has {preset['name']!r}; rename it"
        )


def is_name(name: str) -> bool:
    """Whether a name can be used for a folder: letters, digits, `_`, `-` and `.`, but no dot at the beginning."""
    return re.fullmatch(r"[\w-][\w.-]*", name) is not None


def bundled_folder(name: str) -> Path:
    """Returns the folder of a preset's trained model, `exported_models/<name>`.

    Raises:
        ArtifactError: this preset comes without weights.
    """
    name = current_name(name)
    for root in _bundled_roots():
        if (root / name / "metadata.json").is_file():
            return root / name
    raise ArtifactError(
        f"a preset with bundled weights is needed; {name!r} has none; train and export it, or use {DEFAULT_PRESET!r}"
    )


def is_bundled(path: str | os.PathLike[str]) -> bool:
    """Whether a path lies in the trained models that come with the package. Symbolic links are resolved."""
    return any(Path(path).resolve().is_relative_to(root.resolve()) for root in _bundled_roots())


def _bundled_roots() -> tuple[Path, Path]:
    # In a wheel the folder is inside the package; in a checkout it lies beside the package.
    package = _FOLDER.parent
    return package / "exported_models", package.parent / "exported_models"
