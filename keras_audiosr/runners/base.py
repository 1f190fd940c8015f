"""The interface of all runners."""

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
        num_threads: CPU threads of a LiteRT network. The samples do not depend on it.
        step: length of a step in samples. If an exported model has streaming networks, the one with the nearest step
            length is opened instead of the network that takes whole windows.
    """

    trust: bool = False
    num_threads: int = 1
    step: int | None = None


class Runner(abc.ABC):
    """Restores audio with one trained model.

    A runner is not thread-safe, so each thread needs its own runner.

    Args:
        facts: the facts about the model.

    Attributes:
        in_flight: number of concurrent calls of `predict` for one signal. It is above 1 if the runner waits for a
            server or computes on several cores. Several threads may then call its `predict`.
        facts: the facts about the model. Each of them is also an attribute of the runner.
    """

    in_flight = 1

    def __init__(self, facts: ModelFacts):
        self.facts = facts

    @property
    def name(self) -> str:
        """The name of the model's preset."""
        return self.facts.name

    @property
    def sample_rate(self) -> int:
        """The sample rate in Hz of the audio that the model was trained on."""
        return self.facts.sample_rate

    @property
    def window_length(self) -> int:
        """The number of samples in a window, a multiple of `hop_length`."""
        return self.facts.window_length

    @property
    def context(self) -> int:
        """The number of samples on each side that can influence an output sample."""
        return self.facts.context

    @property
    def hop_length(self) -> int:
        """The grid, in samples, on which windows may start."""
        return self.facts.hop_length

    @property
    def undo_encoder_gain(self) -> bool:
        """Whether the model was trained on music whose encoder's gain was undone."""
        return self.facts.undo_encoder_gain

    @property
    def version(self) -> str:
        """An identifier of the weights, such as the beginning of their SHA-256; empty if unknown."""
        return self.facts.version

    @abc.abstractmethod
    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network once.

        Args:
            windows: array `(batch, window_length, 1)` float32 at the model's sample rate.

        Returns:
            Array of the same shape. The first and last `context` samples of each window are affected by its edges.
        """

    def processor(
        self,
        channels: int,
        sample_rate: int | None = None,
        path: str | os.PathLike[str] | None = None,
        pairs: Pairs | None = None,
    ) -> BlockProcessor:
        """Returns a `BlockProcessor` that restores one signal. Call `push(block)` for each block, then `finish()`.

        Args:
            channels: number of audio channels. Pairs of a left and a right channel are restored as mid and side, and
                all other channels individually.
            sample_rate: sample rate of the signal in Hz; that of the model if `None`. At any other rate, only the
                model's correction is resampled and added to the signal (`sound.resample`).
            path: the file that the signal was decoded from, if any. If the model was trained with the encoder's gain
                undone, the gain of this file is undone too.
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
        """Restores a signal block by block, with constant memory use.

        Args:
            blocks: arrays `(time, channels)` float32 of any length.
            channels, sample_rate, path, pairs: as for `processor`.

        Yields:
            Restored blocks `(time, channels)`. Together they are as long as the input.
        """
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
            sample_rate, path, pairs: as for `processor`.

        Returns:
            Array of the same shape. Each sample is aligned with the input sample. Values can exceed [-1, 1] where the
            input is close to full scale.

        Raises:
            UsageError: the input is not an array `(time, channels)`.
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
