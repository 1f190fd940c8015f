"""Converts a network, and checks that the result equals the Keras model. `export` runs this in a child process.

`keras.export.ExportArchive` writes the SavedModel, which is then converted to TFLite. The shorter ways
(`TFLiteConverter.from_keras_model`, concrete functions over Keras variables, `tf.saved_model.save`) abort the process
under TensorFlow 2.16.
"""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..annotations import StrPath, Tensor
from ..errors import ArtifactError, UsageError
from ..runners.artifact import FORMAT, METADATA, describe
from ..runners.keras import KerasRunner
from ..runners.litert import TFLITE, LiteRTRunner
from ..runners.pretrained import WEIGHTS
from ..runners.saved_model import SIGNATURE, SavedModelRunner
from ..runners.streaming import StreamingRunner
from ..sound.examples import example_windows
from ..streaming import StreamingModel

SAVED_MODEL = "1"
# Largest allowed difference from the Keras model, where full scale is 1. It is about half an LSB of 13 bits, and about
# 100 times the rounding errors that were measured in float32.
TOLERANCE = 1e-4
# TFLite has a fixed batch size, because XNNPACK runs the whole graph only if all shapes are static.
STATIC_SIGNATURE = "window"
STEP_SIGNATURE = "step"


def convert(source: StrPath, folder: StrPath, hops: str = "") -> None:
    """Writes SavedModel, TFLite, weights and `metadata.json` of a network into a folder, and checks them.

    Args:
        source: a run folder, a `.keras` file in one, or an exported model with its weights.
        folder: an existing, empty folder.
        hops: step lengths in samples of the streaming artefacts, separated by commas.

    Raises:
        ArtifactError: the source cannot be loaded, a layer cannot be streamed, or an artefact differs from the Keras
            model by more than 1e-4.
        UsageError: a step is not a multiple of the network's hop.
    """
    folder = Path(folder)
    keras_runner = KerasRunner(source)
    steps = [int(hop) for hop in hops.split(",") if hop]
    grid = keras_runner.hop_length
    for hop in steps:
        if hop < 1 or hop % grid:
            raise UsageError(
                f"a streaming step must be a multiple of the model's hop, {grid} samples; received {hop};"
                f" try {max(1, round(hop / grid)) * grid}"
            )
    write_artifacts(keras_runner, folder)
    streaming = dict(write_stream(keras_runner, hop, folder) for hop in steps)
    metadata = write_metadata(keras_runner, folder, streaming)
    # The file is written a second time with the result, because the runners that are compared read it.
    metadata["worst_difference"] = worst_differences(keras_runner, folder, streaming)
    (folder / METADATA).write_text(json.dumps(metadata), "utf-8")


