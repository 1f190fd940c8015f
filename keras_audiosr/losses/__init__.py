"""Losses over waveforms: `y_true`, `y_pred` of shape `(batch, time, channels)`, in this order.

All are `keras.losses.Loss` subclasses on `keras.ops`, registered, and finite on
silent windows.
"""

import inspect
from collections.abc import Sequence
from typing import Any

from ..errors import UsageError
from .feature_statistics import FeatureStatistics
from .multi_resolution_stft import MultiResolutionSTFT
from .spectral_distance import SpectralDistance
from .waveform import L1, L2, Charbonnier, NegativeSISDR, NegativeSNR
from .weighted_sum import WeightedSum

__all__ = [
    "L1",
    "L2",
    "LOSSES",
    "Charbonnier",
    "FeatureStatistics",
    "MultiResolutionSTFT",
    "NegativeSISDR",
    "NegativeSNR",
    "SpectralDistance",
    "WeightedSum",
    "build_loss",
]

LOSSES = {
    "l1": L1,
    "l2": L2,
    "charbonnier": Charbonnier,
    "negative_snr": NegativeSNR,
    "negative_si_sdr": NegativeSISDR,
    "multi_resolution_stft": MultiResolutionSTFT,
    "feature_statistics": FeatureStatistics,
    "spectral_distance": SpectralDistance,
}


def build_loss(terms: Sequence[dict[str, Any]], sample_rate: int = 44100) -> WeightedSum:
    """The weighted sum that a preset describes.

    Args:
        terms: one dict a loss: `name` (a key of `LOSSES`), `weight`, and `config` where it has arguments.
        sample_rate: Hz of the windows: for the losses that look at bands of frequency, unless their `config` has one.

    Raises:
        UsageError: an unknown name.
    """
    for term in terms:
        if term["name"] not in LOSSES:
            raise UsageError(f"a loss must be one of {', '.join(sorted(LOSSES))}; received {term['name']!r}")
    losses = []
    for term in terms:
        loss, config = LOSSES[term["name"]], dict(term.get("config", {}))
        if "sample_rate" in inspect.signature(loss).parameters:
            config.setdefault("sample_rate", sample_rate)
        losses.append(loss(**config))
    return WeightedSum(losses, [term["weight"] for term in terms])
