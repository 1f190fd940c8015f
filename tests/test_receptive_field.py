"""Tests the computed receptive field against the measured one: which outputs a changed input sample reaches."""

import keras
import numpy as np
import pytest

from keras_audiosr.errors import ArtifactError
from keras_audiosr.models import build_model
from keras_audiosr.presets import list_presets, load_preset
from keras_audiosr.streaming import ReceptiveField, receptive_field


def alive(model):
    """Sets weights with which every path affects the output. Returns the model, and whether it works on spectra.

    Networks at sample rate get positive weights and no biases. Their output for silence is then zero, so that even the
    smallest effect is seen. Networks on spectra are shallow, so random weights are enough.
    """
    generator = np.random.default_rng(5)
    spectral = any("STFT" in type(layer).__name__ for layer in model.layers)
    for variable in model.trainable_variables:
        if spectral:
            variable.assign_add(0.05 * generator.standard_normal(variable.shape))
        elif "bias" in variable.path or "beta" in variable.path:
            variable.assign(np.zeros(variable.shape))
        else:
            # The root of the kernel size keeps the centre from overflowing and the edge from vanishing in fifty layers.
            *kernel, inputs, _ = variable.shape if len(variable.shape) > 1 else (1, 1)
            variable.assign(generator.uniform(0.5, 1.5, variable.shape) / (inputs * np.sqrt(np.prod(kernel))))
    return model, spectral


def measured(model, field):
    """Returns `(before, after)`: how far before and after an output sample a changed input sample still affects it.

    The changed sample is the first of a hop, and then the last.
    """
    model, spectral = alive(model)
    hop = field.hop_length
    half = -(-(field.context + 2 * hop) // hop) * hop
    generator = np.random.default_rng(0)
    audio = (0.1 * generator.standard_normal((1, 2 * half, 1))).astype(np.float32)
    if not spectral:
        audio[:] = 0.0
    expected = model.predict(audio, verbose=0)
    before = after = 0
    for place in (half, half + hop - 1):
        changed = audio.copy()
        changed[0, place] += 1.0
        reached = np.flatnonzero(model.predict(changed, verbose=0)[0, :, 0] != expected[0, :, 0])
        before, after = max(before, reached[-1] - place), max(after, place - reached[0])
    return before, after


@pytest.mark.parametrize("name", list_presets())
def test_it_is_what_is_measured_of_every_preset(name):
    preset = load_preset(name)
    architecture, config = preset["model"].values()
    # The seed is fixed, because only one path leads to the edge of the field, and with some weights a rectifier
    # blocks it.
    keras.utils.set_random_seed(5)
    model = build_model(architecture, **config)
    field = receptive_field(model)
    for lengths in (preset["data"]["window_length"], preset["export"]["window_length"]):
        assert lengths % field.hop_length == 0
    assert preset["export"]["window_length"] > 2 * field.context
    before, after = measured(model, field)
    print(f"{name}: {field}, measured {before} and {after}")
    # If the computed field were too small, there would be seams between windows. It may be slightly too large, because
    # the window of a Fourier transform falls to zero at both ends, where a change is lost in rounding.
    assert 0 <= field.before - before <= max(2, 3 * field.hop_length)
    assert 0 <= field.after - after <= max(2, 3 * field.hop_length)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # The context depends on the kernel size. A preset once stated a context that was right only for a kernel of 3.
        ({"kernel_size": 3}, 8704),
        ({"kernel_size": 5}, 15360),
        ({"kernel_size": 5, "dilation_rates": [1, 1, 1, 1]}, 8192),
    ],
)
def test_it_follows_the_network(config, expected):
    config = load_preset("paired_resnet_frame_1024_44k")["model"]["config"] | config
    config |= {"frame_length": 2048, "hop_length": 512}
    assert receptive_field(build_model("paired_resnet", **config)).context == expected


def test_the_longer_side_counts_on_the_grid():
    assert ReceptiveField(1000, 300, 256).context == 1024
    assert ReceptiveField(300, 1025, 256).context == 1280
    assert ReceptiveField(0, 0, 1).context == 0


def test_the_grid_is_the_least_that_fits_all_layers():
    lossy = keras.Input((None, 1), name="lossy")
    sixes = keras.layers.Reshape((-1, 6))(lossy)
    fours = keras.layers.Reshape((-1, 4))(keras.layers.Dense(6)(sixes))
    restored = keras.layers.Reshape((-1, 1))(keras.layers.Dense(4)(fours))
    assert receptive_field(keras.Model(lossy, restored)).hop_length == 12


def test_a_layer_without_a_rule_is_named():
    lossy = keras.Input((None, 1), name="lossy")
    model = keras.Model(lossy, keras.layers.Softmax(axis=1, name="all_times")(lossy))
    with pytest.raises(ArtifactError, match="'all_times' is a Softmax, which has none"):
        receptive_field(model)
