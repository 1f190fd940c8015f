"""Windows to a server and back: deadlines, retries, message sizes, and the 16-bit path."""

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

# The signatures of a bundle.
SIGNATURE, PCM16_SIGNATURE, DESCRIBE_SIGNATURE = "serving_default", "restore_pcm16", "describe"
# Windows that one request may hold: the largest batch that a bundle's batching.config lets through.
MAX_BATCH = 8
# Full scale of 16-bit samples, as libsndfile and FFmpeg have it.
PCM16_SCALE = 32768.0
# What a later attempt may fix. Everything else would fail again.
RETRIED = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
# Seconds: the first wait between attempts, and the longest.
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
# Seconds for the first word with a server, with retries: who types a wrong address wants to know soon.
HELLO_DEADLINE = 5.0


@dataclasses.dataclass(frozen=True)
class Description:
    """What a served model says of itself.

    Attributes:
        facts: those of the model; their version is that of its weights.
        version: the served version that answered.
    """

    facts: ModelFacts
    version: int


class ServingClient:
    """A connection to a model on TensorFlow Serving; any number of threads may use it.

    Args:
        server: URL, such as `"grpc://localhost:8500/paired_resnet_bands_44k"` (`ServerAddress.parse`).
        options: deadlines, message sizes, TLS, headers; the defaults when `None`.

    Raises:
        UsageError: a URL that is none, or certificates that do not fit.
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
        """Ends the connection."""
        self._transport.close()

    def describe(self) -> Description:
        """Asks the model what it is; with `server` naming no version, the newest that is loaded answers.

        Raises:
            ServerError: not reachable within 5 s (or the deadline, if shorter), or not a bundle's model.
            ArtifactError: lengths that do not fit each other.
        """
        seconds = min(self.options.deadline, HELLO_DEADLINE)
        found, version = self._call(self.address, DESCRIBE_SIGNATURE, {"row": np.zeros(1, np.int32)}, seconds)
        try:
            told = {key: found[key][0] for key in ("name", "weights", "version", *NUMBERS)}
            numbers = {key: int(told[key]) for key in NUMBERS}
            answered = int(told["version"]) if version is None else version
            # Bundles of before do not tell.
            undo_encoder_gain = bool(int(found.get(UNDO_ENCODER_GAIN, [0])[0]))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise failure(self.address, "INVALID_ARGUMENT", f"its {DESCRIBE_SIGNATURE!r} tells too little") from error
        # Before anything is allocated by it.
        self._windows_a_message(self.address, numbers["window_length"])
        name, weights = _text(told["name"]), _text(told["weights"])
        facts = ModelFacts(name, **numbers, undo_encoder_gain=undo_encoder_gain, version=weights)
        return Description(facts, answered)

    def predict(self, windows: np.ndarray, version: int | None = None) -> np.ndarray:
        """Runs the network once.

        Args:
            windows: array `(batch, window_length, 1)` float32 at the model's sample rate. More than 8, or than fit
                a message, go in several requests, one after the other.
            version: the version that is to run; what the URL says when `None`.

        Returns:
            Array of the same shape.

        Raises:
            ServerError: the last attempt's failure.
        """
        address = self.address
        if version is not None:
            address = dataclasses.replace(address, version=version, label=None)
        size = min(MAX_BATCH, self._windows_a_message(address, windows.shape[1]))
        parts = [windows[start : start + size] for start in range(0, len(windows), size)]
        run = self._predict_pcm16 if self.options.pcm16 else self._predict_float
        return np.concatenate([run(address, part) for part in parts]) if parts else windows

    def _windows_a_message(self, address: ServerAddress, window_length: int) -> int:
        # 4 KiB: names, shapes and the like.
        room = self.options.max_message - 4096
        count = int(room // (max(window_length, 1) * self._transport.bytes_per_sample(self.options.pcm16)))
        if count < 1:
            raise failure(
                address, "OUT_OF_RANGE", f"a window does not fit a message of {self.options.max_message} bytes"
            )
        return count

    def _predict_float(self, address: ServerAddress, windows: np.ndarray) -> np.ndarray:
        found, _ = self._call(address, SIGNATURE, {"lossy": windows}, self.options.deadline)
        try:
            restored = np.asarray(found.get("restored", found.get("")), np.float32)
        except ValueError:
            restored = np.zeros(0, np.float32)
        if restored.shape != windows.shape:
            raise failure(address, "INVALID_ARGUMENT", f"{windows.shape} was sent and {restored.shape} came back")
        return restored

    def _predict_pcm16(self, address: ServerAddress, windows: np.ndarray) -> np.ndarray:
        pcm = np.clip(np.rint(windows * PCM16_SCALE), -PCM16_SCALE, PCM16_SCALE - 1).astype("<i2")
        sent = {"lossy": [window.tobytes() for window in pcm]}
        found, _ = self._call(address, PCM16_SIGNATURE, sent, self.options.deadline)
        try:
            rows = found["restored_bytes"] if "restored_bytes" in found else found[""]
            content = b"".join(base64.b64decode(row["b64"]) if isinstance(row, dict) else row for row in rows)
        except (KeyError, TypeError, binascii.Error) as error:
            raise failure(address, "INVALID_ARGUMENT", "no 16-bit samples came back") from error
        if len(content) != pcm.nbytes:
            raise failure(address, "INVALID_ARGUMENT", f"{pcm.nbytes} bytes were sent and {len(content)} came back")
        return (np.frombuffer(content, "<i2").reshape(windows.shape) / PCM16_SCALE).astype(np.float32)

    def _call(self, address: ServerAddress, signature: str, inputs: dict, seconds: float) -> tuple[dict, int | None]:
        """Calls until it succeeds, fails for good, or the seconds are over."""
        end = time.monotonic() + seconds
        wait = FIRST_WAIT
        while True:
            try:
                return self._transport.call(address, signature, inputs, max(end - time.monotonic(), 1e-3))
            except ServerError as error:
                # Spread, so that those who failed together do not come back together.
                pause = random.uniform(0.5, 1.0) * wait
                if error.code not in RETRIED or time.monotonic() + pause >= end:
                    raise
            time.sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
