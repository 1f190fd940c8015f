"""Optimizers as presets describe them, and the adjustable gradient clipping of VDSR."""

import keras
from keras import ops

from .errors import UsageError


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

    def __init__(self, learning_rate=0.1, momentum=0.9, adjustable_clip: float = 0.01, name="sgd", **kwargs):
        super().__init__(learning_rate=learning_rate, momentum=momentum, name=name, **kwargs)
        self.adjustable_clip = adjustable_clip

    def apply(self, grads, trainable_variables=None):
        limit = self.adjustable_clip / ops.cast(self.learning_rate, "float32")
        clipped = []
        for gradient in grads:
            if gradient is not None:
                bound = ops.cast(limit, gradient.dtype)
                gradient = ops.clip(gradient, -bound, bound)
            clipped.append(gradient)
        return super().apply(clipped, trainable_variables)

    def get_config(self):
        return {**super().get_config(), "adjustable_clip": self.adjustable_clip}


def build_optimizer(config: dict, total_steps: int, replicas: int = 1) -> keras.optimizers.Optimizer:
    """Builds the optimizer of a preset.

    The learning rate falls from `learning_rate` to `final_learning_rate` along half a cosine.
    It is a function of the step alone, so a resumed run needs no memory of it.

    Args:
        config: `name` (`"adam"` or `"sgd"`), `learning_rate`, `final_learning_rate`, `ema_momentum` (share of
            the old average of the weights kept in each step), and `clip_norm` (Adam: largest norm of
            all gradients together) or `momentum` and `adjustable_clip` (SGD, as VDSR).
        total_steps: optimizer steps of the whole run.
        replicas: devices that train together (`distribution`): each clips its part of the gradient.

    Raises:
        UsageError: a name other than these.
    """
    first, last = config["learning_rate"], config["final_learning_rate"]
    rate = keras.optimizers.schedules.CosineDecay(first, total_steps, alpha=last / first)
    average = {"use_ema": True, "ema_momentum": config["ema_momentum"]}
    if config["name"] == "adam":
        return keras.optimizers.Adam(rate, global_clipnorm=config["clip_norm"] / replicas, **average)
    if config["name"] == "sgd":
        momentum, clip = config["momentum"], config["adjustable_clip"] / replicas
        return AdjustableClippingSGD(rate, momentum=momentum, adjustable_clip=clip, **average)
    raise UsageError(f"optimizer must be 'adam' or 'sgd'; received {config['name']!r}; use 'adam'")
