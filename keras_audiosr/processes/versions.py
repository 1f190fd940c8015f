"""Lists the versions of the software with which a result was made."""

import importlib.metadata
import platform

# The CPU build of TensorFlow is a separate package.
_PACKAGES = (
    *("keras_audiosr", "tensorflow", "tensorflow-cpu", "keras", "numpy", "soundfile", "ai-edge-litert"),
    "visqol-python",
)


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the installed packages that can influence a result, by name."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
