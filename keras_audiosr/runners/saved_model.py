"""Runs a TensorFlow SavedModel through its signature, as TensorFlow Serving does."""

import tempfile
from pathlib import Path

import numpy as np

from ..annotations import StrPath
from ..errors import ArtifactError, on_one_line
from .artifact import VARIABLES, copy_verified, facts_of, read_metadata, require_trust
from .base import Runner, RunnerOptions
from .locate import Located

SIGNATURE = "serving_default"


class SavedModelRunner(Runner):
    """Runs the SavedModel `1/` of an exported model through its signature.

    Args:
        folder: the SavedModel folder. Its parent folder contains `metadata.json`.
        trust: whether a SavedModel that did not come with this package may be run. It is a program, which can read and
            write files.

    Raises:
        ArtifactError: the SavedModel is missing or damaged (SHA-256), lacks the signature, or did not come with this
            package and is not trusted.
    """

    def __init__(self, folder: StrPath, trust: bool = False):
        folder = Path(folder).absolute()
        metadata = read_metadata(folder.parent)
        super().__init__(facts_of(metadata, f"{folder.name}/{VARIABLES}"))
        with tempfile.TemporaryDirectory() as place:
            copy = copy_verified(folder.parent, metadata, folder.name, place)
            require_trust(folder, trust)

            import tensorflow as tf

            try:
                self._loaded = tf.saved_model.load(str(copy))  # must stay alive, because it owns the variables
                self._network = self._loaded.signatures[SIGNATURE]
            # TensorFlow does not catch exceptions of its parsers and kernels.
            except Exception as error:
                reason = on_one_line(error)
                raise ArtifactError(
                    f"a SavedModel with signature {SIGNATURE!r} is needed; {folder}: {type(error).__name__} {reason};"
                    " export the model again"
                ) from error

    @classmethod
    def open(cls, located: Located, options: RunnerOptions) -> "SavedModelRunner":
        """Opens a model that `locate` found."""
        return cls(located.place, options.trust)

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network once, on `(batch, window_length, 1)`."""
        import tensorflow as tf

        return self._network(lossy=tf.constant(windows))["restored"].numpy()
