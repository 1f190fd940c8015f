"""A TensorFlow SavedModel, as TF Serving would run it."""

import tempfile
from pathlib import Path

import numpy as np

from ..errors import ArtifactError
from .artifact import copy_verified, read_metadata, require_trust, runner_arguments, version_of
from .base import Runner

SIGNATURE = "serving_default"


class SavedModelRunner(Runner):
    """Runs the SavedModel `1/` of an exported model through its signature.

    Args:
        folder: the SavedModel folder; `metadata.json` lies beside it, in its parent.
        trust: whether one that did not come with this package may be run, as the program that it is.

    Raises:
        ArtifactError: missing, damaged (SHA-256), without the signature, or from elsewhere and not trusted.
    """

    def __init__(self, folder, trust: bool = False):
        folder = Path(folder).absolute()
        metadata = read_metadata(folder.parent)
        super().__init__(**runner_arguments(metadata))
        self.version = version_of(metadata, f"{folder.name}/variables/variables.data-00000-of-00001")
        with tempfile.TemporaryDirectory() as place:
            copy = copy_verified(folder.parent, metadata, folder.name, place)
            require_trust(folder, trust)

            import tensorflow as tf

            try:
                self._loaded = tf.saved_model.load(str(copy))  # kept: it owns the variables
                self._network = self._loaded.signatures[SIGNATURE]
            # TensorFlow lets everything through that its parsers and its kernels raise.
            except Exception as error:
                reason = " ".join(str(error).split())[:300]
                raise ArtifactError(
                    f"a SavedModel with signature {SIGNATURE!r} is needed; {folder}: {type(error).__name__} {reason};"
                    " export the model again"
                ) from error

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network once, on `(batch, window_length, 1)`."""
        import tensorflow as tf

        return self._network(lossy=tf.constant(windows))["restored"].numpy()
