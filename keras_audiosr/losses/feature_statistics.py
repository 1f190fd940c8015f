"""A loss that compares statistics of signals, so that restored noise need not match sample by sample."""

from typing import Any

import keras
from keras import ops

from ..annotations import Tensor
from ..layers import Scattering


@keras.saving.register_keras_serializable(package="keras_audiosr")
class FeatureStatistics(keras.losses.Loss):
    """Computes the distance of the scattering coefficients of two waveforms `(batch, time, 1)`.

    The coefficients are means over time, so noise can be restored as other noise of the same kind. The squared error of
    each coefficient is taken relative to its energy, `(S - S_hat)^2 / (S^2 + floor)`. The paper uses plain L2 on
    images. With music, plain L2 would be dominated by the low frequencies.

    Args:
        floor: energy below which a coefficient counts as silent; 1e-10 is 100 dB below full scale.

    Reference: J. Bruna, P. Sprechmann, Y. LeCun, "Super-Resolution with Deep Convolutional Sufficient
    Statistics", ICLR 2016, equation 9 (with the scattering network of their section 3.2).
    """

    def __init__(self, floor: float = 1e-10, name: str = "feature_statistics", **kwargs: Any):
        super().__init__(name, **kwargs)
        self.floor = floor
        self._scattering = Scattering()

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        true, pred = self._scattering(ops.cast(y_true, y_pred.dtype)), self._scattering(y_pred)
        return ops.mean(ops.square(true - pred) / (ops.square(true) + self.floor), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "floor": self.floor}
