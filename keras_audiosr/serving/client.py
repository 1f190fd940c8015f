"""The client of a served model. It handles deadlines, retries, message sizes and 16-bit samples."""

import base64
import binascii
import dataclasses
import random
import time

import numpy as np

from ..errors import ServerError
from ..presets.facts import NUMBERS, UNDO_ENCODER_GAIN, ModelFacts
from .address import ServerAddress, ServerOptions
from .transports import connect, failure

# The names of the signatures of a bundle.
SIGNATURE, PCM16_SIGNATURE, DESCRIBE_SIGNATURE = "serving_default", "restore_pcm16", "describe"
# Largest number of windows in one request. It is the largest batch that a bundle's batching.config allows.
MAX_BATCH = 8
# Full scale of 16-bit samples, as in libsndfile and FFmpeg.
PCM16_SCALE = 32768.0
# Status codes of failures that a retry may fix. All others would occur again.
RETRIED = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
# The first and the longest wait between attempts, in seconds.
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
# Time limit of `describe` in seconds, including retries. It is short, so that a wrong address is reported soon.
HELLO_DEADLINE = 5.0


@dataclasses.dataclass(frozen=True)
class Description:
    """The description of a served model, as the server returns it.

    Attributes:
        facts: the facts of the model. Their version identifies its weights.
        version: number of the served version that answered.
    """

    facts: ModelFacts
    version: int


class ServingClient:
    """A connection to a model on TensorFlow Serving; any number of threads may use it.

    Args:
        server: URL, such as `"grpc://localhost:8500/paired_resnet_bands_44k"` (`ServerAddress.parse`).
        options: options of the connection; the defaults if `None`.

    Raises:
        UsageError: the URL is invalid, certificates are given for a connection without TLS or are not valid, or a
            Python package is missing.
    """

    def __init__(self, server: str, options: ServerOptions | None = None):
        self.address = ServerAddress.parse(server)
        self.options = options or ServerOptions()
        self._transport = connect(self.address, self.options)

    def __enter__(self) -> "ServingClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

    def describe(self) -> Description:
        """Requests the description of the model. If the URL names no version, the newest loaded version answers.

        Raises:
            ServerError: the server is not reachable within 5 s (or the deadline, if it is shorter), its model does not
                come from a bundle, or a window does not fit into a message.
            ArtifactError: the lengths in the description are inconsistent.
        """
        seconds = min(self.options.deadline, HELLO_DEADLINE)
        found, version = self._call(self.address, DESCRIBE_SIGNATURE, {"row": np.zeros(1, np.int32)}, seconds)
        try:
            told = {key: found[key][0] for key in ("name", "weights", "version", *NUMBERS)}
            numbers = {key: int(told[key]) for key in NUMBERS}
            answered = int(told["version"]) if version is None else version
            # Older bundles do not have this entry.
            undo_encoder_gain = bool(int(found.get(UNDO_ENCODER_GAIN, [0])[0]))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise failure(self.address, "INVALID_ARGUMENT", f"its {DESCRIBE_SIGNATURE!r} lacks an entry") from error
        # This check comes before anything of the size of a window is allocated.
        self._windows_a_message(self.address, numbers["window_length"])
        name, weights = _text(told["name"]), _text(told["weights"])
        facts = ModelFacts(name, **numbers, undo_encoder_gain=undo_encoder_gain, version=weights)
        return Description(facts, answered)

    def predict(self, windows: np.ndarray, version: int | None = None) -> np.ndarray:
        """Runs the network once.

        Args:
            windows: array `(batch, window_length, 1)` float32 at the model's sample rate. If there are more than 8
                windows, or more than fit into a message, they are sent in several requests one after the other.
            version: number of the version to run; the version in the URL if `None`.

        Returns:
            Array of the same shape, float32.

        Raises:
            ServerError: a request and its retries failed.
        """
        address = self.address
        if version is not None:
            address = dataclasses.replace(address, version=version, label=None)
        size = min(MAX_BATCH, self._windows_a_message(address, windows.shape[1]))
        parts = [windows[start : start + size] for start in range(0, len(windows), size)]
        run = self._predict_pcm16 if self.options.pcm16 else self._predict_float
        return np.concatenate([run(address, part) for part in parts]) if parts else windows

    def _windows_a_message(self, address: ServerAddress, window_length: int) -> int:
        # 4 KiB are reserved for names, shapes and other fields of a message.
        room = self.options.max_message - 4096
        count = int(room // (max(window_length, 1) * self._transport.bytes_per_sample(self.options.pcm16)))
        if count < 1:
            raise failure(
                address, "OUT_OF_RANGE", f"a window does not fit into a message of {self.options.max_message} bytes"
            )
        return count

    def _predict_float(self, address: ServerAddress, windows: np.ndarray) -> np.ndarray:
        found, _ = self._call(address, SIGNATURE, {"lossy": windows}, self.options.deadline)
        try:
            restored = np.asarray(found.get("restored", found.get("")), np.float32)
        except ValueError:
            restored = np.zeros(0, np.float32)
        if restored.shape != windows.shape:
            raise failure(address, "INVALID_ARGUMENT", f"sent shape {windows.shape}, received {restored.shape}")
        return restored

    def _predict_pcm16(self, address: ServerAddress, windows: np.ndarray) -> np.ndarray:
        pcm = np.clip(np.rint(windows * PCM16_SCALE), -PCM16_SCALE, PCM16_SCALE - 1).astype("<i2")
        sent = {"lossy": [window.tobytes() for window in pcm]}
        found, _ = self._call(address, PCM16_SIGNATURE, sent, self.options.deadline)
        try:
            rows = found["restored_bytes"] if "restored_bytes" in found else found[""]
            content = b"".join(base64.b64decode(row["b64"]) if isinstance(row, dict) else row for row in rows)
        except (KeyError, TypeError, binascii.Error) as error:
            raise failure(address, "INVALID_ARGUMENT", "the response has no 16-bit samples") from error
        if len(content) != pcm.nbytes:
            raise failure(address, "INVALID_ARGUMENT", f"sent {pcm.nbytes} bytes, received {len(content)}")
        return (np.frombuffer(content, "<i2").reshape(windows.shape) / PCM16_SCALE).astype(np.float32)

    def _call(self, address: ServerAddress, signature: str, inputs: dict, seconds: float) -> tuple[dict, int | None]:
        """Calls a signature until the call succeeds, fails with a permanent error, or the time is over."""
        end = time.monotonic() + seconds
        wait = FIRST_WAIT
        while True:
            try:
                return self._transport.call(address, signature, inputs, max(end - time.monotonic(), 1e-3))
            except ServerError as error:
                # The wait is random, so that clients that failed together do not all retry together.
                pause = random.uniform(0.5, 1.0) * wait
                if error.code not in RETRIED or time.monotonic() + pause >= end:
                    raise
            time.sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
