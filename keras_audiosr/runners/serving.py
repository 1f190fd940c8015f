"""A model on TensorFlow Serving: the same `run(lossy) -> restored`, sync and asyncio. Imports no TensorFlow."""

import asyncio
import concurrent.futures
import functools
import os
from collections.abc import AsyncIterable, AsyncIterator

import numpy as np

from ..audio.framing import BlockProcessor
from ..errors import ServerError, UsageError
from ..serving import ServerOptions, ServingClient
from .base import Runner

# Samples a block that the asyncio runner works on between two chances to be cancelled.
BLOCK_LENGTH = 1 << 16
# Signals that an asyncio runner works on at a time; more wait.
MAX_SIGNALS = 64


class ServingRunner(Runner):
    """Runs a model on TensorFlow Serving, several windows in flight.

    A signal ends with the version that it began with, also when a newer one is loaded in the middle; the next
    signal begins with the newest.

    Args:
        server: URL, such as `"grpc://localhost:8500/paired_resnet_frame_44k"` or `".../MODEL@VERSION"`,
            `".../MODEL:LABEL"`, `"http://..."`; or a `ServingClient`, which several runners may share.
        options: deadlines, requests in flight, 16-bit samples, TLS, headers; not with a `ServingClient`.

    Raises:
        UsageError: a URL that is none.
        ServerError: not reachable, or not a model of `keras-audiosr serve bundle`.

    Example:

    >>> ServingRunner("grpc://localhost:8500/paired_resnet_frame_44k").run(lossy)  # doctest: +SKIP
    """

    def __init__(self, server: str | ServingClient, options: ServerOptions | None = None):
        self.client = server if isinstance(server, ServingClient) else ServingClient(server, options)
        described = self.client.describe()
        super().__init__(
            name=described.name,
            sample_rate=described.sample_rate,
            window_length=described.window_length,
            context=described.context,
            hop_length=described.hop_length,
            undo_encoder_gain=described.undo_encoder_gain,
        )
        self.version = described.weights
        self.served_version = described.version
        self.in_flight = self.client.options.in_flight

    def processor(
        self, channels: int, sample_rate: int | None = None, path: str | os.PathLike[str] | None = None
    ) -> BlockProcessor:
        """The `BlockProcessor` that restores one signal, on the version that is served now."""
        return super(ServingRunner, ServingRunner(self.client)).processor(channels, sample_rate, path)

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network on `(batch, window_length, 1)`; several threads may call it."""
        try:
            return self.client.predict(windows, self.served_version)
        except ServerError as error:
            if error.code != "NOT_FOUND":
                raise
            raise ServerError(
                f"a file ends with the version it began with; {self.client.address}: version {self.served_version} is"
                " no longer served; restore again, and keep two versions loaded (models.config: num_versions: 2)",
                error.code,
            ) from error


class AsyncServingRunner:
    """`ServingRunner` for asyncio: many signals at a time over one connection, none of which blocks the loop.

    Cancelling a task ends its signal: no further window is begun, and those in flight, `options.in_flight` at
    most, are left to the server.

    Args:
        server: as for `ServingRunner`.
        options: as for `ServingRunner`.

    Example:

    >>> async with AsyncServingRunner("grpc://localhost:8500/paired_resnet_frame_44k") as runner:  # doctest: +SKIP
    ...     songs = await asyncio.gather(*(runner.run(lossy) for lossy in signals))
    """

    def __init__(self, server: str, options: ServerOptions | None = None):
        self._client = ServingClient(server, options)
        # Its own threads: asyncio's default ones are few, and others wait for them.
        self._threads = concurrent.futures.ThreadPoolExecutor(MAX_SIGNALS, "audiosr-serving")

    async def __aenter__(self) -> "AsyncServingRunner":
        return self

    async def __aexit__(self, *_) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection."""
        self._client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, lossy: np.ndarray, sample_rate: int | None = None) -> np.ndarray:
        """Restores a whole signal; as `Runner.run`."""
        lossy = np.asarray(lossy, np.float32)
        if lossy.ndim != 2:
            raise UsageError(f"audio must be (time, channels); received shape {lossy.shape}; use audio[:, None]")

        async def blocks():
            for start in range(0, len(lossy), BLOCK_LENGTH):
                yield lossy[start : start + BLOCK_LENGTH]

        restored = [block async for block in self.stream(blocks(), lossy.shape[1], sample_rate)]
        return np.concatenate(restored) if restored else lossy.copy()

    async def stream(
        self, blocks: AsyncIterable[np.ndarray], channels: int, sample_rate: int | None = None
    ) -> AsyncIterator[np.ndarray]:
        """Restores a signal that comes in blocks `(time, channels)` of any length; as `Runner.stream`."""
        runner = await self._in_thread(ServingRunner, self._client)
        processor = await self._in_thread(Runner.processor, runner, channels, sample_rate)
        async for block in blocks:
            ready = await self._in_thread(processor.push, block)
            if len(ready):
                yield ready
        ready = await self._in_thread(processor.finish)
        if len(ready):
            yield ready

    def _in_thread(self, work, *args):
        return asyncio.get_running_loop().run_in_executor(self._threads, functools.partial(work, *args))
