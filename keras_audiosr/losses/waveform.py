"""Losses that compare waveforms sample by sample."""

from typing import Any

import keras
from keras import ops

from ..annotations import Tensor

# Mean square below which a window counts as silent (-100 dBFS).
_SILENCE = 1e-10


def _per_example(values: Tensor) -> Tensor:
    """Returns the mean over all axes except the batch."""
    return ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=-1)


def _energy(signal: Tensor) -> Tensor:
    """Returns the mean square of each example."""
    return _per_example(ops.square(signal))


@keras.saving.register_keras_serializable(package="keras_audiosr")
class L1(keras.losses.Loss):
    """Computes the mean absolute error."""

    def __init__(self, name: str = "l1", **kwargs: Any):
        super().__init__(name, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _per_example(ops.abs(y_true - y_pred))


@keras.saving.register_keras_serializable(package="keras_audiosr")
class L2(keras.losses.Loss):
    """Computes the mean squared error."""

    def __init__(self, name: str = "l2", **kwargs: Any):
        super().__init__(name, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _energy(y_true - y_pred)


@keras.saving.register_keras_serializable(package="keras_audiosr")
class Charbonnier(keras.losses.Loss):
    """Computes a smooth L1 loss, the mean of `sqrt(error^2 + epsilon^2)`.

    Args:
        epsilon: error at which the loss changes from quadratic to linear, in the unit of the samples.

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
    """Computes minus the signal-to-noise ratio, in dB.

    Because of the logarithm, all windows have the same influence, whether they are good, bad, loud or quiet. A silent
    `y_true` counts as a signal of -100 dBFS.

    Args:
        ceiling: signal-to-noise ratio in dB above which the loss hardly decreases any further, so that windows with
            nothing to restore do not dominate. `None` means no limit.
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
    """Computes minus the scale-invariant signal-to-distortion ratio, in dB.

    Reference: J. Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, equation 3. The mean is not removed,
    because music has no DC offset.
    """

    def __init__(self, name: str = "negative_si_sdr", **kwargs: Any):
        super().__init__(name, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        energy = _energy(y_true)
        scale = _per_example(y_true * y_pred) / (energy + _SILENCE)
        target = ops.square(scale) * energy
        # |y_pred - scale * y_true|^2 is computed directly, because expanding the square would lose precision.
        shape = (-1,) + (1,) * (len(y_true.shape) - 1)
        noise = _energy(y_pred - ops.reshape(scale, shape) * y_true)
        return 10.0 * ops.log10((noise + _SILENCE) / (target + _SILENCE))
