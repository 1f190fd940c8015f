"""Adds the signatures of a server to an exported SavedModel. `serve bundle` runs this in a child process.

`serving_default` is the network as it was exported. `restore_pcm16` takes and returns 16-bit samples as byte strings,
which REST encodes as base64. `describe` returns the facts about the model, so a client needs only the URL.

Every signature takes and returns one row for each window, because the server's batching concatenates requests along
this dimension. The server's REST API refuses a signature without inputs, so `describe` has an input too. Only
TensorFlow's own ops are used. None of them writes raw bytes, so these are cut from the end of the message of
`SerializeTensor`, where they are the last field.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..annotations import StrPath, Tensor
from ..errors import ArtifactError
from .client import DESCRIBE_SIGNATURE, MAX_BATCH, PCM16_SCALE, PCM16_SIGNATURE, SIGNATURE
from .protos import DT_FLOAT, DT_INT32, DT_STRING, PredictionLog

# Batch sizes of the server. It pads a batch to the next of these sizes, and each size has warm-up requests.
BATCH_SIZES = tuple(size for size in (1, 2, 4, 8, 16, 32) if size <= MAX_BATCH)
WARMUP = "assets.extra/tf_serving_warmup_requests"
# Largest allowed difference from the exported network, relative to full scale.
TOLERANCE = 1e-5


def write_served_model(source: StrPath, target: StrPath, facts: str) -> None:
    """Writes a SavedModel with the three signatures and warm-up requests, checks it, and prints TensorFlow's version.

    Args:
        source: the exported SavedModel.
        target: folder to write. Its name is the version.
        facts: JSON of the values that `describe` returns: `name`, `sample_rate`, `window_length`, `context`,
            `hop_length`, `overlap`, `version`, `weights`, `undo_encoder_gain` (0 or 1).

    Raises:
        ArtifactError: the output of a signature differs from that of the exported network.
    """
    import tensorflow as tf

    told = json.loads(facts)
    length = told["window_length"]
    loaded = tf.saved_model.load(str(source))
    network = loaded.signatures[SIGNATURE]

    def restore(lossy: Tensor) -> dict[str, Tensor]:
        # A session accepts any shape for a placeholder. With this check a wrong shape fails here with a clear message.
        return {"restored": network(lossy=tf.ensure_shape(lossy, (None, length, 1)))["restored"]}

    def restore_pcm16(lossy: Tensor) -> dict[str, Tensor]:
        pcm = tf.ensure_shape(tf.io.decode_raw(lossy, tf.int16), (None, length))
        audio = tf.cast(pcm, tf.float32)[:, :, None] / PCM16_SCALE
        restored = tf.round(network(lossy=audio)["restored"][:, :, 0] * PCM16_SCALE)
        restored = tf.cast(tf.clip_by_value(restored, -PCM16_SCALE, PCM16_SCALE - 1), tf.int16)
        count = tf.shape(restored)[0]
        ends = 2 * length * tf.range(count, 0, -1)
        rows = tf.strings.substr(tf.io.serialize_tensor(restored), -ends, tf.fill([count], 2 * length))
        # REST encodes an output as base64 only if its name ends in _bytes.
        return {"restored_bytes": rows}

    def describe(row: Tensor) -> dict[str, Tensor]:
        return {key: tf.fill(tf.shape(row), _constant(tf, key, value)) for key, value in told.items()}

    def signature(function: Callable[..., Any], shape: Any, dtype: Any, name: str) -> Any:
        return tf.function(function, input_signature=[tf.TensorSpec(shape, dtype, name=name)])

    module = tf.Module()
    module.network = loaded  # must stay alive, because it owns the variables
    signatures = {
        SIGNATURE: signature(restore, (None, length, 1), tf.float32, "lossy"),
        PCM16_SIGNATURE: signature(restore_pcm16, (None,), tf.string, "lossy"),
        DESCRIBE_SIGNATURE: signature(describe, (None,), tf.int32, "row"),
    }
    tf.saved_model.save(module, str(target), signatures=signatures)
    _check(network, tf.saved_model.load(str(target)), told)

    path = Path(target) / WARMUP
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in warmup_records(told["name"], length):
            writer.write(record.SerializeToString())
    print(tf.__version__)


def _constant(tf: Any, key: str, value: Any) -> Any:
    return tf.constant(value, tf.string if isinstance(value, str) else tf.int64 if key == "version" else tf.int32)


def warmup_records(model: str, window_length: int) -> list:
    """Returns a `PredictionLog` for each signature and batch size, which the server runs before it is available.

    The inputs are silence. They use the short form of a tensor, in which the last value is repeated to fill the shape.
    """
    records = []
    for size in BATCH_SIZES:
        for signature, name, shape, value in (
            (SIGNATURE, "lossy", (size, window_length, 1), {"dtype": DT_FLOAT, "float_val": bytes(4)}),
            (PCM16_SIGNATURE, "lossy", (size,), {"dtype": DT_STRING, "string_val": [bytes(2 * window_length)]}),
            (DESCRIBE_SIGNATURE, "row", (size,), {"dtype": DT_INT32, "int_val": [0]}),
        ):
            record = PredictionLog()
            request = record.predict_log.request
            request.model_spec.name = model
            request.model_spec.signature_name = signature
            tensor = request.inputs.add(key=name).value
            tensor.MergeFrom(type(tensor)(**value))
            for length in shape:
                tensor.tensor_shape.dim.add(size=length)
            records.append(record)
    return records


def _check(network: Any, served: Any, told: dict) -> None:
    """Compares the saved signatures with the exported network, on Gaussian noise with an RMS of 0.15 of full scale."""
    import tensorflow as tf

    noise = np.random.default_rng(0).standard_normal((2, told["window_length"], 1))
    pcm = np.clip(np.rint(0.15 * PCM16_SCALE * noise), -PCM16_SCALE, PCM16_SCALE - 1).astype("<i2")
    windows = (pcm / PCM16_SCALE).astype(np.float32)
    expected = network(lossy=tf.constant(windows))["restored"].numpy()
    restored = served.signatures[SIGNATURE](lossy=tf.constant(windows))["restored"].numpy()
    rows = served.signatures[PCM16_SIGNATURE](lossy=tf.constant([row.tobytes() for row in pcm]))["restored_bytes"]
    samples = np.frombuffer(b"".join(rows.numpy()), "<i2").reshape(windows.shape)
    clipped = np.clip(expected * PCM16_SCALE, -PCM16_SCALE, PCM16_SCALE - 1)
    worst = {
        SIGNATURE: float(np.abs(restored - expected).max()) / TOLERANCE,
        PCM16_SIGNATURE: float(np.abs(samples - clipped).max()),
    }
    for name, difference in worst.items():
        # With this form of the comparison NaN fails too.
        if not difference <= 1:
            unit = f"times {TOLERANCE:g}" if name == SIGNATURE else "steps of 16 bits"
            raise ArtifactError(
                f"a served model must equal its export; signature {name!r} differs by {difference:.3g} {unit};"
                " export the model again"
            )
    described = served.signatures[DESCRIBE_SIGNATURE](row=tf.zeros(2, tf.int32))
    for key, value in told.items():
        found = described[key].numpy()[1]
        if (found.decode("utf-8") if isinstance(value, str) else found) != value:
            raise ArtifactError(f"{DESCRIBE_SIGNATURE!r} must return {key} {value}; it returns {found}; bundle again")
