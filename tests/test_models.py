"""Tests what all architectures have in common: shapes, identity before training, configuration and saving."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_audiosr.errors import UsageError
from keras_audiosr.models import MODELS, build_model

SMALL = {
    "sample": ("paired_resnet", {"filters": 8, "kernel_size": 5}),
    "frame": ("paired_resnet", {"filters": 8, "frame_length": 64, "batch_normalization": False}),
    "dilated": ("paired_resnet", {"num_units": 2, "filters": 8, "dilation_rates": [1, 3], "frame_length": 64}),
    "eight": ("paired_resnet", {"num_units": 8, "filters": 4, "frame_length": 64, "hop_length": 32}),
    "row": ("paired_resnet", {"filters": 8, "frame_length": 64, "arrangement": "row"}),
    "gated": ("paired_resnet", {"filters": 8, "frame_length": 64, "first_kernel_size": 1, "gate": True}),
    "bands": (
        "paired_resnet_bands",
        {"filters": 8, "frame_length": 64, "hop_length": 16, "num_bands": 4, "mean_frames": 4},
    ),
    "vdsr": ("vdsr", {"num_layers": 4, "filters": 8, "kernel_size": 3}),
    "drrn": ("drrn", {"num_blocks": 2, "num_units": 3, "filters": 8, "kernel_size": 3}),
    "drcn": ("drcn", {"num_recursions": 3, "filters": 8, "kernel_size": 3}),
    "srresnet": ("srresnet", {"num_blocks": 2, "filters": 8, "kernel_size": 3}),
    "resnet_plain": ("resnet", {"num_blocks": 2, "filters": 8, "kernel_size": 3, "variant": "plain"}),
    "resnet_original": ("resnet", {"num_blocks": 2, "filters": 8, "kernel_size": 3, "variant": "original"}),
    "resnet_pre_activation": ("resnet", {"num_blocks": 2, "filters": 8, "kernel_size": 3, "variant": "pre_activation"}),
    "audio_unet": ("audio_unet", {"num_levels": 2, "filters": 0.02}),
}
# The other networks are not the identity before training. `resnet` and `srresnet` have no skip from input to output, as
# in their papers, and the network on bands adds an excitation of -70 dB.
IDENTITY = [name for name in SMALL if name.split("_")[0] not in ("resnet", "srresnet", "bands")]


def build_small(name):
    architecture, config = SMALL[name]
    keras.utils.set_random_seed(1)
    return build_model(architecture, **config)


@pytest.fixture(params=SMALL)
def small(request):
    return build_small(request.param)


def test_every_architecture_keeps_the_contract():
    assert {architecture for architecture, _ in SMALL.values()} == set(MODELS)


def noise(length=960, batch=2, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal((batch, length, 1)).astype("float32")


def shaken(model):
    """Changes every weight of the model, because zeros could hide a mistake, and returns the model."""
    generator = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign_add(0.05 * generator.standard_normal(variable.shape))
    return model


def test_names_and_shapes(small):
    assert small.input.name == "lossy"
    assert small.input.shape == (None, None, 1)
    assert small.output.shape == (None, None, 1)
    for length in (64, 960):
        assert small.predict(noise(length), verbose=0).shape == (2, length, 1)


@pytest.mark.parametrize("name", IDENTITY)
def test_untrained_network_is_the_identity(name):
    small = build_small(name)
    assert np.abs(small.predict(noise(), verbose=0) - noise()).max() < 1e-6


def test_silence_stays_silence_at_frame_rate():
    model = shaken(build_small("frame"))
    assert np.abs(model.predict(np.zeros((1, 640, 1)), verbose=0)).max() < 1e-6


def test_config_and_file_round_trip(small, tmp_path):
    shaken(small)
    again = keras.Model.from_config(small.get_config())
    again.set_weights(small.get_weights())
    small.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    expected = small.predict(noise(), verbose=0)
    for copy in (again, loaded):
        assert np.array_equal(copy.predict(noise(), verbose=0), expected)


def test_unknown_architecture_and_argument_are_refused():
    with pytest.raises(UsageError, match="paired_resnet"):
        build_model("paired")
    with pytest.raises(UsageError, match="filter_count"):
        build_model("paired_resnet", filter_count=3)


JAX_FIT = """
import json, sys
sys.modules["tensorflow"] = None  # as on a host that has none
import keras, numpy as np
from keras_audiosr.losses import build_loss
from keras_audiosr.measures.metrics import LSD, SNR
from keras_audiosr.models import build_model
assert keras.backend.backend() == "jax"
terms = [{"name": "multi_resolution_stft", "weight": 1.0, "config": {"frame_lengths": [64, 128]}},
         {"name": "negative_snr", "weight": 0.1}]
for architecture, config in json.loads(sys.argv[1]):
    keras.utils.set_random_seed(0)
    model = build_model(architecture, **config)
    model.compile("adam", build_loss(terms), metrics=[SNR(), LSD()])
    y = 0.1 * np.random.default_rng(0).standard_normal((32, 1280, 1)).astype("float32")
    x = y + 0.05 * np.sign(y)
    history = model.fit(x, y, batch_size=8, epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0], (architecture, history)
"""


def test_trains_under_jax():
    pytest.importorskip("jax", reason="the reference environment has no JAX; the newest leg has")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    configs = json.dumps(list(SMALL.values()))
    done = subprocess.run(
        [sys.executable, "-c", JAX_FIT, configs], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
