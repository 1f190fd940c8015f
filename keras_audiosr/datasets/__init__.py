"""Pairs of lossless and lossy files as `tf.data` pipelines of windows.

`pairs` (manifests) needs no TensorFlow, so the names that do are imported on
first use (PEP 562).
"""

import importlib

from .pairs import SPLITS, Pair, Track, read_manifest, split_albums, split_of, write_manifest

__all__ = [
    "SPLITS",
    "Pair",
    "Track",
    "build_dataset",
    "build_training_stream",
    "read_manifest",
    "read_records",
    "split_albums",
    "split_of",
    "write_manifest",
]

# Name -> module that imports TensorFlow.
_LAZY = {"build_dataset": "pipeline", "build_training_stream": "pipeline", "read_records": "records"}


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
