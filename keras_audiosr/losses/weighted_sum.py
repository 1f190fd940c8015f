"""A weighted sum of several losses."""

from collections.abc import Sequence
from typing import Any

import keras

from ..annotations import Tensor
from .spectral_distance import SpectralDistance


@keras.saving.register_keras_serializable(package="keras_audiosr")
class WeightedSum(keras.losses.Loss):
    """A weighted sum of losses.

    Args:
        losses: `keras.losses.Loss` instances, or their serialized configs.
        weights: one factor a loss.

    Raises:
        ValueError: the two lists differ in length, or are empty.
    """

    def __init__(self, losses: Sequence[Any], weights: Sequence[float], name: str = "weighted_sum", **kwargs: Any):
        super().__init__(name, **kwargs)
        if not losses or len(losses) != len(weights):
            raise ValueError(f"one weight a loss is needed; received {len(losses)} losses, {len(weights)} weights")
        self.losses = [
            keras.saving.deserialize_keras_object(loss) if isinstance(loss, dict) else loss for loss in losses
        ]
        self.weights = list(weights)

    def call(self, y_true: Tensor, y_pred: Tensor, cutoff: Tensor | None = None) -> Tensor:
        """One value an example; `cutoff` in Hz, `(batch,)`, goes to those losses that keep below it."""
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
