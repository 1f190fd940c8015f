"""Losses over waveforms: `y_true`, `y_pred` of shape `(batch, time, channels)`, in this order.

All are `keras.losses.Loss` subclasses on `keras.ops`, registered, and finite on
silent windows.
"""

import keras
from keras import ops

from .errors import UsageError
from .layers import Scattering

# Energy per sample below which a window counts as silent (-100 dBFS).
_SILENCE = 1e-10


def _per_example(values):
    """Mean over everything but the batch."""
    return ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=-1)


def _energy(signal):
    """Mean square of each example."""
    return _per_example(ops.square(signal))


@keras.saving.register_keras_serializable(package="keras_audiosr")
class L1(keras.losses.Loss):
    """Mean absolute error."""

    def __init__(self, name: str = "l1", **kwargs):
        super().__init__(name, **kwargs)

    def call(self, y_true, y_pred):
        return _per_example(ops.abs(y_true - y_pred))


@keras.saving.register_keras_serializable(package="keras_audiosr")
class L2(keras.losses.Loss):
    """Mean squared error."""

    def __init__(self, name: str = "l2", **kwargs):
        super().__init__(name, **kwargs)

    def call(self, y_true, y_pred):
        return _energy(y_true - y_pred)


@keras.saving.register_keras_serializable(package="keras_audiosr")
class Charbonnier(keras.losses.Loss):
    """Smooth L1: the mean of `sqrt(error^2 + epsilon^2)`.

    Args:
        epsilon: where the square turns into a line, in sample units.

    Reference: P. Charbonnier et al., ICIP 1994; W.-S. Lai et al. (LapSRN), CVPR 2017, equation 2.
    """

    def __init__(self, epsilon: float = 1e-3, name: str = "charbonnier", **kwargs):
        super().__init__(name, **kwargs)
        self.epsilon = epsilon

    def call(self, y_true, y_pred):
        return _per_example(ops.sqrt(ops.square(y_true - y_pred) + self.epsilon**2))

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="keras_audiosr")
class NegativeSNR(keras.losses.Loss):
    """Minus the signal-to-noise ratio, in dB.

    A logarithm of the error: a window that is already good counts as much as a bad
    or a loud one. A silent `y_true` counts as one at -100 dBFS.

    Args:
        ceiling: dB beyond which a window earns next to nothing more, so that windows that had nothing to restore
            do not outweigh the rest; `None` for no such limit.
    """

    def __init__(self, ceiling: float | None = None, name: str = "negative_snr", **kwargs):
        super().__init__(name, **kwargs)
        self.ceiling = ceiling

    def call(self, y_true, y_pred):
        ratio = (_energy(y_true - y_pred) + _SILENCE) / (_energy(y_true) + _SILENCE)
        least = 0.0 if self.ceiling is None else 10.0 ** (-self.ceiling / 10.0)
        return 10.0 * ops.log10(ratio + least)

    def get_config(self):
        return {**super().get_config(), "ceiling": self.ceiling}


@keras.saving.register_keras_serializable(package="keras_audiosr")
class NegativeSISDR(keras.losses.Loss):
    """Minus the scale-invariant signal-to-distortion ratio, in dB.

    Reference: J. Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, equation 3
    (without the removal of the mean: music has no offset to hide).
    """

    def __init__(self, name: str = "negative_si_sdr", **kwargs):
        super().__init__(name, **kwargs)

    def call(self, y_true, y_pred):
        energy = _energy(y_true)
        scale = _per_example(y_true * y_pred) / (energy + _SILENCE)
        target = ops.square(scale) * energy
        # |y_pred - scale * y_true|^2 without the cancellation of expanded squares.
        shape = (-1,) + (1,) * (len(y_true.shape) - 1)
        noise = _energy(y_pred - ops.reshape(scale, shape) * y_true)
        return 10.0 * ops.log10((noise + _SILENCE) / (target + _SILENCE))


def _mel_bands(sample_rate: int, frame_length: int, num_bands: int):
    """Triangles that share a power spectrum out to mel bands: `(bins, bands)`, float32."""
    from librosa.filters import mel

    return mel(sr=sample_rate, n_fft=frame_length, n_mels=num_bands, norm=None).T