def write_metadata(runner: KerasRunner, folder: Path, streaming: dict | None = None) -> dict:
    """Writes and returns the metadata that runners read, with the size and SHA-256 of each file in the folder."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    metadata = {
        "package": "keras_audiosr",
        "format": FORMAT,
        **runner.facts.recorded(),
        "channels": 1,
        "signature": {"name": SIGNATURE, "input": "lossy", "output": "restored"},
        "parameters": runner.model.count_params(),
        "files": {name: describe((folder / name).read_bytes()) for name in names},
    }
    if streaming:
        metadata["streaming"] = streaming
    (folder / METADATA).write_text(json.dumps(metadata), "utf-8")
    return metadata


def write_artifacts(runner: KerasRunner, folder: Path) -> None:
    """Writes the SavedModel `1/`, `model.tflite` and `model.weights.h5`."""
    import keras
    import tensorflow as tf

    def restore(lossy: Tensor) -> dict[str, Tensor]:
        return {"restored": runner.model(lossy, training=False)}

    archive = keras.export.ExportArchive()
    # archive.track(model) is not called: the endpoints already track the variables, and both would write them twice.
    for name, batch in ((SIGNATURE, None), (STATIC_SIGNATURE, 1)):
        window = tf.TensorSpec((batch, runner.window_length, 1), tf.float32, name="lossy")
        archive.add_endpoint(name, restore, input_signature=[window])
    archive.write_out(str(folder / SAVED_MODEL), verbose=False)

    (folder / TFLITE).write_bytes(_to_tflite(folder / SAVED_MODEL, STATIC_SIGNATURE))
    runner.model.save_weights(folder / WEIGHTS)


def write_stream(runner: KerasRunner, hop_length: int, folder: Path) -> tuple[str, dict]:
    """Writes `stream_<hop_length>.tflite`, whose signature is `step(lossy, state) -> (restored, state)`.

    Returns:
        The name of the file, and its entry under `streaming` in `metadata.json`.

    Raises:
        ArtifactError: a layer cannot be streamed.
    """
    import keras
    import tensorflow as tf

    model = StreamingModel(runner.model, hop_length)

    def step(lossy: Tensor, state: Tensor) -> dict[str, Tensor]:
        return dict(zip(("restored", "state"), model.step(lossy, state), strict=True))

    archive = keras.export.ExportArchive()
    block = tf.TensorSpec((1, hop_length, 1), tf.float32, name="lossy")
    state = tf.TensorSpec(model.state_shape, tf.float32, name="state")
    archive.add_endpoint(STEP_SIGNATURE, step, input_signature=[block, state])
    name = f"stream_{hop_length}.tflite"
    with tempfile.TemporaryDirectory() as place:
        archive.write_out(place, verbose=False)
        (folder / name).write_bytes(_to_tflite(place, STEP_SIGNATURE))
    heard = model.latency + hop_length
    return name, {
        "signature": STEP_SIGNATURE,
        "hop_length": hop_length,
        "latency": model.latency,
        # A sample waits until its block is complete, and then for the network's lookahead.
        "algorithmic_latency": heard,
        "algorithmic_latency_ms": round(1000 * heard / runner.sample_rate, 1),
        "warm_up": model.warm_up,
        "states": [{"name": "state", "shape": list(model.state_shape)}],
        "state_bytes": 4 * model.state_shape[1],
    }


def _to_tflite(saved_model: StrPath, signature: str) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[signature])
    # Only built-in ops are allowed, so conversion fails if the graph needs an op that LiteRT does not have.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert()


def worst_differences(reference: KerasRunner, folder: Path, streams: Iterable[str] = ()) -> dict[str, float]:
    """Returns the largest absolute difference of each artefact from the Keras model, on several kinds of sounds.

    Args:
        reference: the Keras model.
        folder: the folder of the artefacts.
        streams: file names of the streaming artefacts.

    Raises:
        ArtifactError: a difference is above 1e-4.
    """
    windows = example_windows(reference.window_length, reference.sample_rate)
    expected = reference.predict(windows)
    worst = {}
    for name, runner in (
        ("tflite", LiteRTRunner(folder)),
        ("saved_model", SavedModelRunner(folder / SAVED_MODEL, trust=True)),
    ):
        worst[name] = _difference(name, runner.predict(windows), expected)
    if streams:
        # The same sounds are joined to a song that ends in the middle of a hop.
        song = windows[:, : reference.window_length // len(windows)].reshape(-1, 1)[:-100]
        expected = reference.run(song)
        for file in streams:
            worst[Path(file).stem] = _difference(file, StreamingRunner(folder, file).run(song), expected)
    return worst


def _difference(name: str, restored: np.ndarray, expected: np.ndarray) -> float:
    worst = float(np.abs(restored - expected).max())
    # The condition is negated so that NaN fails too.
    if not worst <= TOLERANCE:
        raise ArtifactError(
            f"an exported model must equal its checkpoint within {TOLERANCE:g}; {name} differs by {worst:.3g};"
            " look for an op that is converted wrongly"
        )
    return worst
