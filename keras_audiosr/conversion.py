"""What `export` runs in a child process: conversion, and the proof that it changed nothing.

The SavedModel is written by `keras.export.ExportArchive` and converted from
there. The shorter ways (`TFLiteConverter.from_keras_model`, concrete functions
over Keras variables, `tf.saved_model.save`) abort the process under TF 2.16.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from .errors import ArtifactError
from .runners.artifact import METADATA
from .runners.keras import KerasRunner
from .runners.litert import TFLITE, LiteRTRunner
from .runners.saved_model import SIGNATURE, SavedModelRunner

SAVED_MODEL = "1"
WEIGHTS = "model.weights.h5"
# Largest difference allowed to the Keras model, full scale being 1: half an LSB of 13 bits,
# about 100 times what rounding in float32 was measured to give.
TOLERANCE = 1e-4
# The batch of TFLite is fixed: static shapes are what lets XNNPACK take the whole graph.
STATIC_SIGNATURE = "window"


def convert(checkpoint, folder) -> None:
    """Writes SavedModel, TFLite, weights and `metadata.json` of a checkpoint into a folder, and checks them.

    Args:
        checkpoint: the `.keras` file, in its run folder.
        folder: an existing, empty folder.

    Raises:
        ArtifactError: not loadable, or an artefact differs from the Keras model by more than 1e-4.
    """
    folder = Path(folder)
    keras_runner = KerasRunner(checkpoint)
    write_artifacts(keras_runner, folder)
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    metadata = {
        "name": keras_runner.name,
        "package": "keras_audiosr",
        "sample_rate": keras_runner.sample_rate,
        "channels": 1,
        "window_length": keras_runner.window_length,
        "context": keras_runner.context,
        "hop_length": keras_runner.hop_length,
        "signature": {"name": SIGNATURE, "input": "lossy", "output": "restored"},
        "parameters": keras_runner.model.count_params(),
        "files": {name: _describe((folder / name).read_bytes()) for name in names},
    }
    # First without the result: the runners that are compared read this file.
    (folder / METADATA).write_text(json.dumps(metadata), "utf-8")
    metadata["worst_difference"] = worst_differences(keras_runner, folder)
    (folder / METADATA).write_text(json.dumps(metadata), "utf-8")


def _describe(content: bytes) -> dict:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def write_artifacts(runner: KerasRunner, folder: Path) -> None:
    """Writes `1/`, `model.tflite` and `model.weights.h5`."""
    import keras
    import tensorflow as tf

    def restore(lossy):
        return {"restored": runner.model(lossy, training=False)}

    archive = keras.export.ExportArchive()
    # No archive.track(model): the endpoints bring their variables along, and both would write them twice.
    for name, batch in ((SIGNATURE, None), (STATIC_SIGNATURE, 1)):
        window = tf.TensorSpec((batch, runner.window_length, 1), tf.float32, name="lossy")
        archive.add_endpoint(name, restore, input_signature=[window])
    archive.write_out(str(folder / SAVED_MODEL), verbose=False)

    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / SAVED_MODEL), signature_keys=[STATIC_SIGNATURE])
    # Plain ops only: conversion fails if the graph needs any that LiteRT does not bring.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    (folder / TFLITE).write_bytes(converter.convert())
    runner.model.save_weights(folder / WEIGHTS)


def worst_differences(reference: KerasRunner, folder: Path) -> dict[str, float]:
    """Largest absolute difference of each artefact to the Keras model, on windows of several kinds.

    Raises:
        ArtifactError: one of them is above 1e-4.
    """
    windows = probe_windows(reference.window_length, reference.sample_rate)
    expected = reference.predict(windows)
    worst = {}
    for name, runner in (("tflite", LiteRTRunner(folder)), ("saved_model", SavedModelRunner(folder / SAVED_MODEL))):
        worst[name] = float(np.abs(runner.predict(windows) - expected).max())
        # Written so that NaN fails too.
        if not worst[name] <= TOLERANCE:
            raise ArtifactError(
                f"an exported model must equal its checkpoint to {TOLERANCE:g}; {name} differs by {worst[name]:.3g};"
                " look for an op that converts wrongly"
            )
    return worst


def probe_windows(window_length: int, sample_rate: int) -> np.ndarray:
    """Windows to compare runners on: noise, music-like chords cut at 11 kHz (loud, and 60 dB down), half silence.

    Returns:
        Array `(4, window_length, 1)` float32.
    """
    generator = np.random.default_rng(0)
    time = np.arange(window_length) / sample_rate
    noise = 0.3 * generator.standard_normal(window_length)
    music = 0.02 * generator.standard_normal(window_length)
    for frequency in 110.0 * 2 ** (generator.integers(0, 60, size=12) / 12):
        music += 0.05 * np.exp(-3 * (time % 0.25)) * np.sin(2 * np.pi * frequency * time)
    spectrum = np.fft.rfft(music)
    spectrum[np.fft.rfftfreq(window_length, 1 / sample_rate) > 11_000] = 0
    music = np.fft.irfft(spectrum, window_length)
    half = np.where(np.arange(window_length) < window_length // 2, music, 0.0)
    return np.stack([noise, music, 1e-3 * music, half])[:, :, None].astype(np.float32)
