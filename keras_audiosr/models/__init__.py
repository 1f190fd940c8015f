"""The networks. Each paper has one file, with one function that returns a `keras.Model`."""

from typing import Any

import keras

from ..errors import UsageError
from .audio_unet import audio_unet
from .drcn import drcn
from .drrn import drrn
from .paired_resnet import paired_resnet
from .paired_resnet_bands import paired_resnet_bands
from .resnet import resnet
from .srresnet import srresnet
from .vdsr import vdsr

_FUNCTIONS = (audio_unet, drcn, drrn, paired_resnet, paired_resnet_bands, resnet, srresnet, vdsr)
MODELS = {function.__name__: function for function in _FUNCTIONS}

__all__ = ["MODELS", "build_model", *MODELS]


def build_model(architecture: str, **config: Any) -> keras.Model:
    """Builds a registered architecture.

    Args:
        architecture: a key of `MODELS`.
        **config: the arguments of the function with that name.

    Returns:
        An untrained `keras.Model`.

    Raises:
        UsageError: the architecture does not exist, or does not accept the arguments.
    """
    if architecture not in MODELS:
        raise UsageError(f"architecture must be one of {', '.join(sorted(MODELS))}; received {architecture!r}")
    try:
        return MODELS[architecture](**config)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{architecture} cannot be built: {error}") from error
