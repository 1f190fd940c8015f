"""What is set before TensorFlow and Keras are imported, because they read it only then. A user's own setting stays."""

import contextlib
import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


def choose_keras_backend() -> None:
    """Lets Keras run on JAX where JAX is installed and TensorFlow is not.

    Keras itself would try TensorFlow, its default, and fail. `KERAS_BACKEND` is left alone where it is set, and so is
    a Keras that has been imported already. Keras writes its default into `~/.keras/keras.json` by itself, so that file
    does not say what the user wants.
    """
    if "KERAS_BACKEND" in os.environ or "keras" in sys.modules or _installed("tensorflow"):
        return
    if _installed("jax"):
        os.environ["KERAS_BACKEND"] = "jax"


def quieten_tensorflow() -> None:
    """Keeps the log of TensorFlow's C++ parts off the terminal; Python exceptions still say what fails.

    TensorFlow 2.16 logs plugins that are registered twice as errors, so only level 3 hides them. gRPC and absl, which
    newer versions bring, log through the other two.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("GLOG_minloglevel", "2")
    if "tensorflow" not in sys.modules and not any(isinstance(finder, _QuietImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuietImport())


class _QuietImport(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports TensorFlow while standard error is closed.

    TensorFlow 2.20 and newer log from static initializers, before they read any of the variables above.
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
            spec.loader = self
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
    """Sends what libraries write to file descriptor 2 nowhere. Exceptions are printed later, by Python."""
    try:
        kept = os.dup(2)
    except OSError:  # it is closed already
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
    except ValueError:  # a module in sys.modules without a spec, or None in its place
        return sys.modules.get(package) is not None
