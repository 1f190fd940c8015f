"""Losses of waveforms, sample by sample."""

from typing import Any

import keras
from keras import ops

from ..annotations import Tensor

# Energy per sample below which a window counts as silent (-100 dBFS).
_SILENCE = 1e-10


def _per_example(values: Tensor) -> Tensor:
    """Mean over everything but the batch."""
    return ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=-1)


def _energy(signal: Tensor) -> Tensor:
    """Mean square of each example."""
    return _per_example(ops.square(signal))


@keras.saving.register_keras_serializable(package="keras_audiosr")
class L1(keras.losses.Loss):
    """Mean absolute error."""

    def __init__(self, name: str = "l1", **kwargs: Any):
        super().__init__(name, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _per_example(ops.abs(y_true - y_pred))


@keras.saving.register_keras_serializable(package="keras_audiosr")
class L2(keras.losses.Loss):
    """Mean squared error."""

    def __init__(self, name: str = "l2", **kwargs: Any):
        super().__init__(name, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _energy(y_true - y_pred)


@keras.saving.register_keras_serializable(package="keras_audiosr")
class Charbonnier(keras.losses.Loss):
    """Smooth L1: the mean of `sqrt(error^2 + epsilon^2)`.

    Args:
        epsilon: where the square turns into a line, in sample units.

    Reference: P. Charbonnier et al., ICIP 1994; W.-S. Lai et al. (LapSRN), CVPR 2017, equation 2.
    """

    def __init__(self, epsilon: float = 1e-3, name: str = "charbonnier", **kwargs: Any):
        super().__init__(name, **kwargs)
        self.epsilon = epsilon

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _per_example(ops.sqrt(ops.square(y_true - y_pred) + self.epsilon**2))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="keras_audiosr")
class NegativeSNR(keras.losses.Loss):
    """Minus the signal-to-noise ratio, in dB.

    A logarithm of the error: a window that is already good counts as much as a bad
    or a loud one. A silent `y_true` counts as one at -100 dBFS.

    Args:
        ceiling: dB beyond which a window earns next to nothing more, so that windows that had nothing to restore
            do not outweigh the rest; `None` for no such limit.
    """

    def __init__(self, ceiling: float | None = None, name: str = "negative_snr", **kwargs: Any):
        super().__init__(name, **kwargs)
        self.ceiling = ceiling

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        ratio = (_energy(y_true - y_pred) + _SILENCE) / (_energy(y_true) + _SILENCE)
        least = 0.0 if self.ceiling is None else 10.0 ** (-self.ceiling / 10.0)
        return 10.0 * ops.log10(ratio + least)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "ceiling": self.ceiling}


@keras.saving.register_keras_serializable(package="keras_audiosr")
class NegativeSISDR(keras.losses.Loss):
    """Minus the scale-invariant signal-to-distortion ratio, in dB.

    Reference: J. Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, equation 3
    (without the removal of the mean: music has no offset to hide).
    """

    def __init__(self, name: str = "negative_si_sdr", **kwargs: Any):
        super().__init__(name, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        energy = _energy(y_true)
        scale = _per_example(y_true * y_pred) / (energy + _SILENCE)
        target = ops.square(scale) * energy
        # |y_pred - scale * y_true|^2 without the cancellation of expanded squares.
        shape = (-1,) + (1,) * (len(y_true.shape) - 1)
        noise = _energy(y_pred - ops.reshape(scale, shape) * y_true)
        return 10.0 * ops.log10((noise + _SILENCE) / (target + _SILENCE))
