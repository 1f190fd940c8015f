"""Restores music block by block as it arrives, with a stateful network on LiteRT. It does not import TensorFlow."""

import collections
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..annotations import StrPath
from ..errors import ArtifactError, UsageError
from ..processes.threads import Workers
from ..sound.framing import BlockProcessor, SampleQueue
from ..sound.mid_side import Pairs, channel_pairs, to_left_right, to_mid_side
from ..sound.resample import CorrectionAtRate
from ..sound.zero_runs import ZeroRuns
from .artifact import METADATA, facts_of, read_metadata, read_verified
from .base import Runner
from .litert import NetworkPool

_NUMBERS = ("hop_length", "latency", "warm_up")
# Number of steps that a stream with several interpreters begins before it waits for the oldest one.
_STEPS_AHEAD = 2


class StreamingRunner(Runner):
    """Runs an exported `stream_<hop>.tflite`. It gives the same samples as the whole model, but without windows.

    Args:
        folder: the exported model, a folder with `metadata.json`.
        file: name of a `.tflite` file in the folder that `export --stream` wrote.
        num_threads: number of CPU threads. Mid, side and other channels are computed at the same time while the caller
            goes on. If there is only one channel, the threads share the work of each layer. If it is 1, everything is
            computed in the caller's thread. The samples do not depend on it.

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
        self._num_threads = num_threads
        self._open = functools.partial(NetworkPool, folder / file, content)
        # One pool for each number of threads that an interpreter can have.
        self._pools: dict[int, NetworkPool] = {}
        # Most songs have two channels, so their first interpreter is opened now and examined.
        networks = self._pool(self._interpreters(2))
        block = (1, self.step_length, 1)
        wanted = ({"lossy": block} | self._state_shapes, {"restored": block} | self._state_shapes)
        if networks.shapes != wanted:
            raise ArtifactError(
                f"the step must take and return {wanted}; {folder / file} has {networks.shapes}; export it again"
            )
        # The states of silence are computed while the caller opens its first song.
        start = Workers(1 if num_threads > 1 else 0).start
        self._silence = start(functools.partial(self._state_of_silence, networks))

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

    def networks(self, channels: int) -> tuple[NetworkPool, int]:
        """Returns the interpreters for a signal, and the number of them that may run at the same time."""
        count = self._interpreters(channels)
        pool = self._pool(count)
        pool.grow(count)
        return pool, count

    def _interpreters(self, channels: int) -> int:
        return max(1, min(channels, self._num_threads))

    def _pool(self, interpreters: int) -> NetworkPool:
        share = self._num_threads // interpreters
        if share not in self._pools:
            self._pools[share] = self._open(num_threads=share, quiet=not self._pools)
        return self._pools[share]

    def step(
        self, networks: NetworkPool, lossy: np.ndarray, states: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Runs one step on a mid, a side, or a single channel.

        Args:
            networks: the interpreters.
            lossy: array `(step_length,)` float32.
            states: the states that the last step returned.

        Returns:
            The restored samples, an array `(step_length,)` that lags `latency` samples behind, and the next states.

        Raises:
            ArtifactError: the model returns values that are not finite.
        """
        results = networks(lossy=lossy[None, :, None], **states)
        restored = results.pop("restored")[0, :, 0]
        if not np.isfinite(restored).all():
            raise ArtifactError(
                f"a model must return finite samples; {self.name!r} returned NaN or infinity; train or fetch it again"
            )
        return restored, results

    def _state_of_silence(self, networks: NetworkPool) -> dict[str, np.ndarray]:
        """Returns the states after endless silence, which are not zero in every layer."""
        states = {name: np.zeros(shape, np.float32) for name, shape in self._state_shapes.items()}
        for _ in range(self._warm_up // self.step_length):
            _, states = self.step(networks, np.zeros(self.step_length, np.float32), states)
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
        self._networks, count = runner.networks(channels)
        # The threads of a single interpreter would wait for each other if the caller worked at the same time.
        self._workers = Workers(count if count > 1 else 0)
        self._steps_ahead = _STEPS_AHEAD if count > 1 else 0
        # After this number of zeros in a row, including the current sample, the output sample is silent.
        self._silent = runner.context + runner.latency + 1
        # After this number of zeros in a row, the state is that of silence again.
        self._settled = max(self._silent, runner._warm_up)
        self.reset()

    def reset(self) -> None:
        """Resets the state, so that a new signal can begin."""
        # Each of these functions waits for the step before, and returns the states after it.
        self._states: list[Callable[[], dict[str, np.ndarray]]] = [self._runner._silence] * self.channels
        # Zeros are counted twice: in mid and side, and in the input channels.
        self._coded_zeros = ZeroRuns(self.channels, self._silent, self._settled)
        self._zeros = ZeroRuns(self.channels, self._silent, self._settled)
        self._queue = SampleQueue(self.channels)
        self._pending: collections.deque[Callable[[], np.ndarray]] = collections.deque()
        self._received = self._begun = self._produced = self._returned = 0

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
        return self._begin(lossy)()

    def _begin(self, lossy: np.ndarray) -> Callable[[], np.ndarray]:
        """Starts a step; returns a function that waits for its result."""
        coded = to_mid_side(lossy, self._pairs)
        settled = self._coded_zeros.latest >= self._settled
        silent, unheard = self._coded_zeros.push(coded), self._zeros.push(lossy)
        active = [row for row in range(self.channels) if not settled[row] or coded[:, row].any()]
        results = {row: self._begin_row(row, np.ascontiguousarray(coded[:, row])) for row in active}

        def finished() -> np.ndarray:
            restored = np.zeros(lossy.shape, np.float32)
            for row, result in results.items():
                restored[:, row], _ = result()
            if silent is not None:
                restored[silent] = 0.0
            restored = to_left_right(restored, self._pairs)
            if unheard is not None:
                restored[unheard] = 0.0
            return restored

        return finished

    def _begin_row(self, row: int, block: np.ndarray) -> Callable[[], tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Starts a step of one row, which waits for the row's step before it."""
        before = self._states[row]
        result = self._workers.start(lambda: self._runner.step(self._networks, block, before()))
        self._states[row] = lambda: result()[1]
        return result

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples `(time, channels)` and returns the restored samples that are ready, aligned."""
        self._received += len(block)
        # The block is copied, because it waits for the rest of its hop and the caller may reuse it.
        self._queue.put(np.array(block, np.float32))
        ready = [np.zeros((0, self.channels), np.float32)]
        while len(self._queue) >= self.hop_length:
            ready += self._advance()
        return np.concatenate(ready)

    def finish(self) -> np.ndarray:
        """Pads the signal with zeros, returns the tail that makes the output as long as the input, and resets."""
        ready = [np.zeros((0, self.channels), np.float32)]
        while self._received and self._begun < self._received + self.latency:
            ready += self._advance()
        ready += [self._aligned(self._pending.popleft()()) for _ in range(len(self._pending))]
        missing = self._returned - self._received
        self.reset()
        tail = np.concatenate(ready)
        return tail[: len(tail) - missing]

    def _advance(self) -> list[np.ndarray]:
        """Begins a step on the next samples, or zeros after the last one; returns the results that are waited for."""
        block = self._queue.take(self.hop_length)
        self._pending.append(self._begin(np.pad(block, ((0, self.hop_length - len(block)), (0, 0)))))
        self._begun += self.hop_length
        waited = max(0, len(self._pending) - self._steps_ahead)
        return [self._aligned(self._pending.popleft()()) for _ in range(waited)]

    def _aligned(self, restored: np.ndarray) -> np.ndarray:
        late = max(0, min(self.latency - self._produced, len(restored)))
        self._produced += len(restored)
        self._returned += len(restored) - late
        return restored[late:]


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
