"""Measures the difference between a restored and a lossless signal: SNR, SI-SDR and LSD.

The functions return one value per example. The `keras.metrics` classes of the same names average them over an epoch.
Everything uses `keras.ops`, so the figures are the same under TensorFlow and JAX. LSD is defined only in this file.
"""

from typing import Any

import keras
from keras import ops

from ..annotations import Tensor
from ..errors import UsageError

__all__ = [
    "LSD",
    "LSDHF",
    "LSD_DEFINITION",
    "SISDR",
    "SNR",
    "frame_lsd",
    "log_spectrum",
    "lsd",
    "lsd_hf",
    "power_spectrum",
    "si_sdr",
    "snr",
]

FRAME_LENGTH = 2048
FRAME_STEP = 512
POWER_FLOOR = 1e-10

LSD_DEFINITION = (
    f"LSD: frames have a periodic Hann window of {FRAME_LENGTH} samples and a hop of {FRAME_STEP}, and are not centred."
    f" Power is divided by (sum of window / 2)^2, has a floor of {POWER_FLOOR:g}, and is taken as log10. The root mean"
    " square of the difference is taken over the bins, and the mean over the frames and then over the channels. LSD-HF:"
    " the same over the bins above the lossy input's own cutoff."
)

# This mean square, -120 dB of full scale, is added to both the signal and the error, so that silence has a finite
# score. It is far below the rounding of 16-bit audio (-101 dB) and does not change the scores of real music.
ENERGY_FLOOR = 1e-12


def _decibels(signal: Tensor, error: Tensor) -> Tensor:
    """Returns the ratio of mean squares in dB, averaged over the channels: `(batch, time, channels)` -> `(batch,)`."""
    ratio = (ops.mean(ops.square(signal), axis=1) + ENERGY_FLOOR) / (ops.mean(ops.square(error), axis=1) + ENERGY_FLOOR)
    return ops.mean(10.0 * ops.log10(ratio), axis=-1)


