"""A real but tiny trained-model stand-in, exported once for every test file that needs one."""

import functools
import json
import tempfile
from pathlib import Path

HOP = 256
CONTEXT = 512
WINDOW = 4096


def write_run(folder: Path, scale: float = 0.02) -> Path:
    """A run folder as `train` leaves it: one convolution over frames of 256 samples, added to the input."""
    import keras

    keras.utils.set_random_seed(0)
    lossy = keras.Input((None, 1), name="lossy")
    frames = keras.layers.Reshape((-1, HOP))(lossy)
    initializer = keras.initializers.RandomNormal(stddev=scale, seed=0)
    change = keras.layers.Conv1D(
        HOP, 3, padding="same", activation="tanh", kernel_initializer=initializer, bias_initializer=initializer
    )(frames)
    restored = keras.layers.Reshape((-1, 1), name="restored")(keras.layers.Add()([frames, change]))
    keras.Model(lossy, restored).save(folder / "best.keras")
    write_records(folder, "tiny", CONTEXT, WINDOW, {})
    return folder


def write_records(folder: Path, name: str, context: int, window_length: int, model: dict) -> None:
    """What `train` leaves beside its checkpoint."""
    preset = {
        "name": name,
        "description": "for tests",
        "sample_rate": 44100,
        "hop_length": HOP,
        "context": context,
        "model": model,
        "data": {},
        "training": {},
        "export": {"window_length": window_length},
    }
    (folder / "preset.json").write_text(json.dumps(preset))
    record = {"arguments": {"preset": preset, "corpus_sha256": "c0ffee", "seed": 7}, "versions": {"keras": "3"}}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "history.json").write_text(json.dumps([{"val_loss": 2.0}, {"val_loss": 1.0}, {"val_loss": 1.5}]))


def write_frame_run(folder: Path, context: int = 12 * HOP, **config) -> Path:
    """A run folder with a small frame-rate `paired_resnet` whose head is not zero, as if trained."""
    import keras
    import numpy as np

    from keras_audiosr.models import build_model

    config = {"num_units": 2, "filters": 4, "dilation_rates": [1, 3], "batch_normalization": False} | config
    config |= {"frame_length": 1024, "hop_length": HOP}
    keras.utils.set_random_seed(0)
    model = build_model("paired_resnet", **config)
    generator = np.random.default_rng(0)
    for name in ("output", "gate")[: 1 + bool(config.get("gate"))]:
        head = model.get_layer(name)
        head.set_weights([0.1 * generator.standard_normal(weight.shape) for weight in head.weights])
    model.save(folder / "best.keras")
    write_records(folder, "tiny_frame", context, 16384, {"architecture": "paired_resnet", "config": config})
    return folder


@functools.cache
def tiny_streams() -> Path:
    """An exported frame-rate model with steps of 512, 1024 and 2048 samples; copy it before changing it."""
    from keras_audiosr.export import export

    run = write_frame_run(Path(tempfile.mkdtemp(prefix="tiny-frame-run-")))
    return export(run, tempfile.mkdtemp(prefix="tiny-streams-"), stream=(512, 1024, 2048))


@functools.cache
def tiny_run() -> Path:
    """The run folder; do not change it."""
    return write_run(Path(tempfile.mkdtemp(prefix="tiny-run-")))


@functools.cache
def tiny_export() -> Path:
    """The exported model; copy it before changing it."""
    from keras_audiosr.export import export

    return export(tiny_run(), tempfile.mkdtemp(prefix="tiny-export-"))
