"""Sets environment variables that TensorFlow and Keras read only when they are imported. A user's settings are kept."""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


def choose_keras_backend() -> None:
    """Selects JAX as Keras' backend if JAX is installed and TensorFlow is not.

    Keras would try TensorFlow, its default, and fail. Nothing is changed if `KERAS_BACKEND` is set or if Keras has
    already been imported. The file `~/.keras/keras.json` is not consulted. Keras writes its default there by itself, so
    the file does not show what the user wants.
    """
    if "KERAS_BACKEND" in os.environ or "keras" in sys.modules or _installed("tensorflow"):
        return
    if _installed("jax"):
        os.environ["KERAS_BACKEND"] = "jax"


def quieten_tensorflow() -> None:
    """Hides the log messages of TensorFlow's C++ code. Failures are still reported as Python exceptions.

    TensorFlow 2.16 logs an error for every plugin that is registered twice, and only level 3 hides errors. The other
    two variables are for gRPC and absl, which newer versions of TensorFlow use.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("GLOG_minloglevel", "2")
    if "tensorflow" not in sys.modules and not any(isinstance(finder, _QuietImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuietImport())


class _QuietImport:
    """Imports TensorFlow while standard error is redirected to the null device.

    TensorFlow 2.20 and newer log from static initializers, before they read the environment variables above.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            self._loader = spec.loader
            # `importlib.abc.Loader` is not a base class, because its import takes an eighth of the time of `--help`.
            spec.loader = self  # type: ignore[assignment]
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = module.__loader__ = self._loader
        with _without_standard_error():
            self._loader.exec_module(module)


@contextlib.contextmanager
def _without_standard_error() -> Iterator[None]:
    """Discards what libraries write to file descriptor 2. Python prints exceptions later, so they are not lost."""
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed already
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # the entry in sys.modules has no spec, or is None
        return sys.modules.get(package) is not None
