"""How far a restored signal is from the lossless one: SNR, SI-SDR and LSD.

Functions give one value an example; the `keras.metrics` classes of the same
names average them over an epoch. All of it is `keras.ops`: the same figures
under TensorFlow and JAX. This file is the only home of the definition of LSD.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from .errors import UsageError

__all__ = [
    "LEVEL_DEFINITION",
    "LSD",
    "LSDHF",
    "LSD_DEFINITION",
    "SISDR",
    "SNR",
    "frame_lsd",
    "log_spectrum",
    "lsd",
    "lsd_hf",
    "measure",
    "si_sdr",
    "snr",
]

FRAME_LENGTH = 2048
FRAME_STEP = 512
POWER_FLOOR = 1e-10

# Frames whose spectra `measure` holds at a time: memory stays flat however long the song.
BLOCK_FRAMES = 512

LSD_DEFINITION = (
    f"LSD: Hann window (periodic) of {FRAME_LENGTH} samples, hop {FRAME_STEP}, frames not centred; power over"
    f" (sum of window / 2)^2, floor {POWER_FLOOR:g}, log10; root mean square of the difference over the bins, mean over"
    " the frames, then over the channels. LSD-HF: the same over the bins above the lossy input's own cutoff."
)

# For whole files, where it is the caller's to do; a metric of a batch does not know the file's peak.
LEVEL_DEFINITION = (
    "Each file is first scaled so that its lossless side peaks at full scale: the floor of LSD lies 100 dB under the"
    " file's own peak, however loud it was mastered. SNR and SI-SDR do not depend on it."
)

# Mean square added to signal and error alike, -120 dB of full scale: far under
# the rounding of 16-bit audio (-101 dB), so it moves no score of real music,
# and silence has a finite one.
ENERGY_FLOOR = 1e-12


def _decibels(signal, error):
    """10 log10 of mean squares over time, averaged over the channels: `(batch, time, channels)` -> `(batch,)`."""
    ratio = (ops.mean(ops.square(signal), axis=1) + ENERGY_FLOOR) / (ops.mean(ops.square(error), axis=1) + ENERGY_FLOOR)
    return ops.mean(10.0 * ops.log10(ratio), axis=-1)


def _cast(y_true, y_pred):
    # Mixed precision hands over float16, whose squares underflow.
    return ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")


def snr(y_true, y_pred):
    """Signal-to-noise ratio in dB; higher is better.

    Each channel by itself, then the mean of the channels. A mean square of
    1e-12 (-120 dB of full scale) is added to signal and error, so every score
    is finite: silence returned as silence scores 0 dB, noise on silence scores
    below 0 dB, an exact copy scores at most 120 dB.

    Args:
        y_true: lossless tensor `(batch, time, channels)` in [-1, 1].
        y_pred: restored tensor of the same shape.

    Returns:
        Tensor `(batch,)`, dB.
    """
    y_true, y_pred = _cast(y_true, y_pred)
    return _decibels(y_true, y_true - y_pred)


def si_sdr(y_true, y_pred):
    """Scale-invariant signal-to-distortion ratio in dB; higher is better.

    The lossless signal is scaled to fit the restored one best; what is left is
    distortion. No mean is removed. Channels and silence as in `snr`.

    Args:
        y_true: lossless tensor `(batch, time, channels)` in [-1, 1].
        y_pred: restored tensor of the same shape.

    Returns:
        Tensor `(batch,)`, dB.

    Reference:
        - [Le Roux et al., SDR - half-baked or well done?, 2019](https://arxiv.org/abs/1811.02508)
    """
    y_true, y_pred = _cast(y_true, y_pred)
    energy = ops.mean(ops.square(y_true), axis=1, keepdims=True)
    scale = ops.mean(y_true * y_pred, axis=1, keepdims=True) / (energy + ENERGY_FLOOR)
    return _decibels(scale * y_true, scale * y_true - y_pred)


def log_spectrum(audio):
    """log10 of the floored power spectrum that LSD compares; a full-scale sine peaks at 0.

    Args:
        audio: tensor `(batch, time, channels)` in [-1, 1]. Shorter than a frame, it is zero-padded to one.

    Returns:
        Tensor `(batch, channels, frames, 1025)`, from -10 (the floor) up. Samples after the last whole frame
        are unused.
    """
    audio = ops.transpose(ops.cast(audio, "float32"), (0, 2, 1))
    batch, channels, time = ops.shape(audio)
    # A plain number, but for TensorFlow graphs with a free time axis: a tensor there.
    missing = max(FRAME_LENGTH - time, 0) if isinstance(time, int) else ops.maximum(FRAME_LENGTH - time, 0)
    if not isinstance(missing, int) or missing:
        audio = ops.concatenate([audio, ops.zeros((batch, channels, missing), dtype=audio.dtype)], axis=-1)
    real, imaginary = ops.stft(audio, FRAME_LENGTH, FRAME_STEP, FRAME_LENGTH, window="hann", center=False)
    # The sum of a periodic Hann window is half its length.
    power = (ops.square(real) + ops.square(imaginary)) / (FRAME_LENGTH / 4) ** 2
    return ops.log10(ops.maximum(power, POWER_FLOOR))


def frame_lsd(log_true, log_pred, cutoff=None, sample_rate=None, below=False):
    """Log-spectral distance of each frame.

    Args:
        log_true: `log_spectrum` of the lossless signal, `(batch, channels, frames, bins)`.
        log_pred: `log_spectrum` of the restored signal, same shape.
        cutoff: Hz, a number or one for each example; only bins above it count. All bins when `None`.
        sample_rate: Hz; needed with `cutoff`.
        below: count the bins up to the cutoff instead.

    Returns:
        Tensor `(batch, channels, frames)`, log10 of power. 0 where no bin lies above the cutoff.
    """
    squared = ops.square(log_true - log_pred)
    if cutoff is None:
        return ops.sqrt(ops.mean(squared, axis=-1))
    frequencies = ops.arange(FRAME_LENGTH // 2 + 1, dtype="float32") * (sample_rate / FRAME_LENGTH)
    cutoff = ops.reshape(ops.cast(cutoff, "float32"), (-1, 1, 1, 1))
    counted = ops.cast(frequencies <= cutoff if below else frequencies > cutoff, "float32")
    return ops.sqrt(ops.sum(squared * counted, axis=-1) / ops.maximum(ops.sum(counted, axis=-1), 1.0))


def lsd(y_true, y_pred):
    """Log-spectral distance; lower is better. `LSD_DEFINITION` says how it is counted.

    Args:
        y_true: lossless tensor `(batch, time, channels)` in [-1, 1].
        y_pred: restored tensor of the same shape.

    Returns:
        Tensor `(batch,)`, log10 of power (1.0 is 10 dB), 0 and up.
    """
    return ops.mean(frame_lsd(log_spectrum(y_true), log_spectrum(y_pred)), axis=(1, 2))


def lsd_hf(y_true, y_pred, cutoff, sample_rate):
    """Log-spectral distance over the bins above a cutoff; lower is better.

    Args:
        y_true: lossless tensor `(batch, time, channels)` in [-1, 1].
        y_pred: restored tensor of the same shape.
        cutoff: Hz above which the lossy input holds (almost) nothing; a number, or one for each example.
        sample_rate: Hz.

    Returns:
        Tensor `(batch,)`, log10 of power, 0 and up; 0 where no bin lies above the cutoff.
    """
    return ops.mean(frame_lsd(log_spectrum(y_true), log_spectrum(y_pred), cutoff, sample_rate), axis=(1, 2))


def measure(lossless: np.ndarray, signals: Sequence[np.ndarray], sample_rate: int, cutoff: float) -> list[dict]:
    """SNR, SI-SDR, and LSD of several bands, of several signals against one lossless signal.

    Args:
        lossless: array `(time, channels)` in [-1, 1].
        signals: arrays of the same shape.
        sample_rate: Hz.
        cutoff: Hz of the lossy input.

    Returns:
        For each signal `{"snr", "si_sdr", "lsd", "lsd_hf", "lsd_lf"}`: LSD of all bins, of those above the cutoff
        (`None` where there is none), and of those up to it.
    """
    stacked = np.stack([lossless, *signals])
    y_pred = stacked[1:]
    y_true = np.broadcast_to(lossless, y_pred.shape)
    found = {"snr": snr(y_true, y_pred), "si_sdr": si_sdr(y_true, y_pred)}
    found = {name: ops.convert_to_numpy(values) for name, values in found.items()}

    # In blocks of whole frames, so that the sum is that of the whole song; the lossless spectrum, computed once,
    # serves every signal.
    step, overlap = FRAME_STEP, FRAME_LENGTH - FRAME_STEP
    frames = max(0, len(lossless) - FRAME_LENGTH) // step + 1
    bands = {"lsd": (), "lsd_lf": (cutoff, sample_rate, True)}
    if cutoff < sample_rate / 2:
        bands["lsd_hf"] = (cutoff, sample_rate)
    sums = {name: np.zeros(len(signals)) for name in bands}
    for first in range(0, frames, BLOCK_FRAMES):
        last = min(first + BLOCK_FRAMES, frames)
        spectra = log_spectrum(stacked[:, first * step : last * step + overlap])
        for name, band in bands.items():
            distances = ops.convert_to_numpy(frame_lsd(spectra[:1], spectra[1:], *band))
            sums[name] += distances.mean(axis=1, dtype=np.float64).sum(axis=1)
    found |= {name: values / frames for name, values in sums.items()}
    names = ("snr", "si_sdr", "lsd", "lsd_hf", "lsd_lf")
    return [
        {name: float(found[name][index]) if name in found else None for name in names} for index in range(len(signals))
    ]


class _ExampleMean(keras.metrics.MeanMetricWrapper):
    """Mean of a function of `(y_true, y_pred)` over examples, rebuilt from its own arguments."""

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SNR(_ExampleMean):
    """Mean of `snr` over examples, in dB.

    Args:
        name: name in logs.
        dtype: of the accumulated mean.

    Example:

    >>> model.compile(optimizer="adam", loss="mae", metrics=[SNR(), LSD()])
    """

    def __init__(self, name="snr", dtype=None):
        super().__init__(snr, name=name, dtype=dtype)
        self._direction = "up"


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SISDR(_ExampleMean):
    """Mean of `si_sdr` over examples, in dB.

    Args:
        name: name in logs.
        dtype: of the accumulated mean.
    """

    def __init__(self, name="si_sdr", dtype=None):
        super().__init__(si_sdr, name=name, dtype=dtype)
        self._direction = "up"


@keras.saving.register_keras_serializable(package="keras_audiosr")
class LSD(_ExampleMean):
    """Mean of `lsd` over examples, log10 of power.

    Args:
        name: name in logs.
        dtype: of the accumulated mean.
    """

    def __init__(self, name="lsd", dtype=None):
        super().__init__(lsd, name=name, dtype=dtype)
        self._direction = "down"


@keras.saving.register_keras_serializable(package="keras_audiosr")
class LSDHF(_ExampleMean):
    """Mean of `lsd_hf` over examples, log10 of power.

    Args:
        cutoff: Hz above which the bins count, the same for every example.
        sample_rate: Hz.
        name: name in logs.
        dtype: of the accumulated mean.

    Raises:
        UsageError: the cutoff leaves no bin below half the sample rate.
    """

    def __init__(self, cutoff, sample_rate, name="lsd_hf", dtype=None):
        if not 0 <= cutoff < sample_rate / 2:
            raise UsageError(
                f"cutoff must lie in [0, sample_rate / 2) Hz; got cutoff={cutoff}, sample_rate={sample_rate};"
                " give both in Hz"
            )
        super().__init__(lsd_hf, name=name, dtype=dtype, cutoff=cutoff, sample_rate=sample_rate)
        self._direction = "down"
        self.cutoff = cutoff
        self.sample_rate = sample_rate

    def get_config(self):
        """The arguments that rebuild it."""
        return {**super().get_config(), "cutoff": self.cutoff, "sample_rate": self.sample_rate}
