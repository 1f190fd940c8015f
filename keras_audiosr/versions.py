"""Which versions a result came about with."""

import importlib.metadata
import platform

# The CPU build of TensorFlow has a name of its own.
_PACKAGES = (
    *("keras_audiosr", "tensorflow", "tensorflow-cpu", "keras", "numpy", "soundfile", "ai-edge-litert"),
    "visqol-python",
)


def versions() -> dict[str, str]:
    """Python's version and those of the packages that are installed and can move a figure, by name."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
