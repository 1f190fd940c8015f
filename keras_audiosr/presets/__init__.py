"""Presets: one JSON file each, the only home of a model's numbers.

A preset says which network, at which sample rate, on which windows, and how it
is trained and exported. It needs no Keras to be read.
"""

import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import ArtifactError, UsageError, cause
from .reading import nearest, require_keys
from .settings import read_preset

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

DEFAULT_PRESET = "paired_resnet_bands_44k"
# What version 0.1.0 called the default: command lines with that name stay usable, and get the model of today.
_RENAMED = {"paired_resnet_frame_44k": DEFAULT_PRESET}


def list_presets() -> list[str]:
    """Names of the presets inside the package, in alphabetical order."""
    files = resources.files(__package__).iterdir()
    return sorted(file.name.removesuffix(".json") for file in files if file.name.endswith(".json"))


def current_name(name: str) -> str:
    """A preset's name of today, for one that an earlier version gave it; any other name as it is."""
    return _RENAMED.get(name, name)


def load_preset(name_or_path: str | os.PathLike[str]) -> dict:
    """Reads a preset by its name, or from a JSON file of the same form.

    Args:
        name_or_path: one of `list_presets()`, or the path of a `.json` file.

    Returns:
        The preset, with keys `name`, `description`, `sample_rate` (Hz), `model`, `data`, `training`, `export`. How far
        the network sees, and the grid of its windows, are computed from the network (`streaming.receptive_field`).

    Raises:
        UsageError: no such preset; the nearest name is in the message.
        ArtifactError: the file is no preset: a key is missing or unknown, or a value is of another type or out of its
            range.
    """
    name = current_name(str(name_or_path))
    if name in list_presets():
        text = resources.files(__package__).joinpath(f"{name}.json").read_text("utf-8")
    elif Path(name).suffix == ".json" and Path(name).is_file():
        text = _read(Path(name))
    else:
        near = nearest(name, list_presets())
        raise UsageError(f"a preset's name or a .json file is needed; received {name!r}; did you mean {near!r}?")
    preset = _parse(text, name)
    read_preset(preset, name)
    _require_name(preset, name)
    return preset


def read_recorded(path: Path) -> dict[str, Any]:
    """The preset that a run noted in its folder, as `check_recorded` takes it.

    Raises:
        ArtifactError: the file cannot be read, or is no preset.
    """
    return check_recorded(_parse(_read(path), str(path)), str(path))


def check_recorded(preset: Any, source: str) -> dict[str, Any]:
    """A preset that a model was once made with, when it says what running that model takes.

    Another version may have made it: what it says of the training is history, and is not held to today's keys.

    Args:
        preset: what JSON gave.
        source: what is named in errors.

    Raises:
        ArtifactError: something that is needed is missing, or of another type.
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
            f"a preset's name has letters, digits, '_', '-' and '.'; {source} has {preset['name']!r}; give it another"
        )


def is_name(name: str) -> bool:
    """Whether a name can be a folder's: letters, digits, `_`, `-` and `.`, the first of them no dot."""
    return re.fullmatch(r"[\w-][\w.-]*", name) is not None


def bundled_folder(name: str) -> Path:
    """The folder of a preset's trained artefacts, `exported_models/<name>`.

    Raises:
        ArtifactError: this preset ships without weights.
    """
    name = current_name(name)
    for root in _bundled_roots():
        if (root / name / "metadata.json").is_file():
            return root / name
    raise ArtifactError(
        f"a preset with bundled weights is needed; {name!r} has none; train and export it, or use {DEFAULT_PRESET!r}"
    )


def is_bundled(path: str | os.PathLike[str]) -> bool:
    """Whether a path lies, links followed, in the trained artefacts that came with the package."""
    return any(Path(path).resolve().is_relative_to(root.resolve()) for root in _bundled_roots())


def _bundled_roots() -> tuple[Path, Path]:
    # In a wheel the folder is the package keras_audiosr.exported_models; in a checkout it lies beside the package.
    package = Path(__file__).parents[1]
    return package / "exported_models", package.parent / "exported_models"
