"""The second network of adversarial training: small discriminators over several STFTs, and what they ask of the first.

Each looks at the complex spectrum of a piece of music from some frequency up, and says of each of its regions how much
that looks like lossless music. What lies above an example's cutoff is zero for lossless and restored music alike, so
that nearly lossless music is no example of silence there.

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

# Exponent that magnitudes are raised to, so that highs 60 dB below the bass are seen.
_COMPRESSION = 0.3
# Power, relative to the example's own, below which a bin counts as silent.
_FLOOR = 1e-7
# Strides in time and frequency of the convolutions, each of which looks at 3 frames and 9 bins.
_STRIDES = ((1, 2), (2, 2), (2, 2), (1, 1))


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SpectralDiscriminator(keras.layers.Layer):
    """One discriminator over one STFT.

    Args:
        frame_length: samples a frame; hop is a quarter.
        filters: of each convolution.
        sample_rate: Hz.
        lowest: Hz below which it does not look.

    Call arguments:
        audio: `(batch, time, 1)`, of a level near one.
        cutoff: `(batch,)`, Hz above which it does not look.

    Returns:
        The output of each convolution, `(batch, frames, bins, filters)`; of the last `(batch, frames, bins, 1)`: larger
        the more it looks like lossless music.
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
        """Compressed complex spectra `(batch, frames, bins, 2)`."""
        parts = ops.stft(audio[..., 0], self.frame_length, self.frame_length // 4, self.frame_length, center=False)
        # A Hann window adds up to half its length; half of that is a unit sine's peak.
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


# A layer each, made of a frame length, filters, a sample rate and a lowest frequency, and called as the first one is.
DISCRIMINATORS = {"spectral": SpectralDiscriminator}


class Adversary:
    """Discriminators, their optimizer, and the losses of both sides.

    Args:
        kind: a key of `DISCRIMINATORS`.
        frame_lengths: samples a frame, one discriminator each.
        filters: of each convolution.
        sample_rate: Hz.
        lowest: Hz below which nobody looks.
        weight: of the hinge loss in what the network is trained on.
        feature_weight: of the distance of the discriminators' features.
        learning_rate: of the discriminators, while the network's is what `network_rate` says; falls as that does.
        network_rate: the network's first learning rate.
        clip_norm: largest norm of all gradients of the discriminators together.
        examples: of a batch that are looked at, its first ones.
        samples: of each of these that are looked at in a step, one piece of a window after the other.

    Raises:
        UsageError: no such kind.
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
        # As in UnivNet: a discriminator that remembers less follows the network sooner.
        self.optimizer = keras.optimizers.Adam(learning_rate, 0.5, 0.9, global_clipnorm=clip_norm / replicas)
        self.optimizer.build(self.weights)

    @property
    def weights(self) -> list:
        """What its optimizer changes."""
        return [weight for discriminator in self.discriminators for weight in discriminator.trainable_variables]

    @property
    def variables(self) -> list:
        """All that a run needs to go on."""
        return [*self.weights, *self.optimizer.variables]

    def piece(self, audio: Any, step: Any) -> Any:
        """What is looked at in a step: `(examples, samples, 1)` of a batch `(batch, time, 1)`."""
        pieces = max(1, audio.shape[1] // self._samples)
        start = ops.cast(step, "int32") % pieces * self._samples
        size = (min(self._examples, audio.shape[0]), min(self._samples, audio.shape[1]), 1)
        return ops.slice(audio, (0, start, 0), size)

    def _judged(self, lossless: Any, restored: Any, cutoff: Any, step: Any) -> list[tuple[list, list]]:
        """What each discriminator makes of both sides: its features and, last, its judgement."""
        lossless, restored = self.piece(lossless, step), self.piece(restored, step)
        level = ops.sqrt(ops.mean(ops.square(lossless), axis=(1, 2), keepdims=True) + 1e-10)
        both = ops.concatenate([lossless / level, restored / level], axis=0)
        count = lossless.shape[0]
        below = cutoff[:count]
        found = [judge(both, ops.concatenate([below, below], axis=0)) for judge in self.discriminators]
        halves = [[(part[:count], part[count:]) for part in parts] for parts in found]
        return [tuple(map(list, zip(*parts, strict=True))) for parts in halves]  # type: ignore[misc]

    def network_losses(self, lossless: Any, restored: Any, cutoff: Any, step: Any) -> tuple[Any, Any]:
        """What the discriminators ask of the network: the hinge loss, and the distance of features."""
        hinge, distance, count = 0.0, 0.0, 0
        for real, fake in self._judged(lossless, restored, cutoff, step):
            hinge = hinge - ops.mean(fake[-1])
            for one, other in zip(real[:-1], fake[:-1], strict=True):
                one = ops.stop_gradient(one)
                distance = distance + ops.mean(ops.abs(one - other)) / (ops.mean(ops.abs(one)) + 1e-5)
                count += 1
        return hinge / len(self.discriminators), distance / count

    def own_loss(self, lossless: Any, restored: Any, cutoff: Any, step: Any) -> Any:
        """The hinge loss of the discriminators: real above one, restored below minus one."""
        loss = 0.0
        for real, fake in self._judged(lossless, restored, cutoff, step):
            loss = loss + ops.mean(ops.relu(1.0 - real[-1])) + ops.mean(ops.relu(1.0 + fake[-1]))
        return loss / len(self.discriminators)
