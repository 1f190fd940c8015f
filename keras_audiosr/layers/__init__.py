"""Keras 3 layers, on `keras.ops` alone: registered, serializable, convertible to plain TFLite ops."""

from .fourier import STFT, InverseSTFT
from .residual import ResidualUnit
from .spectral import SpectralFeatures, SpectralGainAndFill

__all__ = ["STFT", "InverseSTFT", "ResidualUnit", "SpectralFeatures", "SpectralGainAndFill"]
