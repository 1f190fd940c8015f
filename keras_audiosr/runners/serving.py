"""Runs a model on TensorFlow Serving. It does not import TensorFlow."""

import os

import numpy as np

from ..errors import ServerError
from ..serving import Server, ServerOptions, ServingClient
from ..sound.framing import BlockProcessor
from ..sound.mid_side import Pairs
from .base import Runner, RunnerOptions
from .locate import Located


class ServingRunner(Runner):
    """Runs a model on TensorFlow Serving, with several windows in flight.

    A signal is restored with one version of the model, even if a newer one is loaded in the meantime. The next signal
    uses the newest version.

    Args:
        server: URL such as `"grpc://localhost:8500/paired_resnet_bands_44k"`, `".../MODEL@VERSION"`,
            `".../MODEL:LABEL"` or `"http://..."`; or a `ServingClient`, which several runners may share.
        options: options of the connection. They are ignored if `server` is a `ServingClient`.

    Raises:
        UsageError: the URL is invalid.
        ServerError: the server is not reachable, or its model was not made by `keras-audiosr serve bundle`.

    Example:

    >>> ServingRunner("grpc://localhost:8500/paired_resnet_bands_44k").run(lossy)  # doctest: +SKIP
    """

    def __init__(self, server: str | ServingClient, options: ServerOptions | None = None):
        self.client = server if isinstance(server, ServingClient) else ServingClient(server, options)
        described = self.client.describe()
        super().__init__(described.facts)
        self.served_version = described.version
        self.in_flight = self.client.options.in_flight

    @classmethod
    def open(cls, located: Located, options: RunnerOptions) -> "ServingRunner":
        """Opens a model that `locate` found. The options of the server are in its `serving.Server`."""
        server = located.server or Server(located.name)
        return cls(server.url, server.options)

    def processor(
        self,
        channels: int,
        sample_rate: int | None = None,
        path: str | os.PathLike[str] | None = None,
        pairs: Pairs | None = None,
    ) -> BlockProcessor:
        """Returns a `BlockProcessor` that restores one signal with the version that is served now."""
        return super(ServingRunner, ServingRunner(self.client)).processor(channels, sample_rate, path, pairs)

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network on `(batch, window_length, 1)`; several threads may call it."""
        try:
            return self.client.predict(windows, self.served_version)
        except ServerError as error:
            if error.code != "NOT_FOUND":
                raise
            raise ServerError(
                f"one version must restore a whole file; {self.client.address}: version {self.served_version} is"
                " no longer served; restore again, and keep two versions loaded (models.config: num_versions: 2)",
                error.code,
            ) from error
