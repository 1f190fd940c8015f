"""Turns pairs of lossless and lossy files into `tf.data` pipelines of windows.

Manifests need no TensorFlow, so the names that do are imported on first use (PEP 562).
"""

import importlib
from typing import Any

from ..presets.settings import WindowSettings
from ..shelf.manifests import SPLITS, Pair, Track, read_manifest, split_albums, split_of, write_manifest

__all__ = [
    "SPLITS",
    "Pair",
    "ReadSettings",
    "Track",
    "WindowSettings",
    "build_dataset",
    "build_training_stream",
    "read_manifest",
    "read_records",
    "split_albums",
    "split_of",
    "write_manifest",
]

# The modules of the names that are imported on first use, because most of them import TensorFlow.
_LAZY = {
    "ReadSettings": "plan",
    "build_dataset": "pipeline",
    "build_training_stream": "pipeline",
    "read_records": "shards",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
