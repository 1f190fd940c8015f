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

from ..errors import ArtifactError, UsageError

__all__ = ["DEFAULT_PRESET", "bundled_folder", "check_preset", "is_bundled", "is_name", "list_presets", "load_preset"]

DEFAULT_PRESET = "paired_resnet_frame_44k"

_REQUIRED = {
    "name": str,
    "description": str,
    "sample_rate": int,
    "hop_length": int,
    "context": int,
    "model": dict,
    "data": dict,
    "training": dict,
    "export": dict,
}


def list_presets() -> list[str]:
    """Names of the presets inside the package, in alphabetical order."""
    files = resources.files(__package__).iterdir()
    return sorted(file.name.removesuffix(".json") for file in files if file.name.endswith(".json"))


def load_preset(name_or_path: str | os.PathLike[str]) -> dict:
    """Reads a preset by its name, or from a JSON file of the same form.

    Args:
        name_or_path: one of `list_presets()`, or the path of a `.json` file.

    Returns:
        The preset, with keys `name`, `description`, `sample_rate` (Hz), `hop_length` (samples that every
        window length is a multiple of), `context` (samples on each side of an output sample that can
        change it), `model`, `data`, `training`, `export`.

    Raises:
        UsageError: no such preset; the nearest name is in the message.
        ArtifactError: the file is no preset.
    """
    name = str(name_or_path)
    if name in list_presets():
        text = resources.files(__package__).joinpath(f"{name}.json").read_text("utf-8")
    elif Path(name).suffix == ".json" and Path(name).is_file():
        try:
            text = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ArtifactError(f"a preset is a UTF-8 JSON file; {name}: {error}; check the file") from error
    else:
        import difflib

        near = difflib.get_close_matches(name, list_presets(), n=1, cutoff=0.0)[0]
        raise UsageError(f"a preset's name or a .json file is needed; received {name!r}; did you mean {near!r}?")
    try:
        preset = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"a preset is a JSON object; {name}: {error}; mend the file") from error
    return check_preset(preset, name)


def check_preset(preset: Any, source: str) -> dict[str, Any]:
    """A preset as it was read, once it is known to be one; `source` is named in what is wrong with it.

    Raises:
        ArtifactError: something that is needed is missing, or of another type.
    """
    for key, kind in _REQUIRED.items():
        if not isinstance(preset, dict) or not isinstance(preset.get(key), kind):
            raise ArtifactError(f"a preset needs {key!r} of type {kind.__name__}; {source} has none; add it")
    if not is_name(preset["name"]):
        raise ArtifactError(
            f"a preset's name has letters, digits, '_', '-' and '.'; {source} has {preset['name']!r}; give it another"
        )
    if not isinstance(preset["export"].get("window_length"), int):
        raise ArtifactError(f"a preset needs export.window_length, in samples; {source} has none; add it")
    return preset


def is_name(name: str) -> bool:
    """Whether a name can be a folder's: letters, digits, `_`, `-` and `.`, the first of them no dot."""
    return re.fullmatch(r"[\w-][\w.-]*", name) is not None


def bundled_folder(name: str) -> Path:
    """The folder of a preset's trained artefacts, `exported_models/<name>`.

    Raises:
        ArtifactError: this preset ships without weights.
    """
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
