"""Optimizers as presets describe them, and the adjustable gradient clipping of VDSR."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from ..annotations import Tensor
from ..presets.settings import OptimizerSettings


@keras.saving.register_keras_serializable(package="keras_audiosr")
class AdjustableClippingSGD(keras.optimizers.SGD):
    """SGD whose gradients are clipped to `[-theta / learning_rate, theta / learning_rate]`.

    The largest step a weight can take is then `theta` whatever the learning
    rate, which lets a very deep network start at a high one.

    Args:
        adjustable_clip: theta, the largest change of a weight in one plain step.
        learning_rate, momentum, **kwargs: as in `keras.optimizers.SGD`.

    Reference: J. Kim, J. K. Lee, K. M. Lee, "Accurate Image Super-Resolution Using Very Deep
    Convolutional Networks" (VDSR), CVPR 2016, section 3.2.
    """

    def __init__(
        self,
        learning_rate: Any = 0.1,
        momentum: float = 0.9,
        adjustable_clip: float = 0.01,
        name: str = "sgd",
        **kwargs: Any,
    ):
        super().__init__(learning_rate=learning_rate, momentum=momentum, name=name, **kwargs)
        self.adjustable_clip = adjustable_clip

    def apply(self, grads: Sequence[Tensor], trainable_variables: Sequence[Any] | None = None) -> Any:
        limit = self.adjustable_clip / ops.cast(self.learning_rate, "float32")
        clipped = []
        for gradient in grads:
            if gradient is not None:
                bound = ops.cast(limit, gradient.dtype)
                gradient = ops.clip(gradient, -bound, bound)
            clipped.append(gradient)
        return super().apply(clipped, trainable_variables)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "adjustable_clip": self.adjustable_clip}


def build_optimizer(settings: OptimizerSettings, replicas: int = 1) -> keras.optimizers.Optimizer:
    """Builds the optimizer of a preset; the learning rate of each step is set from outside (`training.limits`).

    Args:
        settings: a preset's: `name` (`"adam"` or `"sgd"`), `learning_rate`, and `clip_norm` (Adam: largest norm of all
            gradients together) or `momentum` and `adjustable_clip` (SGD, as VDSR).
        replicas: devices that train together (`distribution`): each clips its part of the gradient.
    """
    rate = float(settings.learning_rate)
    if settings.name == "adam":
        return keras.optimizers.Adam(rate, global_clipnorm=(settings.clip_norm or 0.0) / replicas)
    clip = (settings.adjustable_clip or 0.0) / replicas
    return AdjustableClippingSGD(rate, momentum=settings.momentum or 0.0, adjustable_clip=clip)
