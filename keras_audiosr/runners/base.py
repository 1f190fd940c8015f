"""What every runner offers, whatever executes the network."""

import abc
import os
from collections.abc import Iterable, Iterator

import numpy as np

from ..audio.encoder_gain import GainUndone, encoder_gain
from ..audio.framing import BlockProcessor, OverlapSave, process_blocks
from ..audio.resample import CorrectionAtRate
from ..errors import ArtifactError, UsageError


class Runner(abc.ABC):
    """Restores audio with one trained model.

    A runner is not thread-safe: give each thread its own.

    Args:
        name: the preset's name.
        sample_rate: Hz of the audio the model was trained on.
        window_length: samples the network takes at once, a multiple of `hop_length`.
        context: samples on each side that can influence an output sample, a multiple of `hop_length`.
        hop_length: the grid, in samples, on which windows may start.
        undo_encoder_gain: whether the model learnt from music whose encoder's gain (`audio.encoder_gain`) was undone.

    Raises:
        ArtifactError: lengths that do not fit each other.

    Attributes:
        in_flight: calls of `predict` at a time, for one signal. A runner that waits for others to compute has
            more than 1, and a `predict` that several threads may call.
        version: what tells these weights from others of the same name, such as the beginning of their SHA-256;
            empty when unknown.
    """

    in_flight = 1
    version = ""

    def __init__(
        self,
        *,
        name: str,
        sample_rate: int,
        window_length: int,
        context: int,
        hop_length: int,
        undo_encoder_gain: bool = False,
    ):
        if sample_rate < 1:
            raise ArtifactError(f"a model has a sample rate; {name!r} has {sample_rate} Hz; export it again")
        on_grid = hop_length > 0 and window_length % hop_length == context % hop_length == 0
        if not on_grid or context < 0 or window_length <= 2 * context:
            raise ArtifactError(
                "window_length and context must be multiples of hop_length, with window_length above 2 * context;"
                f" model {name!r} has {window_length}, {context} and {hop_length}; export it again"
            )
        self.name = name
        self.sample_rate = sample_rate
        self.window_length = window_length
        self.context = context
        self.hop_length = hop_length
        self.undo_encoder_gain = undo_encoder_gain

    @abc.abstractmethod
    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network once.

        Args:
            windows: array `(batch, window_length, 1)` float32 at the model's sample rate.

        Returns:
            Array of the same shape; within `context` samples of its ends a window's edge shows.
        """

    def processor(
        self, channels: int, sample_rate: int | None = None, path: str | os.PathLike[str] | None = None
    ) -> BlockProcessor:
        """The `BlockProcessor` that restores one signal: `push(block)` as it comes, then `finish()`.

        Args:
            channels: number of audio channels; each is restored by itself.
            sample_rate: Hz of the signal; the model's own when `None`. At any other rate only the
                model's correction is resampled and added (`audio.resample`).
            path: the file that the signal was decoded from, if any. What its encoder did to the level is undone
                where the model was trained so.
        """
        processor = self._processor(channels, sample_rate)
        gain = encoder_gain(path) if path is not None and self.undo_encoder_gain else 1.0
        return processor if gain == 1.0 else GainUndone(processor, gain)

    def _processor(self, channels: int, sample_rate: int | None) -> BlockProcessor:
        processor = OverlapSave(self._checked_predict, self.window_length, self.context, channels, self.in_flight)
        if sample_rate in (None, self.sample_rate):
            return processor
        return CorrectionAtRate(processor, sample_rate, self.sample_rate, channels)

    def stream(
        self,
        blocks: Iterable[np.ndarray],
        channels: int,
        sample_rate: int | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> Iterator[np.ndarray]:
        """Restores a signal that comes in blocks `(time, channels)` of any length, in flat memory."""
        return process_blocks(self.processor(channels, sample_rate, path), blocks)

    def run(
        self, lossy: np.ndarray, sample_rate: int | None = None, path: str | os.PathLike[str] | None = None
    ) -> np.ndarray:
        """Restores a whole signal.

        Args:
            lossy: array `(time, channels)` float32 in [-1, 1].
            sample_rate: Hz of the signal; the model's own when `None`.
            path: the file that the signal was decoded from, as for `processor`.

        Returns:
            Array of the same shape, aligned to the sample. It can exceed [-1, 1] where the input nearly does.

        Raises:
            UsageError: not an array `(time, channels)`.
            ArtifactError: the model returns values that are not finite.
        """
        lossy = np.asarray(lossy, np.float32)
        if lossy.ndim != 2:
            raise UsageError(f"audio must be (time, channels); received shape {lossy.shape}; use audio[:, None]")
        restored = list(self.stream([lossy], lossy.shape[1], sample_rate, path))
        return np.concatenate(restored) if restored else lossy.copy()

    def _checked_predict(self, windows: np.ndarray) -> np.ndarray:
        restored = self.predict(windows)
        if not np.isfinite(restored).all():
            raise ArtifactError(
                f"a model must return finite samples; {self.name!r} returned NaN or infinity; train or fetch it again"
            )
        return restored
