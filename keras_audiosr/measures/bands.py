"""Levels of narrow bands from 8 kHz up: how far off they are, and in which direction.

The distance between band levels is blind to fine structure. It says whether the
highs are as loud as they should be, when they should be. Everything is
`keras.ops`, so the figures are the same under TensorFlow and JAX.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from ..annotations import Tensor
from ..errors import UsageError
from .metrics import FRAME_STEP, POWER_FLOOR, power_spectrum
from .ranges import SHARE, frame_length, judged_band

__all__ = [
    "BANDS_DEFINITION",
    "BandBias",
    "BandDistance",
    "band_bias",
    "band_distance",
    "band_edges",
    "frame_distance",
    "frame_errors",
]

LOWEST = 8000.0
BANDS_PER_DECADE = 24
# Seconds of a frame: 2,048 samples at 44.1 and 48 kHz.
FRAME_DURATION = 2048 / 44100
# Frames begin a quarter of their length apart, as those of LSD do.
FRAMES_OVERLAP = 4

BANDS_DEFINITION = (
    f"Band distance: {BANDS_PER_DECADE} bands a decade from {LOWEST / 1000:g} kHz up to half the sample rate (or to the"
    " limit); a last band counts when at least half of it lies below. Hann window (periodic) of 2048 samples at 44.1"
    f" and 48 kHz, hop {FRAME_STEP}; the mean power of a band's bins over (sum of window / 2)^2, floor {POWER_FLOOR:g},"
    " in dB; root mean square of the difference over the bands, mean over the frames, then over the channels. Frames"
    " in which all bands of both signals are at the floor do not count. Band bias: the mean of the same differences,"
    " restored minus lossless, over all bands, or over those of an octave."
)


def band_edges(sample_rate: int, limit: float | None = None, whole: bool = False) -> np.ndarray:
    """The bands that are compared.

    Args:
        sample_rate: Hz.
        limit: Hz up to which the reference is lossless; half the sample rate when `None`.
        whole: where the last band would end if nothing cut it off.

    Returns:
        Array `(bands, 2)`, Hz, where each band begins and ends; no rows where nothing can be judged.
    """
    edges: list[tuple[float, float]] = []
    while True:
        low, high = (LOWEST * 10.0 ** ((len(edges) + step) / BANDS_PER_DECADE) for step in (0, 1))
        band = judged_band(low, high, sample_rate, limit)
        if band is None:
            return np.array(edges).reshape(-1, 2)
        edges.append((low, high) if whole else band)


def _judged(sample_rate: int, length: int, limit: Tensor) -> tuple[np.ndarray, Tensor, Tensor]:
    """Which bins and bands count, for one limit or one of each example.

    Returns:
        Array `(bins, bands)`, 1.0 where a bin lies in a band; and two tensors of weights, 1.0 or 0.0: of the bins
        `(batch or 1, 1, 1, bins)`, and of the bands `(batch or 1, 1, 1, bands)`.
    """
    low, high = band_edges(sample_rate, whole=True).astype(np.float32).T
    frequencies = (np.arange(length // 2 + 1) * (sample_rate / length)).astype(np.float32)
    inside = ((frequencies[:, None] >= low) & (frequencies[:, None] < high)).astype(np.float32)
    top = sample_rate / 2 if limit is None else ops.minimum(ops.cast(limit, "float32"), sample_rate / 2)
    top = ops.reshape(ops.cast(top, "float32"), (-1, 1, 1, 1))
    return inside, ops.cast(frequencies < top, "float32"), ops.cast(top - low >= SHARE * (high - low), "float32")


def frame_errors(
    y_true: Tensor, y_pred: Tensor, sample_rate: int, limit: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Differences of the levels of bands, frame by frame.

    Args:
        y_true: lossless tensor `(batch, time, channels)` in [-1, 1].
        y_pred: restored tensor; its batch may be larger where that of `y_true` is 1.
        sample_rate: Hz, above 17600.
        limit: Hz up to which the reference is lossless, a number or one for each example; half the sample rate when
            `None`.

    Returns:
        Three tensors: errors `(batch, channels, frames, bands)` in dB, restored minus lossless; weights of the frames
        `(batch, channels, frames)`, 0.0 where both signals are silent in all bands, else 1.0; and weights of the bands
        `(batch or 1, 1, 1, bands)`, 0.0 where a band cannot be judged, else 1.0.
    """
    length = frame_length(FRAME_DURATION, sample_rate)
    inside, bins, judged = _judged(sample_rate, length, limit)
    width = ops.maximum(ops.tensordot(bins, inside, axes=1), 1.0)
    levels = []
    for audio in (y_true, y_pred):
        power = power_spectrum(audio, length, length // FRAMES_OVERLAP)
        # Not matmul: with other than equal batches it ends the process under TensorFlow 2.16.
        power = ops.tensordot(power * bins, inside, axes=1) / width
        levels.append(10.0 * ops.log10(ops.maximum(power, POWER_FLOOR)))
    # A thousandth of a decibel: logarithms of the floor differ by their rounding.
    sounds = ops.cast(ops.maximum(*levels) > 10.0 * np.log10(POWER_FLOOR) + 1e-3, "float32")
    return (levels[1] - levels[0]) * judged, ops.max(sounds * judged, axis=-1), judged


def frame_distance(errors: Tensor, judged: Tensor) -> Tensor:
    """Root mean square over the bands that are judged: `frame_errors`' errors -> `(batch, channels, frames)`, dB."""
    return ops.sqrt(ops.sum(ops.square(errors), axis=-1) / ops.maximum(ops.sum(judged, axis=-1), 1.0))


def _over_frames(values: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over frames and channels of each example, and the number of frames in it."""
    count = ops.sum(frames, axis=(1, 2))
    return ops.sum(values * frames, axis=(1, 2)) / ops.maximum(count, 1.0), count


def _distance(y_true: Tensor, y_pred: Tensor, sample_rate: int, limit: Tensor) -> tuple[Tensor, Tensor]:
    errors, frames, judged = frame_errors(y_true, y_pred, sample_rate, limit)
    return _over_frames(frame_distance(errors, judged), frames)


def _bias(y_true: Tensor, y_pred: Tensor, sample_rate: int, limit: Tensor) -> tuple[Tensor, Tensor]:
    errors, frames, judged = frame_errors(y_true, y_pred, sample_rate, limit)
    mean = ops.sum(errors, axis=-1) / ops.maximum(ops.sum(judged, axis=-1), 1.0)
    return _over_frames(mean, frames)


def band_distance(y_true: Tensor, y_pred: Tensor, sample_rate: int, limit: Tensor | None = None) -> Tensor:
    """Root mean square error of the levels of bands from 8 kHz up; lower is better.

    `BANDS_DEFINITION` says how it is counted.

    Args:
        y_true: lossless tensor `(batch, time, channels)` in [-1, 1].
        y_pred: restored tensor of the same shape.
        sample_rate: Hz, above 17600.
        limit: Hz up to which the reference is lossless, a number or one for each example; half the sample rate when
            `None`.

    Returns:
        Tensor `(batch,)`, dB, 0 and up; 0 where both signals are silent in all bands.
    """
    return _distance(y_true, y_pred, sample_rate, limit)[0]


def band_bias(y_true: Tensor, y_pred: Tensor, sample_rate: int, limit: Tensor | None = None) -> Tensor:
    """Mean error of the levels of bands from 8 kHz up; the nearer to 0, the better.

    Args:
        y_true, y_pred, sample_rate, limit: as for `band_distance`.

    Returns:
        Tensor `(batch,)`, dB; positive where the restored signal is too loud.
    """
    return _bias(y_true, y_pred, sample_rate, limit)[0]


class _FrameMean(keras.metrics.Mean):
    """Mean over the frames that count, of all examples."""

    def __init__(self, function: Callable[..., Tensor], sample_rate: int, limit: float | None, name: str, dtype: Any):
        super().__init__(name=name, dtype=dtype)
        if not len(band_edges(sample_rate, limit)):
            raise UsageError(
                f"bands from {LOWEST:g} Hz up must lie below the limit and half the sample rate; received"
                f" limit={limit}, sample_rate={sample_rate}; give both in Hz, or leave this metric out"
            )
        self._function = function
        self.sample_rate = sample_rate
        self.limit = limit

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Adds a batch `(batch, time, channels)`."""
        values, frames = self._function(y_true, y_pred, self.sample_rate, self.limit)
        weights = frames if sample_weight is None else frames * ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        super().update_state(values, weights)

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild it."""
        return {"sample_rate": self.sample_rate, "limit": self.limit, "name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="keras_audiosr")
class BandDistance(_FrameMean):
    """Mean of `band_distance` over frames, in dB.

    Args:
        sample_rate: Hz, above 17600.
        limit: Hz up to which the reference is lossless; half the sample rate when `None`.
        name: name in logs.
        dtype: of the accumulated mean.

    Raises:
        UsageError: no band lies below the limit.
    """

    def __init__(self, sample_rate: int, limit: float | None = None, name: str = "band_distance", dtype: Any = None):
        super().__init__(_distance, sample_rate, limit, name, dtype)
        self._direction = "down"


@keras.saving.register_keras_serializable(package="keras_audiosr")
class BandBias(_FrameMean):
    """Mean of `band_bias` over frames, in dB.

    Args:
        sample_rate: Hz, above 17600.
        limit: Hz up to which the reference is lossless; half the sample rate when `None`.
        name: name in logs.
        dtype: of the accumulated mean.

    Raises:
        UsageError: no band lies below the limit.
    """

    def __init__(self, sample_rate: int, limit: float | None = None, name: str = "band_bias", dtype: Any = None):
        super().__init__(_bias, sample_rate, limit, name, dtype)
