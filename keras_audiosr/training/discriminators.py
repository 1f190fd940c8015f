"""Adversarial training: small discriminators over several STFTs, their own loss, and the losses for the network.

Each discriminator sees the complex spectrum of a piece of music above a lowest frequency, and rates for each region of
the spectrum how much it looks like lossless music. Above the cutoff of an example the spectrum is set to zero for
lossless and restored music alike. Nearly lossless music therefore does not teach that its missing highs are correct.

References:
    A. Défossez et al., "High Fidelity Neural Audio Compression" (EnCodec), TMLR 2023, section 3.4: discriminators over
    the complex STFT at several scales, hinge loss, feature matching relative to the features' size.
    W. Jang et al., "UnivNet", Interspeech 2021, section 2.2: STFTs of several resolutions.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from ..annotations import Shape, Tensor
from ..errors import UsageError

# Exponent that compresses magnitudes, so that highs 60 dB below the bass still count.
_COMPRESSION = 0.3
# Power, relative to that of the example, below which bins are hardly amplified by the compression.
_FLOOR = 1e-7
# Strides of the convolutions in time and frequency. Each kernel covers 3 frames and 9 bins.
_STRIDES = ((1, 2), (2, 2), (2, 2), (1, 1))


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SpectralDiscriminator(keras.layers.Layer):
    """One discriminator over one STFT.

    Args:
        frame_length: frame length of the STFT in samples. The hop length is a quarter of it.
        filters: number of filters of each convolution.
        sample_rate: sample rate in Hz.
        lowest: lowest frequency in Hz that the discriminator sees.

    Call arguments:
        audio: `(batch, time, 1)`, scaled to an RMS near 1.
        cutoff: `(batch,)`, frequency in Hz from which on the spectrum is set to zero.

    Returns:
        A list of the outputs of the convolutions, `(batch, frames, bins, filters)`, and the judgement, `(batch, frames,
        bins, 1)`, which is the larger, the more a region looks like lossless music.
    """

    def __init__(
        self, frame_length: int, filters: int = 16, sample_rate: int = 44100, lowest: float = 4000.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.frame_length = frame_length
        self.filters = filters
        self.sample_rate = sample_rate
        self.lowest = lowest
        self._first = round(lowest * frame_length / sample_rate)
        self.convolutions = [
            keras.layers.Conv2D(filters, (3, 9), strides, padding="same", name=f"convolution_{index}")
            for index, strides in enumerate(_STRIDES)
        ]
        self.judge = keras.layers.Conv2D(1, 3, padding="same", name="judge")

    def build(self, audio_shape: Shape, cutoff_shape: Shape | None = None) -> None:
        shape: tuple = (audio_shape[0], None, self.frame_length // 2 + 1 - self._first, 2)
        for convolution in (*self.convolutions, self.judge):
            convolution.build(shape)
            shape = (*shape[:-1], self.filters)

    def _spectrum(self, audio: Any, cutoff: Any) -> Any:
        """Returns compressed complex spectra `(batch, frames, bins, 2)`, with zeros above the cutoff."""
        parts = ops.stft(audio[..., 0], self.frame_length, self.frame_length // 4, self.frame_length, center=False)
        # A Hann window of N samples sums to N/2, so a sine of amplitude 1 has a peak of N/4, which is scaled to 1.
        real, imag = (part[..., self._first :] * (4.0 / self.frame_length) for part in parts)
        size = ops.power(ops.square(real) + ops.square(imag) + _FLOOR, 0.5 * (_COMPRESSION - 1.0))
        frequencies = ops.arange(self._first, self.frame_length // 2 + 1, dtype="float32")
        below = frequencies[None] * (self.sample_rate / self.frame_length) < cutoff[:, None]
        mask = ops.cast(below, real.dtype)[:, None, :, None]
        return ops.stack([real * size, imag * size], axis=-1) * mask

    def call(self, audio: Tensor, cutoff: Tensor) -> list[Tensor]:
        features, found = self._spectrum(audio, cutoff), []
        for convolution in self.convolutions:
            features = convolution(features)
            features = ops.maximum(features, 0.2 * features)  # a leaky ReLU
            found.append(features)
        return [*found, self.judge(features)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "frame_length": self.frame_length,
            "filters": self.filters,
            "sample_rate": self.sample_rate,
            "lowest": self.lowest,
        }


# Layer classes. All take a frame length, filters, a sample rate and a lowest frequency, and are called in the same way.
DISCRIMINATORS = {"spectral": SpectralDiscriminator}


class Adversary:
    """Discriminators, their optimizer, and the losses of the discriminators and of the network.

    Args:
        kind: a key of `DISCRIMINATORS`.
        frame_lengths: frame lengths in samples, one for each discriminator.
        filters: number of filters of each convolution.
        sample_rate: sample rate in Hz.
        lowest: lowest frequency in Hz that the discriminators see.
        weight: weight of the hinge loss in the network's total loss.
        feature_weight: weight of the feature matching loss in the network's total loss.
        learning_rate: learning rate of the discriminators when the network's is `network_rate`. Both change in the same
            proportion.
        network_rate: highest learning rate of the network.
        clip_norm: largest norm of all gradients of the discriminators together.
        examples: number of examples that the discriminators see, the first ones of each batch.
        samples: number of samples of each example that they see in a step. Successive steps use successive pieces.
        replicas: number of devices that train together. `clip_norm` is divided by it.

    Raises:
        UsageError: `kind` is unknown.
    """

    def __init__(
        self,
        *,
        kind: str = "spectral",
        frame_lengths: Sequence[int] = (512, 1024, 2048),
        filters: int = 16,
        sample_rate: int = 44100,
        lowest: float = 4000.0,
        weight: float = 0.05,
        feature_weight: float = 0.5,
        learning_rate: float = 2e-4,
        network_rate: float = 1e-3,
        clip_norm: float = 1.0,
        examples: int = 4,
        samples: int = 16384,
        replicas: int = 1,
    ):
        if kind not in DISCRIMINATORS:
            raise UsageError(
                f"a discriminator is one of {', '.join(DISCRIMINATORS)}; received {kind!r}; try 'spectral'"
            )
        self.discriminators = [
            DISCRIMINATORS[kind](length, filters, sample_rate, lowest, name=f"discriminator_{length}")
            for length in frame_lengths
        ]
        for discriminator in self.discriminators:
            discriminator.build((None, samples, 1), (None,))
        self.weight, self.feature_weight = weight, feature_weight
        self.rate = learning_rate / network_rate
        self._examples, self._samples = examples, samples
        # The betas are those of UnivNet. With a shorter memory the discriminators follow the network sooner.
        self.optimizer = keras.optimizers.Adam(learning_rate, 0.5, 0.9, global_clipnorm=clip_norm / replicas)
        self.optimizer.build(self.weights)

    @property
    def weights(self) -> list:
        """The weights of all discriminators, which the optimizer updates."""
        return [weight for discriminator in self.discriminators for weight in discriminator.trainable_variables]

    @property
    def variables(self) -> list:
        """All variables that a run needs to resume."""
        return [*self.weights, *self.optimizer.variables]

    def piece(self, audio: Any, step: Any) -> Any:
        """Cuts out what the discriminators see in a step: `(examples, samples, 1)` of a batch `(batch, time, 1)`."""
        pieces = max(1, audio.shape[1] // self._samples)
        start = ops.cast(step, "int32") % pieces * self._samples
        size = (min(self._examples, audio.shape[0]), min(self._samples, audio.shape[1]), 1)
        return ops.slice(audio, (0, start, 0), size)

    def _judged(self, lossless: Any, restored: Any, cutoff: Any, step: Any) -> list[tuple[list, list]]:
        """Returns the outputs of each discriminator for lossless and for restored music. The last is the judgement."""
        lossless, restored = self.piece(lossless, step), self.piece(restored, step)
        level = ops.sqrt(ops.mean(ops.square(lossless), axis=(1, 2), keepdims=True) + 1e-10)
        both = ops.concatenate([lossless / level, restored / level], axis=0)
        count = lossless.shape[0]
        below = cutoff[:count]
        found = [judge(both, ops.concatenate([below, below], axis=0)) for judge in self.discriminators]
        halves = [[(part[:count], part[count:]) for part in parts] for parts in found]
        return [tuple(map(list, zip(*parts, strict=True))) for parts in halves]  # type: ignore[misc]

    def network_losses(self, lossless: Any, restored: Any, cutoff: Any, step: Any) -> tuple[Any, Any]:
        """Returns the two losses for the network: the hinge loss and the feature matching loss."""
        hinge, distance, count = 0.0, 0.0, 0
        for real, fake in self._judged(lossless, restored, cutoff, step):
            hinge = hinge - ops.mean(fake[-1])
            for one, other in zip(real[:-1], fake[:-1], strict=True):
                one = ops.stop_gradient(one)
                distance = distance + ops.mean(ops.abs(one - other)) / (ops.mean(ops.abs(one)) + 1e-5)
                count += 1
        return hinge / len(self.discriminators), distance / count

    def own_loss(self, lossless: Any, restored: Any, cutoff: Any, step: Any) -> Any:
        """Returns the discriminators' hinge loss: 0 if lossless music is rated above 1 and restored music below -1."""
        loss = 0.0
        for real, fake in self._judged(lossless, restored, cutoff, step):
            loss = loss + ops.mean(ops.relu(1.0 - real[-1])) + ops.mean(ops.relu(1.0 + fake[-1]))
        return loss / len(self.discriminators)
