"""Losses of waveforms. All take `y_true` and `y_pred` of shape `(batch, time, channels)`.

They are registered subclasses of `keras.losses.Loss`, are written with `keras.ops`, and are finite for silent windows.
`FeatureStatistics` and `SpectralDistance` need signals of one channel.
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
    """Builds the weighted sum of losses that a preset describes.

    Args:
        terms: one dict for each loss, with its `name` (a key of `LOSSES`), its `weight`, and optionally a `config` with
            its arguments.
        sample_rate: sample rate of the windows in Hz. Losses that take a sample rate receive this one, unless their
            `config` has its own.

    Raises:
        UsageError: a name is unknown.
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
