"""One way to run a trained model, `run(lossy) -> restored`, over LiteRT, Keras and SavedModel."""

from .base import Runner
from .load import load_runner

__all__ = ["Runner", "load_runner"]
