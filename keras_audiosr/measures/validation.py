"""Metrics that training reports for its validation windows after each epoch."""

import keras

from .bands import BandBias, BandDistance, band_edges
from .metrics import LSD, SNR

__all__ = ["validation_metrics"]


def validation_metrics(sample_rate: int) -> list[keras.metrics.Metric]:
    """Returns the metrics SNR and LSD, and also band distance and band bias if a band above 8 kHz can be judged.

    Args:
        sample_rate: sample rate of the windows in Hz.
    """
    bands = [BandDistance(sample_rate), BandBias(sample_rate)] if len(band_edges(sample_rate)) else []
    return [SNR(), LSD(), *bands]
