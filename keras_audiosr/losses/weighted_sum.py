"""A weighted sum of several losses."""

from collections.abc import Sequence
from typing import Any

import keras

from ..annotations import Tensor
from .spectral_distance import SpectralDistance


@keras.saving.register_keras_serializable(package="keras_audiosr")
class WeightedSum(keras.losses.Loss):
    """Computes a weighted sum of losses.

    Args:
        losses: `keras.losses.Loss` instances, or their serialized configs.
        weights: one factor for each loss.

    Raises:
        ValueError: the two lists differ in length or are empty.
    """

    def __init__(self, losses: Sequence[Any], weights: Sequence[float], name: str = "weighted_sum", **kwargs: Any):
        super().__init__(name, **kwargs)
        if not losses or len(losses) != len(weights):
            raise ValueError(f"each loss needs one weight; received {len(losses)} losses and {len(weights)} weights")
        self.losses = [
            keras.saving.deserialize_keras_object(loss) if isinstance(loss, dict) else loss for loss in losses
        ]
        self.weights = list(weights)

    def call(self, y_true: Tensor, y_pred: Tensor, cutoff: Tensor | None = None) -> Tensor:
        """Computes one value for each example.

        `cutoff`, in Hz and of shape `(batch,)`, is passed to the losses that take it.
        """
        total = 0.0
        for loss, weight in zip(self.losses, self.weights, strict=True):
            known = {"cutoff": cutoff} if isinstance(loss, SpectralDistance) else {}
            total = total + weight * loss.call(y_true, y_pred, **known)
        return total

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "losses": [keras.saving.serialize_keras_object(loss) for loss in self.losses],
            "weights": self.weights,
        }