def _cast(y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    # With mixed precision the inputs are float16, whose squares underflow.
    return ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")


def snr(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Returns the signal-to-noise ratio in dB; higher is better.

    The ratio is computed for each channel, and then the mean of the channels is taken. A mean square of 1e-12 (-120 dB
    of full scale) is added to signal and error, so every score is finite. Silence that is restored as silence scores
    0 dB, noise in place of silence scores below 0 dB, and an exact copy scores at most 120 dB.

    Args:
        y_true: lossless tensor `(batch, time, channels)` in [-1, 1].
        y_pred: restored tensor of the same shape.

    Returns:
        Tensor `(batch,)` in dB.
    """
    y_true, y_pred = _cast(y_true, y_pred)
    return _decibels(y_true, y_true - y_pred)


def si_sdr(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Returns the scale-invariant signal-to-distortion ratio in dB; higher is better.

    The lossless signal is scaled to fit the restored one best, and the difference that remains is the distortion. The
    mean of the signals is not removed. Channels and silence are treated as in `snr`.

    Args:
        y_true: lossless tensor `(batch, time, channels)` in [-1, 1].
        y_pred: restored tensor of the same shape.

    Returns:
        Tensor `(batch,)` in dB.

    Reference:
        - [Le Roux et al., SDR - half-baked or well done?, 2019](https://arxiv.org/abs/1811.02508)
    """
    y_true, y_pred = _cast(y_true, y_pred)
    energy = ops.mean(ops.square(y_true), axis=1, keepdims=True)
    scale = ops.mean(y_true * y_pred, axis=1, keepdims=True) / (energy + ENERGY_FLOOR)
    return _decibels(scale * y_true, scale * y_true - y_pred)


def power_spectrum(audio: Tensor, frame_length: int = FRAME_LENGTH, frame_step: int = FRAME_STEP) -> Tensor:
    """Returns the power spectrum of Hann-windowed frames, in which a full-scale sine peaks at 1.

    Args:
        audio: tensor `(batch, time, channels)` in [-1, 1]. If it is shorter than a frame, it is zero-padded to one.
        frame_length: number of samples in a frame.
        frame_step: number of samples between the beginnings of two frames.

    Returns:
        Tensor `(batch, channels, frames, frame_length / 2 + 1)`. Samples after the last whole frame are not used.
    """
    audio = ops.transpose(ops.cast(audio, "float32"), (0, 2, 1))
    batch, channels, time = ops.shape(audio)
    # `time` is an integer, except in TensorFlow graphs with an unknown time axis, where it is a tensor.
    missing = max(frame_length - time, 0) if isinstance(time, int) else ops.maximum(frame_length - time, 0)
    if not isinstance(missing, int) or missing:
        audio = ops.concatenate([audio, ops.zeros((batch, channels, missing), dtype=audio.dtype)], axis=-1)
    real, imaginary = ops.stft(audio, frame_length, frame_step, frame_length, window="hann", center=False)
    # The sum of a periodic Hann window is half its length.
    return (ops.square(real) + ops.square(imaginary)) / (frame_length / 4) ** 2


def log_spectrum(audio: Tensor) -> Tensor:
    """Returns the log10 power spectrum that LSD compares, in which a full-scale sine peaks at 0.

    Args:
        audio: tensor `(batch, time, channels)` in [-1, 1]. If it is shorter than a frame, it is zero-padded to one.

    Returns:
        Tensor `(batch, channels, frames, 1025)`, at least -10, which is the floor. Samples after the last whole frame
        are not used.
    """
    return ops.log10(ops.maximum(power_spectrum(audio), POWER_FLOOR))


def frame_lsd(
    log_true: Tensor,
    log_pred: Tensor,
    above: Tensor | None = None,
    up_to: Tensor | None = None,
    sample_rate: int | None = None,
) -> Tensor:
    """Returns the log-spectral distance of each frame.

    Args:
        log_true: `log_spectrum` of the lossless signal, `(batch, channels, frames, bins)`.
        log_pred: `log_spectrum` of the restored signal, of the same shape.
        above: Hz, one number or one per example. Only bins above it count; there is no lower limit when `None`.
        up_to: Hz, one number or one per example. Only bins up to it count; there is no upper limit when `None`.
        sample_rate: Hz; required with `above` or `up_to`.

    Returns:
        Tensor `(batch, channels, frames)` in units of log10 power; 0 where no bin counts.

    Raises:
        ValueError: `above` or `up_to` is given without a sample rate.
    """
    squared = ops.square(log_true - log_pred)
    if above is None and up_to is None:
        return ops.sqrt(ops.mean(squared, axis=-1))
    if sample_rate is None:
        raise ValueError("sample_rate is needed with above or up_to; received None; name it in Hz")
    frequencies = ops.arange(FRAME_LENGTH // 2 + 1, dtype="float32") * (sample_rate / FRAME_LENGTH)
    counted = ops.ones((1, 1, 1, FRAME_LENGTH // 2 + 1))
    if above is not None:
        above = ops.reshape(ops.cast(above, "float32"), (-1, 1, 1, 1))
        counted = counted * ops.cast(frequencies > above, "float32")
    if up_to is not None:
        up_to = ops.reshape(ops.cast(up_to, "float32"), (-1, 1, 1, 1))
        counted = counted * ops.cast(frequencies <= up_to, "float32")
    return ops.sqrt(ops.sum(squared * counted, axis=-1) / ops.maximum(ops.sum(counted, axis=-1), 1.0))


def lsd(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Returns the log-spectral distance; lower is better. `LSD_DEFINITION` gives the exact definition.

    Args:
        y_true: lossless tensor `(batch, time, channels)` in [-1, 1].
        y_pred: restored tensor of the same shape.

    Returns:
        Tensor `(batch,)` in units of log10 power (1.0 is 10 dB), at least 0.
    """
    return ops.mean(frame_lsd(log_spectrum(y_true), log_spectrum(y_pred)), axis=(1, 2))


def lsd_hf(y_true: Tensor, y_pred: Tensor, cutoff: Tensor, sample_rate: int) -> Tensor:
    """Returns the log-spectral distance over the bins above a cutoff; lower is better.

    Args:
        y_true: lossless tensor `(batch, time, channels)` in [-1, 1].
        y_pred: restored tensor of the same shape.
        cutoff: Hz above which the lossy input has practically no signal, one number or one per example.
        sample_rate: Hz.

    Returns:
        Tensor `(batch,)` in units of log10 power, at least 0; 0 where no bin lies above the cutoff.
    """
    return ops.mean(frame_lsd(log_spectrum(y_true), log_spectrum(y_pred), cutoff, None, sample_rate), axis=(1, 2))


class _ExampleMean(keras.metrics.MeanMetricWrapper):
    """Averages a function of `(y_true, y_pred)` over examples; its config holds only its own arguments."""

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SNR(_ExampleMean):
    """Averages `snr` over examples, in dB.

    Args:
        name: name in logs.
        dtype: dtype of the accumulated mean.

    Example:

    >>> model.compile(optimizer="adam", loss="mae", metrics=[SNR(), LSD()])
    """

    def __init__(self, name: str = "snr", dtype: Any = None):
        super().__init__(snr, name=name, dtype=dtype)
        self._direction = "up"


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SISDR(_ExampleMean):
    """Averages `si_sdr` over examples, in dB.

    Args:
        name: name in logs.
        dtype: dtype of the accumulated mean.
    """

    def __init__(self, name: str = "si_sdr", dtype: Any = None):
        super().__init__(si_sdr, name=name, dtype=dtype)
        self._direction = "up"


@keras.saving.register_keras_serializable(package="keras_audiosr")
class LSD(_ExampleMean):
    """Averages `lsd` over examples, in units of log10 power.

    Args:
        name: name in logs.
        dtype: dtype of the accumulated mean.
    """

    def __init__(self, name: str = "lsd", dtype: Any = None):
        super().__init__(lsd, name=name, dtype=dtype)
        self._direction = "down"


@keras.saving.register_keras_serializable(package="keras_audiosr")
class LSDHF(_ExampleMean):
    """Averages `lsd_hf` over examples, in units of log10 power.

    Args:
        cutoff: Hz above which bins count, the same for every example.
        sample_rate: Hz.
        name: name in logs.
        dtype: dtype of the accumulated mean.

    Raises:
        UsageError: the cutoff is negative, or not below half the sample rate.
    """

    def __init__(self, cutoff: float, sample_rate: int, name: str = "lsd_hf", dtype: Any = None):
        if not 0 <= cutoff < sample_rate / 2:
            raise UsageError(
                f"cutoff must lie in [0, sample_rate / 2) Hz; received cutoff={cutoff}, sample_rate={sample_rate};"
                " give both in Hz"
            )
        super().__init__(lsd_hf, name=name, dtype=dtype, cutoff=cutoff, sample_rate=sample_rate)
        self._direction = "down"
        self.cutoff = cutoff
        self.sample_rate = sample_rate

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "cutoff": self.cutoff, "sample_rate": self.sample_rate}
