"""Restores music block by block as it arrives, with a stateful network on LiteRT. It does not import TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np

from ..annotations import StrPath
from ..errors import ArtifactError, UsageError
from ..sound.framing import BlockProcessor, SampleQueue
from ..sound.mid_side import Pairs, channel_pairs, to_left_right, to_mid_side
from ..sound.resample import CorrectionAtRate
from .artifact import METADATA, facts_of, read_metadata, read_verified
from .base import Runner
from .litert import open_network

_NUMBERS = ("hop_length", "latency", "warm_up")


class StreamingRunner(Runner):
    """Runs an exported `stream_<hop>.tflite`. It gives the same samples as the whole model, but without windows.

    Args:
        folder: the exported model, a folder with `metadata.json`.
        file: name of a `.tflite` file in the folder that `export --stream` wrote.
        num_threads: number of CPU threads for one step.

    Raises:
        ArtifactError: the file is missing or damaged (SHA-256), or is not the step that `metadata.json` describes.

    Attributes:
        step_length: length of a step in samples.
        latency: number of samples by which a step's output lags behind its input.

    Example:

    >>> runner = StreamingRunner("exported_models/paired_resnet_bands_44k", "stream_1024.tflite")  # doctest: +SKIP
    >>> restorer = runner.restorer(channels=2)  # doctest: +SKIP
    >>> restored = restorer.step(block)  # doctest: +SKIP
    """

    def __init__(self, folder: StrPath, file: str = "stream_1024.tflite", num_threads: int = 1):
        folder = Path(folder)
        metadata = read_metadata(folder)
        super().__init__(facts_of(metadata, file))
        self.step_length, self.latency, self._warm_up, self._state_shapes = _described(folder, metadata, file)
        content = read_verified(folder, metadata, file)
        self._network, shapes = open_network(folder / file, content, num_threads)
        block = (1, self.step_length, 1)
        wanted = ({"lossy": block} | self._state_shapes, {"restored": block} | self._state_shapes)
        if shapes != wanted:
            raise ArtifactError(
                f"the step must take and return {wanted}; {folder / file} has {shapes}; export it again"
            )
        self._silence = self._state_of_silence()

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Restores each row of `(batch, time, 1)` as a separate signal, preceded and followed by silence."""
        return np.stack([self.run(window) for window in windows])

    def _processor(self, channels: int, sample_rate: int | None, pairs: Pairs | None) -> BlockProcessor:
        restorer = self.restorer(channels, pairs)
        if sample_rate in (None, self.sample_rate):
            return restorer
        return CorrectionAtRate(restorer, sample_rate, self.sample_rate, channels)

    def restorer(self, channels: int, pairs: Pairs | None = None) -> "StreamingRestorer":
        """Returns a new stream at the model's sample rate. The streams of one runner are independent of each other."""
        return StreamingRestorer(self, channels, pairs)

    def step(self, lossy: np.ndarray, states: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Runs one step on a mid, a side, or a single channel.

        Args:
            lossy: array `(step_length,)` float32.
            states: the states that the last step returned.

        Returns:
            The restored samples, an array `(step_length,)` that lags `latency` samples behind, and the next states.

        Raises:
            ArtifactError: the model returns values that are not finite.
        """
        results = self._network(lossy=lossy[None, :, None], **states)
        restored = results.pop("restored")[0, :, 0]
        if not np.isfinite(restored).all():
            raise ArtifactError(
                f"a model must return finite samples; {self.name!r} returned NaN or infinity; train or fetch it again"
            )
        return restored, results

    def _state_of_silence(self) -> dict[str, np.ndarray]:
        """Returns the states after endless silence, which are not zero in every layer."""
        states = {name: np.zeros(shape, np.float32) for name, shape in self._state_shapes.items()}
        for _ in range(self._warm_up // self.step_length):
            _, states = self.step(np.zeros(self.step_length, np.float32), states)
        return states


class StreamingRestorer:
    """Restores one signal with a `StreamingRunner`. Mid, side and every other channel each have their own state.

    It is a `BlockProcessor`: `push` takes blocks of any length and returns the aligned signal, and `finish` returns its
    tail. A player calls `step` instead, with blocks of `hop_length` samples, and each result is `latency` samples late.

    If a sample, the context before it and the `latency` samples after it are digital silence (exact zeros), the output
    sample is zero too. After enough zeros, a step that contains only zeros is not run. These rules apply to mid and
    side, so that equal channels stay equal. The first one also applies to the channels, so that a silent channel stays
    silent.

    Args:
        runner: the runner that executes the steps.
        channels: number of audio channels.
        pairs: indices of left and right channels, as for `sound.mid_side.channel_pairs`.

    Attributes:
        hop_length: length of a step in samples.
        latency: number of samples by which the output of `step` lags behind its input.
        sample_rate: sample rate in Hz.
        channels: number of audio channels.
    """

    def __init__(self, runner: StreamingRunner, channels: int, pairs: Pairs | None = None):
        self._runner = runner
        self._pairs = channel_pairs(channels, pairs)
        self.channels = channels
        self.hop_length = runner.step_length
        self.latency = runner.latency
        self.sample_rate = runner.sample_rate
        # After this number of zeros in a row, including the current sample, the output sample is silent.
        self._silent = runner.context + runner.latency + 1
        # After this number of zeros in a row, the state is that of silence again.
        self._settled = max(self._silent, runner._warm_up)
        self.reset()

    def reset(self) -> None:
        """Resets the state, so that a new signal can begin."""
        self._states = [self._runner._silence] * self.channels
        # Zeros are counted twice: in mid and side, and in the input channels.
        self._coded_zeros = _ZeroRuns(self.channels, self._settled)
        self._zeros = _ZeroRuns(self.channels, self._settled)
        self._queue = SampleQueue(self.channels)
        self._received = self._produced = self._returned = 0

    def step(self, lossy: np.ndarray) -> np.ndarray:
        """Restores one block.

        Args:
            lossy: array `(hop_length, channels)` float32.

        Returns:
            Array of the same shape, float32, `latency` samples late.

        Raises:
            UsageError: the array has another shape.
            ArtifactError: the model returns values that are not finite.
        """
        if lossy.shape != (self.hop_length, self.channels):
            raise UsageError(
                f"a step takes (hop_length, channels) = {(self.hop_length, self.channels)}; received {lossy.shape};"
                " use push for blocks of any length"
            )
        coded = to_mid_side(lossy, self._pairs)
        settled = self._coded_zeros.latest >= self._settled
        zeros = self._coded_zeros.push(coded)
        restored = np.zeros(lossy.shape, np.float32)
        for row in range(self.channels):
            if settled[row] and not coded[:, row].any():
                continue
            block = np.ascontiguousarray(coded[:, row])
            restored[:, row], self._states[row] = self._runner.step(block, self._states[row])
        restored[zeros >= self._silent] = 0.0
        restored = to_left_right(restored, self._pairs)
        restored[self._zeros.push(lossy) >= self._silent] = 0.0
        return restored

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples `(time, channels)` and returns the restored samples that are ready, aligned."""
        self._received += len(block)
        # The block is copied, because it waits for the rest of its hop and the caller may reuse it.
        self._queue.put(np.array(block, np.float32))
        ready = []
        while len(self._queue) >= self.hop_length:
            ready.append(self._aligned(self.step(self._whole(self._queue.take(self.hop_length)))))
        return np.concatenate(ready) if ready else np.zeros((0, self.channels), np.float32)

    def finish(self) -> np.ndarray:
        """Pads the signal with zeros, returns the tail that makes the output as long as the input, and resets."""
        ready = [np.zeros((0, self.channels), np.float32)]
        while self._returned < self._received:
            ready.append(self._aligned(self.step(self._whole(self._queue.take(self.hop_length)))))
        missing = self._returned - self._received
        self.reset()
        tail = np.concatenate(ready)
        return tail[: len(tail) - missing]

    def _whole(self, block: np.ndarray) -> np.ndarray:
        return np.pad(block, ((0, self.hop_length - len(block)), (0, 0)))

    def _aligned(self, restored: np.ndarray) -> np.ndarray:
        late = max(0, min(self.latency - self._produced, len(restored)))
        self._produced += len(restored)
        self._returned += len(restored) - late
        return restored[late:]


class _ZeroRuns:
    """Counts exact zeros in a row for each channel.

    Args:
        channels: number of channels.
        most: largest count that is remembered. Counts start at it, because the signal follows endless silence.

    Attributes:
        latest: array `(channels,)` with the counts up to the newest sample, at most `most`.
    """

    def __init__(self, channels: int, most: int):
        self._most = most
        self.latest = np.full(channels, most)

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples `(time, channels)`; returns for each the number of zeros in a row up to it."""
        positions = np.arange(len(block))[:, None]
        last = np.maximum.accumulate(np.where(block != 0, positions, -1 - self.latest), axis=0)
        counts = positions - last
        self.latest = np.minimum(counts[-1], self._most)
        return counts


def _described(folder: Path, metadata: dict[str, Any], file: str) -> tuple:
    """Returns the hop length, latency, warm-up and state shapes of a step from the content of `metadata.json`."""
    streaming = metadata.get("streaming")
    entry = streaming.get(file) if isinstance(streaming, dict) else None
    if entry is None:
        raise ArtifactError(
            f"{METADATA} must describe {file} under 'streaming'; {folder} does not; export with --stream"
        )
    try:
        shapes = {state["name"]: tuple(map(int, state["shape"])) for state in entry["states"]}
        numbers = [int(entry[key]) for key in _NUMBERS]
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{METADATA} must give {', '.join(_NUMBERS)} and states of {file}; {folder}: {error!r}; export it again"
        ) from error
    return (*numbers, shapes)
