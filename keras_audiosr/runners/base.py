"""The interface of all runners, whatever executes the network."""

import abc
import dataclasses
import os
from collections.abc import Iterable, Iterator

import numpy as np

from ..errors import ArtifactError, UsageError
from ..files.encoder_gain import GainUndone, encoder_gain
from ..presets.facts import ModelFacts
from ..sound.framing import BlockProcessor, OverlapSave, process_blocks
from ..sound.mid_side import Pairs
from ..sound.resample import CorrectionAtRate


@dataclasses.dataclass(frozen=True)
class RunnerOptions:
    """Options for opening a model. The options of a server are in its `serving.Server`.

    Attributes:
        trust: whether a SavedModel that did not come with this package may be run. It is a program, which can read and
            write files; TFLite and Keras files are not.
        num_threads: CPU threads of a LiteRT network that takes whole windows; each thread computes one window at a
            time. The samples do not depend on it.
        step: length of a step in samples. If an exported model has streaming artefacts, the one with the nearest step
            is opened instead of the network that takes whole windows.
    """

    trust: bool = False
    num_threads: int = 1
    step: int | None = None


class Runner(abc.ABC):
    """Restores audio with one trained model.

    A runner is not thread-safe: give each thread its own.

    Args:
        facts: what is known of the model.

    Attributes:
        in_flight: concurrent calls of `predict` for one signal. It is above 1 for a runner that waits for a server or
            computes on several cores; several threads may then call its `predict`.
        facts: as given; each of them is an attribute of the runner, too.
    """

    in_flight = 1

    def __init__(self, facts: ModelFacts):
        self.facts = facts

    @property
    def name(self) -> str:
        """As in `ModelFacts`."""
        return self.facts.name

    @property
    def sample_rate(self) -> int:
        """As in `ModelFacts`."""
        return self.facts.sample_rate

    @property
    def window_length(self) -> int:
        """As in `ModelFacts`."""
        return self.facts.window_length

    @property
    def context(self) -> int:
        """As in `ModelFacts`."""
        return self.facts.context

    @property
    def hop_length(self) -> int:
        """As in `ModelFacts`."""
        return self.facts.hop_length

    @property
    def undo_encoder_gain(self) -> bool:
        """As in `ModelFacts`."""
        return self.facts.undo_encoder_gain

    @property
    def version(self) -> str:
        """As in `ModelFacts`."""
        return self.facts.version

    @abc.abstractmethod
    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network once.

        Args:
            windows: array `(batch, window_length, 1)` float32 at the model's sample rate.

        Returns:
            Array of the same shape. Samples within `context` of its ends are affected by the window's edges.
        """

    def processor(
        self,
        channels: int,
        sample_rate: int | None = None,
        path: str | os.PathLike[str] | None = None,
        pairs: Pairs | None = None,
    ) -> BlockProcessor:
        """The `BlockProcessor` that restores one signal: `push(block)` as it comes, then `finish()`.

        Args:
            channels: number of audio channels. A left and a right channel are restored as mid and side, all others by
                themselves.
            sample_rate: Hz of the signal; the model's own when `None`. At any other rate only the
                model's correction is resampled and added (`sound.resample`).
            path: the file that the signal was decoded from, if any. The gain of its encoder is undone if the model was
                trained that way.
            pairs: indices of left and right channels, as for `sound.mid_side.channel_pairs`.
        """
        processor = self._processor(channels, sample_rate, pairs)
        gain = encoder_gain(path) if path is not None and self.undo_encoder_gain else 1.0
        return processor if gain == 1.0 else GainUndone(processor, gain)

    def _processor(self, channels: int, sample_rate: int | None, pairs: Pairs | None) -> BlockProcessor:
        processor = OverlapSave(
            self._checked_predict, self.window_length, self.context, channels, self.in_flight, pairs
        )
        if sample_rate in (None, self.sample_rate):
            return processor
        return CorrectionAtRate(processor, sample_rate, self.sample_rate, channels)

    def stream(
        self,
        blocks: Iterable[np.ndarray],
        channels: int,
        sample_rate: int | None = None,
        path: str | os.PathLike[str] | None = None,
        pairs: Pairs | None = None,
    ) -> Iterator[np.ndarray]:
        """Restores a signal that comes in blocks `(time, channels)` of any length, in constant memory."""
        return process_blocks(self.processor(channels, sample_rate, path, pairs), blocks)

    def run(
        self,
        lossy: np.ndarray,
        sample_rate: int | None = None,
        path: str | os.PathLike[str] | None = None,
        pairs: Pairs | None = None,
    ) -> np.ndarray:
        """Restores a whole signal.

        Args:
            lossy: array `(time, channels)` float32 in [-1, 1].
            sample_rate: Hz of the signal; the model's own when `None`.
            path, pairs: as for `processor`.

        Returns:
            Array of the same shape, aligned to the sample. It can exceed [-1, 1] where the input is close to full
            scale.

        Raises:
            UsageError: not an array `(time, channels)`.
            ArtifactError: the model returns values that are not finite.
        """
        lossy = np.asarray(lossy, np.float32)
        if lossy.ndim != 2:
            raise UsageError(f"audio must be (time, channels); received shape {lossy.shape}; use audio[:, None]")
        restored = list(self.stream([lossy], lossy.shape[1], sample_rate, path, pairs))
        return np.concatenate(restored) if restored else lossy.copy()

    def _checked_predict(self, windows: np.ndarray) -> np.ndarray:
        restored = self.predict(windows)
        if not np.isfinite(restored).all():
            raise ArtifactError(
                f"a model must return finite samples; {self.name!r} returned NaN or infinity; train or fetch it again"
            )
        return restored
