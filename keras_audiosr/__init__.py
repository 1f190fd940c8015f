"""keras_audiosr restores lossy music with TensorFlow and Keras.

`rip` turns lossless albums into tracks. `encode` makes lossy copies of the tracks, aligned to the sample. `datasets`
and `window` cut these pairs into windows. `train` trains a residual network that predicts the lossless windows from
the lossy ones, and `evaluate` compares its output with the lossless files. `export` converts the network to a
SavedModel and a TFLite file. `restore` applies it to lossy files, and `report` makes a page on which the result can be
compared with the original by ear.

Names are imported on first use, so `import keras_audiosr` needs no TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .environment import choose_keras_backend
from .version import __version__ as __version__

if TYPE_CHECKING:  # for editors and type checkers; a test compares these names with _PUBLIC
    from .datasets import build_dataset as build_dataset
    from .models import build_model as build_model
    from .presets import list_presets as list_presets
    from .presets import load_preset as load_preset
    from .runners import from_preset as from_preset
    from .runners import load_model as load_model
    from .runners import load_runner as load_runner
    from .stages.encode import encode as encode
    from .stages.evaluate import evaluate as evaluate
    from .stages.export import export as export
    from .stages.play import play as play
    from .stages.probe import probe as probe
    from .stages.report import report as report
    from .stages.restore import restore as restore
    from .stages.rip import rip as rip
    from .stages.serve import serve as serve
    from .stages.train import train as train
    from .stages.window import window as window

_VERBS = ("rip", "encode", "window", "train", "evaluate", "export", "probe", "restore", "play", "serve", "report")
_PUBLIC = {
    **{verb: f".stages.{verb}" for verb in _VERBS},
    "build_dataset": ".datasets",
    "build_model": ".models",
    "from_preset": ".runners",
    "list_presets": ".presets",
    "load_model": ".runners",
    "load_preset": ".presets",
    "load_runner": ".runners",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


choose_keras_backend()
