"""Compares the levels of narrow bands from 8 kHz up: how large their errors are, and whether they are too loud.

The distance between band levels does not depend on fine structure. It shows whether the highs have the right level at
each moment. Everything uses `keras.ops`, so the figures are the same under TensorFlow and JAX.
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
# Length of a frame in seconds: 2,048 samples at 44.1 and 48 kHz.
FRAME_DURATION = 2048 / 44100
# The hop is a quarter of a frame, as for LSD.
FRAMES_OVERLAP = 4

BANDS_DEFINITION = (
    f"Band distance: levels are compared in {BANDS_PER_DECADE} bands per decade from {LOWEST / 1000:g} kHz to half the"
    " sample rate (or to the limit). The last band counts if at least half of it lies below that. Frames have a"
    f" periodic Hann window of 2048 samples at 44.1 and 48 kHz and a hop of {FRAME_STEP}. The level of a band is the"
    f" mean power of its bins over (sum of window / 2)^2, with a floor of {POWER_FLOOR:g}, in dB. The root mean square"
    " of the level differences is taken over the bands, and then the mean over the frames of all channels. Frames in"
    " which all bands of both signals are at the floor do not count. Band bias: the mean of the same differences,"
    " restored minus lossless, over all bands, or over those of one octave."
)


def band_edges(sample_rate: int, limit: float | None = None, whole: bool = False) -> np.ndarray:
    """Returns the edges of the bands that are compared.

    Args:
        sample_rate: Hz.
        limit: Hz up to which the reference is lossless; half the sample rate when `None`.
        whole: whether to return the full width of the last band, even if half the sample rate or the limit cuts it.

    Returns:
        Array `(bands, 2)` of the lower and upper edges in Hz. It has no rows if no band can be judged.
    """
    edges: list[tuple[float, float]] = []
    while True:
        low, high = (LOWEST * 10.0 ** ((len(edges) + step) / BANDS_PER_DECADE) for step in (0, 1))
        band = judged_band(low, high, sample_rate, limit)
        if band is None:
            return np.array(edges).reshape(-1, 2)
        edges.append((low, high) if whole else band)


def _judged(sample_rate: int, length: int, limit: Tensor) -> tuple[np.ndarray, Tensor, Tensor]:
    """Returns which bins and bands count, for one common limit or one limit per example.

    Returns:
        Array `(bins, bands)`, 1.0 where a bin lies in a band; the weights of the bins, 1.0 or 0.0, a tensor
        `(batch or 1, 1, 1, bins)`; and those of the bands, a tensor `(batch or 1, 1, 1, bands)`.
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
    """Returns the level errors of all bands in each frame.

    Args:
        y_true: lossless tensor `(batch, time, channels)` in [-1, 1].
        y_pred: restored tensor of the same shape; its batch may be larger if that of `y_true` is 1.
        sample_rate: Hz, at least 16806.
        limit: Hz up to which the reference is lossless, one number or one per example; half the sample rate when
            `None`.

    Returns:
        Three tensors: errors `(batch, channels, frames, bands)` in dB, restored minus lossless, and 0.0 in bands that
        cannot be judged; weights of the frames `(batch, channels, frames)`, 0.0 where both signals are silent in all
        bands, else 1.0; and weights of the bands `(batch or 1, 1, 1, bands)`, 0.0 where a band cannot be judged, else
        1.0.
    """
    length = frame_length(FRAME_DURATION, sample_rate)
    inside, bins, judged = _judged(sample_rate, length, limit)
    width = ops.maximum(ops.tensordot(bins, inside, axes=1), 1.0)
    levels = []
    for audio in (y_true, y_pred):
        power = power_spectrum(audio, length, length // FRAMES_OVERLAP)
        # matmul cannot be used: with unequal batches it aborts the process under TensorFlow 2.16.
        power = ops.tensordot(power * bins, inside, axes=1) / width
        levels.append(10.0 * ops.log10(ops.maximum(power, POWER_FLOOR)))
    # The margin of 0.001 dB allows for rounding in the logarithm of the floor.
    sounds = ops.cast(ops.maximum(*levels) > 10.0 * np.log10(POWER_FLOOR) + 1e-3, "float32")
    return (levels[1] - levels[0]) * judged, ops.max(sounds * judged, axis=-1), judged


def frame_distance(errors: Tensor, judged: Tensor) -> Tensor:
    """Returns the root mean square of `frame_errors` over the judged bands, `(batch, channels, frames)` in dB."""
    return ops.sqrt(ops.sum(ops.square(errors), axis=-1) / ops.maximum(ops.sum(judged, axis=-1), 1.0))


def _over_frames(values: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Returns each example's mean over the frames of all channels, and the number of frames that count."""
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
    """Returns the root mean square error of the levels of bands from 8 kHz up; lower is better.

    `BANDS_DEFINITION` gives the exact definition.

    Args:
        y_true: lossless tensor `(batch, time, channels)` in [-1, 1].
        y_pred: restored tensor of the same shape.
        sample_rate: Hz, at least 16806.
        limit: Hz up to which the reference is lossless, one number or one per example; half the sample rate when
            `None`.

    Returns:
        Tensor `(batch,)` in dB, at least 0; 0 where both signals are silent in all bands.
    """
    return _distance(y_true, y_pred, sample_rate, limit)[0]


def band_bias(y_true: Tensor, y_pred: Tensor, sample_rate: int, limit: Tensor | None = None) -> Tensor:
    """Returns the mean error of the levels of bands from 8 kHz up; closer to 0 is better.

    Args:
        y_true, y_pred, sample_rate, limit: as for `band_distance`.

    Returns:
        Tensor `(batch,)` in dB; positive where the restored signal is too loud.
    """
    return _bias(y_true, y_pred, sample_rate, limit)[0]


class _FrameMean(keras.metrics.Mean):
    """Averages a function of `(y_true, y_pred)` over the frames that count, in all examples."""

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
        """Adds a batch of signals `(batch, time, channels)`."""
        values, frames = self._function(y_true, y_pred, self.sample_rate, self.limit)
        weights = frames if sample_weight is None else frames * ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        super().update_state(values, weights)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"sample_rate": self.sample_rate, "limit": self.limit, "name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="keras_audiosr")
class BandDistance(_FrameMean):
    """Averages `band_distance` over frames, in dB.

    Args:
        sample_rate: Hz, at least 16806.
        limit: Hz up to which the reference is lossless; half the sample rate when `None`.
        name: name in logs.
        dtype: dtype of the accumulated mean.

    Raises:
        UsageError: no band lies below the limit and half the sample rate.
    """

    def __init__(self, sample_rate: int, limit: float | None = None, name: str = "band_distance", dtype: Any = None):
        super().__init__(_distance, sample_rate, limit, name, dtype)
        self._direction = "down"


@keras.saving.register_keras_serializable(package="keras_audiosr")
class BandBias(_FrameMean):
    """Averages `band_bias` over frames, in dB.

    Args:
        sample_rate: Hz, at least 16806.
        limit: Hz up to which the reference is lossless; half the sample rate when `None`.
        name: name in logs.
        dtype: dtype of the accumulated mean.

    Raises:
        UsageError: no band lies below the limit and half the sample rate.
    """

    def __init__(self, sample_rate: int, limit: float | None = None, name: str = "band_bias", dtype: Any = None):
        super().__init__(_bias, sample_rate, limit, name, dtype)
