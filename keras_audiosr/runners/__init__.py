"""Runners: one interface, `run(lossy) -> restored`, for models in LiteRT, Keras, a SavedModel or on a server."""

from .base import Runner
from .load import load_runner
from .pretrained import from_preset, load_model

__all__ = ["Runner", "from_preset", "load_model", "load_runner"]
