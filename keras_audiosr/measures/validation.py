"""The metrics that training reports for its validation windows after each epoch."""

import keras

from .bands import BandBias, BandDistance, band_edges
from .metrics import LSD, SNR

__all__ = ["validation_metrics"]


def validation_metrics(sample_rate: int) -> list[keras.metrics.Metric]:
    """SNR, LSD, and, where there is a band above 8 kHz, band distance and band bias; for `compile`.

    Args:
        sample_rate: Hz of the windows.
    """
    bands = [BandDistance(sample_rate), BandBias(sample_rate)] if len(band_edges(sample_rate)) else []
    return [SNR(), LSD(), *bands]
