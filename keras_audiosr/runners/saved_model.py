"""A TensorFlow SavedModel, as TF Serving would run it."""

from pathlib import Path

import numpy as np

from ..errors import ArtifactError
from .artifact import read_metadata, read_verified, runner_arguments, version_of
from .base import Runner

SIGNATURE = "serving_default"


class SavedModelRunner(Runner):
    """Runs the SavedModel `1/` of an exported model through its signature.

    Args:
        folder: the SavedModel folder; `metadata.json` lies beside it, in its parent.

    Raises:
        ArtifactError: missing, damaged (SHA-256), or without the signature.
    """

    def __init__(self, folder):
        folder = Path(folder).absolute()
        metadata = read_metadata(folder.parent)
        super().__init__(**runner_arguments(metadata))
        self.version = version_of(metadata, f"{folder.name}/variables/variables.data-00000-of-00001")
        for name in metadata["files"]:
            if name.startswith(f"{folder.name}/"):
                read_verified(folder.parent, metadata, name)

        import tensorflow as tf

        try:
            self._loaded = tf.saved_model.load(str(folder))  # kept: it owns the variables
            self._network = self._loaded.signatures[SIGNATURE]
        except (OSError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ArtifactError(
                f"a SavedModel with signature {SIGNATURE!r} is needed; {folder}: {reason}; export the model again"
            ) from error

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network once, on `(batch, window_length, 1)`."""
        import tensorflow as tf

        return self._network(lossy=tf.constant(windows))["restored"].numpy()
