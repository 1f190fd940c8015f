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
    preset = {
        "name": "tiny",
        "description": "for tests",
        "sample_rate": 44100,
        "hop_length": HOP,
        "context": CONTEXT,
        "model": {},
        "data": {},
        "training": {},
        "export": {"window_length": WINDOW},
    }
    (folder / "preset.json").write_text(json.dumps(preset))
    record = {"arguments": {"preset": preset, "corpus_sha256": "c0ffee", "seed": 7}, "versions": {"keras": "3"}}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "history.json").write_text(json.dumps([{"val_loss": 2.0}, {"val_loss": 1.0}, {"val_loss": 1.5}]))
    return folder


@functools.cache
def tiny_run() -> Path:
    """The run folder; do not change it."""
    return write_run(Path(tempfile.mkdtemp(prefix="tiny-run-")))


@functools.cache
def tiny_export() -> Path:
    """The exported model; copy it before changing it."""
    from keras_audiosr.export import export

    return export(tiny_run(), tempfile.mkdtemp(prefix="tiny-export-"))
