"""One way to run a trained model, `run(lossy) -> restored`, over LiteRT, Keras and SavedModel."""

from .base import Runner
from .load import load_runner
from .pretrained import from_preset, load_model

__all__ = ["Runner", "from_preset", "load_model", "load_runner"]
