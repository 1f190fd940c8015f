"""What `export` runs in a child process: conversion, and the proof that it changed nothing.

The SavedModel is written by `keras.export.ExportArchive` and converted from
there. The shorter ways (`TFLiteConverter.from_keras_model`, concrete functions
over Keras variables, `tf.saved_model.save`) abort the process under TF 2.16.
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
# Largest difference allowed to the Keras model, full scale being 1: half an LSB of 13 bits,
# about 100 times what rounding in float32 was measured to give.
TOLERANCE = 1e-4
# The batch of TFLite is fixed: static shapes are what lets XNNPACK take the whole graph.
STATIC_SIGNATURE = "window"
STEP_SIGNATURE = "step"


def convert(source: StrPath, folder: StrPath, hops: str = "") -> None:
    """Writes SavedModel, TFLite, weights and `metadata.json` of a network into a folder, and checks them.

    Args:
        source: a run folder, a `.keras` file in one, or an exported model with its weights.
        folder: an existing, empty folder.
        hops: samples a step of the streaming artefacts, with commas between them.

    Raises:
        ArtifactError: not loadable, a layer that cannot be streamed, or an artefact differs from the Keras model by
            more than 1e-4.
        UsageError: a step that is no multiple of the network's hop.
    """
    folder = Path(folder)
    keras_runner = KerasRunner(source)
    steps = [int(hop) for hop in hops.split(",") if hop]
    grid = keras_runner.hop_length
    for hop in steps:
        if hop < 1 or hop % grid:
            raise UsageError(
                f"a streaming step is a multiple of the model's hop, {grid} samples; received {hop};"
                f" try {max(1, round(hop / grid)) * grid}"
            )
    write_artifacts(keras_runner, folder)
    streaming = dict(write_stream(keras_runner, hop, folder) for hop in steps)
    metadata = write_metadata(keras_runner, folder, streaming)
    # Again, with the result: the runners that are compared read this file.
    metadata["worst_difference"] = worst_differences(keras_runner, folder, streaming)
    (folder / METADATA).write_text(json.dumps(metadata), "utf-8")


def write_metadata(runner: KerasRunner, folder: Path, streaming: dict | None = None) -> dict:
    """Writes what every runner reads of an artefact, with size and SHA-256 of each file that lies there; returns it."""
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
    """Writes `1/`, `model.tflite` and `model.weights.h5`."""
    import keras
    import tensorflow as tf

    def restore(lossy: Tensor) -> dict[str, Tensor]:
        return {"restored": runner.model(lossy, training=False)}

    archive = keras.export.ExportArchive()
    # No archive.track(model): the endpoints bring their variables along, and both would write them twice.
    for name, batch in ((SIGNATURE, None), (STATIC_SIGNATURE, 1)):
        window = tf.TensorSpec((batch, runner.window_length, 1), tf.float32, name="lossy")
        archive.add_endpoint(name, restore, input_signature=[window])
    archive.write_out(str(folder / SAVED_MODEL), verbose=False)

    (folder / TFLITE).write_bytes(_to_tflite(folder / SAVED_MODEL, STATIC_SIGNATURE))
    runner.model.save_weights(folder / WEIGHTS)


def write_stream(runner: KerasRunner, hop_length: int, folder: Path) -> tuple[str, dict]:
    """Writes `stream_<hop_length>.tflite`: `step(lossy, state) -> (restored, state)`.

    Returns:
        Its name, and what `metadata.json` says of it under `streaming`.

    Raises:
        ArtifactError: a layer that cannot be streamed.
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
        # A sample waits for the end of its block, and then for the network's lookahead.
        "algorithmic_latency": heard,
        "algorithmic_latency_ms": round(1000 * heard / runner.sample_rate, 1),
        "warm_up": model.warm_up,
        "states": [{"name": "state", "shape": list(model.state_shape)}],
        "state_bytes": 4 * model.state_shape[1],
    }


def _to_tflite(saved_model: StrPath, signature: str) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[signature])
    # Plain ops only: conversion fails if the graph needs any that LiteRT does not bring.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert()


def worst_differences(reference: KerasRunner, folder: Path, streams: Iterable[str] = ()) -> dict[str, float]:
    """Largest absolute difference of each artefact to the Keras model, on sounds of several kinds.

    Raises:
        ArtifactError: one of them is above 1e-4.
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
        # The same sounds one after the other, as a song that ends in the middle of a hop.
        song = windows[:, : reference.window_length // len(windows)].reshape(-1, 1)[:-100]
        expected = reference.run(song)
        for file in streams:
            worst[Path(file).stem] = _difference(file, StreamingRunner(folder, file).run(song), expected)
    return worst


def _difference(name: str, restored: np.ndarray, expected: np.ndarray) -> float:
    worst = float(np.abs(restored - expected).max())
    # Written so that NaN fails too.
    if not worst <= TOLERANCE:
        raise ArtifactError(
            f"an exported model must equal its checkpoint to {TOLERANCE:g}; {name} differs by {worst:.3g};"
            " look for an op that converts wrongly"
        )
    return worst