@keras.saving.register_keras_serializable(package="keras_audiosr")
class MultiResolutionSTFT(keras.losses.Loss):
    """Log-spectral distance plus spectral convergence, averaged over several STFTs.

    The log term is the package's LSD made smooth: the difference of
    `log10(power + floor)`, root mean square over the bins, mean over the frames;
    `floor` hides what is too quiet to be heard. The convergence term is
    `||M - M_hat|| / (||M|| + silence)`: its denominator cannot vanish, so a silent
    window does not explode.

    A third term, off unless it has a weight, compares the energies of mel bands in the longest frames:
    `|log10(E + f) - log10(E_hat + f)|`, where `f` lies `band_range` below the loudest band of the frame, for what is
    quieter beside it goes unheard. The log term alone asks for the mean level of a noise, 2.5 dB under the level of
    its mean energy.

    Args:
        frame_lengths: samples a frame, one STFT each; hop is a quarter.
        log_weight: weight of the log term.
        convergence_weight: weight of the spectral convergence.
        floor: power added before the logarithm; 1e-10 is -100 dB under a full-scale sine.
        band_weight: weight of the band term.
        num_bands: mel bands from 0 Hz to half the sample rate.
        band_range: dB.
        sample_rate: Hz, for the mel scale.

    Reference: R. Yamamoto et al. (Parallel WaveGAN), ICASSP 2020, equations 5 to 7, with the root mean square
    of LSD in place of the mean absolute difference.
    """

    def __init__(
        self,
        frame_lengths: tuple[int, ...] = (512, 1024, 2048),
        log_weight: float = 1.0,
        convergence_weight: float = 1.0,
        floor: float = 1e-10,
        band_weight: float = 0.0,
        num_bands: int = 40,
        band_range: float = 50.0,
        sample_rate: int = 44100,
        name: str = "multi_resolution_stft",
        **kwargs,
    ):
        super().__init__(name, **kwargs)
        self.frame_lengths = tuple(frame_lengths)
        self.log_weight = log_weight
        self.convergence_weight = convergence_weight
        self.floor = floor
        self.band_weight = band_weight
        self.num_bands = num_bands
        self.band_range = band_range
        self.sample_rate = sample_rate
        self._mel = _mel_bands(sample_rate, max(self.frame_lengths), num_bands) if band_weight else None

    def _bands(self, power):
        """Log energies of mel bands `(2 * batch, frames, bands)`, over a floor that follows `y_true`'s loudest."""
        energy = ops.matmul(power, ops.convert_to_tensor(self._mel))
        true = energy[: ops.shape(energy)[0] // 2]
        least = 10.0 ** (-self.band_range / 10.0) * ops.max(true, axis=-1, keepdims=True) + self.floor
        return ops.log10(energy + ops.concatenate([least, least], axis=0))

    def _power(self, signal, frame_length):
        """Power spectra `(batch * channels, frames, bins)`; a full-scale sine peaks at about 1."""
        signal = ops.transpose(signal, (0, 2, 1))
        signal = ops.reshape(signal, (-1, ops.shape(signal)[-1]))
        real, imag = ops.stft(signal, frame_length, frame_length // 4, frame_length, window="hann", center=False)
        # A Hann window adds up to half its length; half of that is a unit sine's peak.
        return (ops.square(real) + ops.square(imag)) * (4.0 / frame_length) ** 2

    def call(self, y_true, y_pred):
        batch = ops.shape(y_true)[0]
        both = ops.concatenate([ops.cast(y_true, y_pred.dtype), y_pred], axis=0)
        total = 0.0
        for frame_length in self.frame_lengths:
            power = self._power(both, frame_length)
            bins = frame_length // 2 + 1
            log = ops.reshape(ops.log10(power + self.floor), (2 * batch, -1, bins))
            if self.band_weight and frame_length == max(self.frame_lengths):
                bands = self._bands(ops.reshape(power, (2 * batch, -1, bins)))
                difference = ops.mean(ops.abs(bands[:batch] - bands[batch:]), axis=(1, 2))
                # Not averaged over the STFTs: it is of one of them.
                total = total + len(self.frame_lengths) * self.band_weight * difference
            power = ops.reshape(power, (2 * batch, -1))
            # The tiny term keeps the gradient of the square root finite on empty bins.
            magnitude = ops.sqrt(power + 1e-14)
            true, pred = magnitude[:batch], magnitude[batch:]
            error = ops.sqrt(ops.mean(ops.square(true - pred), axis=-1) + 1e-14)
            norm = ops.sqrt(ops.mean(ops.square(true), axis=-1))
            convergence = error / (norm + 1e-5)
            distance = ops.mean(ops.square(log[:batch] - log[batch:]), axis=-1)  # over the bins
            distance = ops.mean(ops.sqrt(distance + 1e-8), axis=-1)
            total = total + self.log_weight * distance + self.convergence_weight * convergence
        return total / len(self.frame_lengths)

    def get_config(self):
        return {
            **super().get_config(),
            "frame_lengths": self.frame_lengths,
            "log_weight": self.log_weight,
            "convergence_weight": self.convergence_weight,
            "floor": self.floor,
            "band_weight": self.band_weight,
            "num_bands": self.num_bands,
            "band_range": self.band_range,
            "sample_rate": self.sample_rate,
        }


@keras.saving.register_keras_serializable(package="keras_audiosr")
class FeatureStatistics(keras.losses.Loss):
    """Distance of the statistics of fixed convolutional features: scattering coefficients.

    Means over time do not ask for the very waveform, so noise may be answered by other noise of the same kind.
    Each coefficient's squared error is taken relative to its own energy, `(S - S_hat)^2 / (S^2 + floor)`: in plain
    L2, which the paper uses on pictures, music's lows would hide its highs.

    Args:
        floor: energy of a coefficient below which it counts as silent; 1e-10 is -100 dB of full scale.

    Reference: J. Bruna, P. Sprechmann, Y. LeCun, "Super-Resolution with Deep Convolutional Sufficient
    Statistics", ICLR 2016, equation 9 (with the scattering network of their section 3.2).
    """

    def __init__(self, floor: float = 1e-10, name: str = "feature_statistics", **kwargs):
        super().__init__(name, **kwargs)
        self.floor = floor
        self._scattering = Scattering()

    def call(self, y_true, y_pred):
        true, pred = self._scattering(ops.cast(y_true, y_pred.dtype)), self._scattering(y_pred)
        return ops.mean(ops.square(true - pred) / (ops.square(true) + self.floor), axis=-1)

    def get_config(self):
        return {**super().get_config(), "floor": self.floor}


@keras.saving.register_keras_serializable(package="keras_audiosr")
class WeightedSum(keras.losses.Loss):
    """A weighted sum of losses.

    Args:
        losses: `keras.losses.Loss` instances, or their serialized configs.
        weights: one factor a loss.

    Raises:
        ValueError: the two lists differ in length, or are empty.
    """

    def __init__(self, losses, weights, name: str = "weighted_sum", **kwargs):
        super().__init__(name, **kwargs)
        if not losses or len(losses) != len(weights):
            raise ValueError(f"one weight a loss is needed; received {len(losses)} losses, {len(weights)} weights")
        self.losses = [
            keras.saving.deserialize_keras_object(loss) if isinstance(loss, dict) else loss for loss in losses
        ]
        self.weights = list(weights)

    def call(self, y_true, y_pred):
        values = [weight * loss.call(y_true, y_pred) for loss, weight in zip(self.losses, self.weights, strict=True)]
        return sum(values)

    def get_config(self):
        return {
            **super().get_config(),
            "losses": [keras.saving.serialize_keras_object(loss) for loss in self.losses],
            "weights": self.weights,
        }


LOSSES = {
    "l1": L1,
    "l2": L2,
    "charbonnier": Charbonnier,
    "negative_snr": NegativeSNR,
    "negative_si_sdr": NegativeSISDR,
    "multi_resolution_stft": MultiResolutionSTFT,
    "feature_statistics": FeatureStatistics,
}


def build_loss(terms: list[dict]) -> WeightedSum:
    """The weighted sum that a preset describes.

    Args:
        terms: one dict a loss: `name` (a key of `LOSSES`), `weight`, and `config` where it has arguments.

    Raises:
        UsageError: an unknown name.
    """
    for term in terms:
        if term["name"] not in LOSSES:
            raise UsageError(f"a loss must be one of {', '.join(sorted(LOSSES))}; received {term['name']!r}")
    losses = [LOSSES[term["name"]](**term.get("config", {})) for term in terms]
    return WeightedSum(losses, [term["weight"] for term in terms])
