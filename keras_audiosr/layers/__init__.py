"""Keras 3 layers, written only with `keras.ops`: registered, serializable, and convertible to plain TFLite ops."""

from .bands import (
    BandEmbedding,
    BandFeatures,
    BandGainAndFill,
    BandMean,
    BandMix,
    BandResidualUnit,
    FrameConv2D,
    FramePower,
)
from .excitation import BandPower, Distortion, Excitation
from .fourier import STFT, InverseSTFT
from .recursion import RecursiveSupervision, SelfConnection
from .residual import ResidualUnit
from .running_mean import RunningMean
from .scattering import Scattering
from .spectral import SpectralFeatures, SpectralGainAndFill
from .subframes import InverseSubframeSTFT, SubframeSTFT
from .subpixel import SubPixel

__all__ = [
    "STFT",
    "BandEmbedding",
    "BandFeatures",
    "BandGainAndFill",
    "BandMean",
    "BandMix",
    "BandPower",
    "BandResidualUnit",
    "Distortion",
    "Excitation",
    "FrameConv2D",
    "FramePower",
    "InverseSTFT",
    "InverseSubframeSTFT",
    "RecursiveSupervision",
    "ResidualUnit",
    "RunningMean",
    "Scattering",
    "SelfConnection",
    "SpectralFeatures",
    "SpectralGainAndFill",
    "SubPixel",
    "SubframeSTFT",
]
