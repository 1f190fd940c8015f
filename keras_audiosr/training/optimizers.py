"""Builds the optimizers that presets describe, and implements the adjustable gradient clipping of VDSR."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from ..annotations import Tensor
from ..presets.settings import OptimizerSettings


@keras.saving.register_keras_serializable(package="keras_audiosr")
class AdjustableClippingSGD(keras.optimizers.SGD):
    """SGD whose gradients are clipped to `[-theta / learning_rate, theta / learning_rate]`.

    The largest change of a weight in one step is then `theta` (without momentum), whatever the learning rate is. A very
    deep network can therefore start with a high learning rate.

    Args:
        adjustable_clip: theta, the largest change of a weight in one step without momentum.
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
    """Builds the optimizer of a preset. The trainer sets the learning rate of each step (`limits.learning_rate`).

    Args:
        settings: optimizer settings of a preset: `name` (`"adam"` or `"sgd"`), `learning_rate`, and `clip_norm` (Adam:
            largest norm of all gradients together) or `momentum` and `adjustable_clip` (SGD, as in VDSR).
        replicas: number of devices that train together. The clipping thresholds are divided by it, because each device
            clips its part of the gradient (`distribution`).
    """
    rate = float(settings.learning_rate)
    if settings.name == "adam":
        return keras.optimizers.Adam(rate, global_clipnorm=(settings.clip_norm or 0.0) / replicas)
    clip = (settings.adjustable_clip or 0.0) / replicas
    return AdjustableClippingSGD(rate, momentum=settings.momentum or 0.0, adjustable_clip=clip)
