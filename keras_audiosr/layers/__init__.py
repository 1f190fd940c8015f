"""Keras 3 layers, on `keras.ops` alone: registered, serializable, convertible to plain TFLite ops."""

from .fourier import STFT, InverseSTFT
from .recursion import RecursiveSupervision, SelfConnection
from .residual import ResidualUnit
from .scattering import Scattering
from .spectral import SpectralFeatures, SpectralGainAndFill
from .subpixel import SubPixel

__all__ = [
    "STFT",
    "InverseSTFT",
    "RecursiveSupervision",
    "ResidualUnit",
    "Scattering",
    "SelfConnection",
    "SpectralFeatures",
    "SpectralGainAndFill",
    "SubPixel",
]
