"""Provides tiny models that stand in for trained ones. They are made once for all test files that need them."""

import json
from pathlib import Path

from once import once

# Lengths in samples. The context that `export` computes is one frame on each side, plus the largest distance of a
# sample from the edge of its own frame.
HOP = 256
CONTEXT = 512
WINDOW = 4096


def write_run(folder: Path, scale: float = 0.02, use_bias: bool = True) -> Path:
    """Writes a run folder as `train` leaves it. The model adds a convolution over frames of 256 samples to its input.

    Without a bias the model is an odd function: `f(-x) = -f(x)`.
    """
    import keras

    keras.utils.set_random_seed(0)
    lossy = keras.Input((None, 1), name="lossy")
    frames = keras.layers.Reshape((-1, HOP))(lossy)
    initializer = keras.initializers.RandomNormal(stddev=scale, seed=0)
    change = keras.layers.Conv1D(
        HOP, 3, padding="same", activation="tanh", kernel_initializer=initializer, bias_initializer=initializer,
        use_bias=use_bias,
    )(frames)  # fmt: skip
    restored = keras.layers.Reshape((-1, 1), name="restored")(keras.layers.Add()([frames, change]))
    keras.Model(lossy, restored).save(folder / "best.keras")
    write_records(folder, "tiny", WINDOW, {})
    return folder


def write_records(folder: Path, name: str, window_length: int, model: dict) -> None:
    """Writes the files that `train` leaves next to its checkpoint."""
    preset = {
        "name": name,
        "description": "for tests",
        "sample_rate": 44100,
        "model": model,
        "data": {},
        "training": {},
        "export": {"window_length": window_length},
    }
    (folder / "preset.json").write_text(json.dumps(preset))
    record = {"arguments": {"preset": preset, "corpus_sha256": "c0ffee", "seed": 7}, "versions": {"keras": "3"}}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "history.json").write_text(json.dumps([{"val_loss": 2.0}, {"val_loss": 1.0}, {"val_loss": 1.5}]))


def write_frame_run(folder: Path, **config) -> Path:
    """Writes a run folder with a small frame-rate `paired_resnet`. Its last layer is not zero, as after training."""
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
    write_records(folder, "tiny_frame", 16384, {"architecture": "paired_resnet", "config": config})
    return folder


@once
def tiny_streams(folder: Path) -> Path:
    """Returns an exported frame-rate model with steps of 512, 1024 and 2048 samples. Copy it before changing it."""
    from keras_audiosr.stages.export import export

    (folder / "run").mkdir()
    return export(write_frame_run(folder / "run"), folder, stream=(512, 1024, 2048))


@once
def tiny_run(folder: Path) -> Path:
    """Returns the run folder of the tiny model. Do not change it."""
    return write_run(folder)


@once
def tiny_export(folder: Path) -> Path:
    """Returns the exported tiny model. Copy it before changing it."""
    from keras_audiosr.stages.export import export

    return export(tiny_run(), folder)
