"""Tests that streaming step by step equals processing the whole signal at once.

This must hold for every layer that has a streaming rule and for every network of such layers.
"""

import keras
import numpy as np
import pytest

from keras_audiosr.errors import ArtifactError
from keras_audiosr.layers import SubPixel
from keras_audiosr.models import build_model
from keras_audiosr.streaming import StreamingModel

LENGTH = 700
FRAMES = {"filters": 4, "frame_length": 64, "hop_length": 16}


BANDS = {"num_units": 2, "filters": 4, "num_bands": 4, "mean_frames": 8, "mean_filters": 2}
BANDS |= {"frame_length": 64, "hop_length": 16}


def noise(length, cutoff=1.0):
    """Returns white noise whose spectrum ends at `cutoff` times the Nyquist frequency."""
    spectrum = np.fft.rfft(0.3 * np.random.default_rng(0).standard_normal(length))
    spectrum[int(cutoff * len(spectrum)) :] = 0.0
    return np.fft.irfft(spectrum, length).astype(np.float32)


def at_once(model, lossy, margin):
    """Returns the output of the model for a whole signal with silence around it."""
    whole = np.zeros((1, 2 * margin + -(-len(lossy) // 256) * 256, 1), np.float32)
    whole[0, margin : margin + len(lossy), 0] = lossy
    return np.asarray(model(whole, training=False))[0, margin : margin + len(lossy), 0]


def worst_difference(model, hop_length, latency=None, length=LENGTH, cutoff=1.0):
    """Returns the largest difference between stream and whole signal, and the largest change by the model."""
    lossy = noise(length, cutoff)
    streaming = StreamingModel(model, hop_length)
    if latency is not None:
        assert streaming.latency == latency

    margin = -(-(streaming.warm_up + streaming.latency) // 256) * 256
    expected = at_once(model, lossy, margin)

    state = np.zeros(streaming.state_shape, np.float32)
    padded = np.zeros(streaming.warm_up + -(-(length + streaming.latency) // hop_length) * hop_length, np.float32)
    padded[streaming.warm_up : streaming.warm_up + length] = lossy
    restored = []
    for block in padded.reshape(-1, hop_length):
        output, state = streaming.step(block[None, :, None], state)
        restored.append(np.asarray(output)[0, :, 0])
    start = streaming.warm_up + streaming.latency
    difference = np.abs(np.concatenate(restored)[start : start + length] - expected).max()
    print(f"hop {hop_length}: latency {streaming.latency}, warm-up {streaming.warm_up}, difference {difference:.1e}")
    return difference, np.abs(expected - lossy).max()


def awake(model):
    """Changes all weights, including the statistics of batch normalization, so that none keeps its initial zero."""
    generator = np.random.default_rng(1)
    for weight in model.weights:
        change = 0.2 * generator.standard_normal(weight.shape)
        weight.assign(np.asarray(weight) + (np.abs(change) if "variance" in weight.path else change))
    return model


NETWORKS = {
    "frames": ("paired_resnet", {"batch_normalization": False, "dilation_rates": [1, 2, 4, 8], **FRAMES}, 17 * 16),
    "normalized": ("paired_resnet", {"num_units": 2, **FRAMES}, 9 * 16),
    "row": ("paired_resnet", {"num_units": 2, "arrangement": "row", **FRAMES}, 11 * 16),
    "wide": ("paired_resnet", {"num_units": 2, "kernel_size": 5, **FRAMES}, 15 * 16),
    "even": ("paired_resnet", {"num_units": 2, "kernel_size": 4, "batch_normalization": False, **FRAMES}, None),
    "soon": ("paired_resnet", {"dilation_rates": [1, 2, 4, 8], "lookahead": 3, **FRAMES}, 6 * 16),
    "causal": ("paired_resnet", {"num_units": 2, "lookahead": 0, **FRAMES}, 3 * 16),
    "gate": ("paired_resnet", {"num_units": 2, "gate": True, "first_kernel_size": 1, **FRAMES}, 8 * 16),
    "on bands": ("paired_resnet_bands", BANDS, None),
    "on bands, soon": ("paired_resnet_bands", {"lookahead": 1, **BANDS}, 4 * 16),
    "on bands, by half frames": ("paired_resnet_bands", {**BANDS, "hop_length": 32}, None),
    "on bands, in a row": ("paired_resnet_bands", {"arrangement": "row", **BANDS}, None),
    "samples": ("paired_resnet", {"num_units": 2, "filters": 4}, 7),
    "drrn": ("drrn", {"filters": 4, "num_units": 2}, None),
    "vdsr": ("vdsr", {"filters": 4, "num_layers": 4}, None),
    "srresnet": ("srresnet", {"filters": 4, "num_blocks": 2}, None),
    "drcn": ("drcn", {"filters": 4, "num_recursions": 3}, None),
}


@pytest.mark.parametrize("hop_length", [16, 64, 112])
@pytest.mark.parametrize("name", NETWORKS)
def test_streamed_equals_whole(name, hop_length):
    if hop_length != 64 and name not in ("frames", "soon"):
        pytest.skip("other networks test the same layers, so one hop is enough here")
    architecture, config, latency = NETWORKS[name]
    difference, change = worst_difference(awake(build_model(architecture, **config)), hop_length, latency)
    assert change > 1e-2
    assert difference <= 1e-5 * max(1.0, change)


def pieces(*layers):
    """Returns a model that applies the layers to frames of 16 samples."""
    lossy = keras.Input((None, 1), name="lossy")
    features = keras.layers.Reshape((-1, 16))(lossy)
    for layer in layers:
        features = layer(features)
    return awake(keras.Model(lossy, keras.layers.Reshape((-1, 1))(features)))


def bands():
    """Returns a layer that splits frames of 16 values into 4 bands of 4 maps."""
    return keras.layers.Reshape((-1, 4, 4))


def frames():
    """Returns a layer that joins the bands to frames of 16 values."""
    return keras.layers.Reshape((-1, 16))


LAYERS = {
    "convolution": (lambda: [keras.layers.Conv1D(16, 3, padding="same", dilation_rate=2, activation="tanh")], 2),
    "causal": (lambda: [keras.layers.Conv1D(16, 5, padding="causal", use_bias=False)], 0),
    "groups": (lambda: [keras.layers.Conv1D(16, 3, padding="same", groups=4)], 1),
    "depthwise": (lambda: [keras.layers.DepthwiseConv1D(4, padding="same")], 2),
    "separable": (lambda: [keras.layers.SeparableConv1D(16, 3, padding="same", activation="relu")], 1),
    "dilated separable": (lambda: [keras.layers.SeparableConv1D(16, 3, padding="same", dilation_rate=3)], 3),
    "mean": (lambda: [keras.layers.AveragePooling1D(5, strides=1, padding="same")], 2),
    "maximum": (lambda: [keras.layers.MaxPooling1D(3, strides=1, padding="same")], 1),
    "rows": (lambda: [keras.layers.Dense(16), keras.layers.LeakyReLU(), keras.layers.BatchNormalization()], 0),
    # The following layers work on rows of 4 bands with 4 maps.
    "bands": (lambda: [bands(), keras.layers.Conv2D(4, (3, 1), padding="same", dilation_rate=(2, 1)), frames()], 2),
    "beside": (lambda: [bands(), keras.layers.Conv2D(4, (1, 3), padding="same", activation="relu"), frames()], 0),
    "both": (lambda: [bands(), keras.layers.Conv2D(4, (3, 4), padding="same", use_bias=False), frames()], 1),
    "every other band": (
        lambda: [bands(), keras.layers.Conv2D(8, (3, 3), strides=(1, 2), padding="same"), frames()],
        1,
    ),
    "depthwise bands": (
        lambda: [bands(), keras.layers.DepthwiseConv2D((5, 1), padding="same", dilation_rate=(3, 1)), frames()],
        6,
    ),
    "mean of bands": (
        lambda: [bands(), keras.layers.AveragePooling2D((9, 1), strides=1, padding="same"), frames()],
        4,
    ),
    "maximum of bands": (
        lambda: [bands(), keras.layers.MaxPooling2D((3, 1), strides=1, padding="same"), frames()],
        1,
    ),
    "rows of bands": (
        lambda: [bands(), keras.layers.Dense(4), keras.layers.Permute((1, 3, 2)), keras.layers.Dense(4), frames()],
        0,
    ),
    "frames of bands": (lambda: [keras.layers.Reshape((-1, 2, 4)), keras.layers.Dense(4), frames()], 0),
    # The first layer halves the number of frames and the second doubles it, so the look-ahead is whole pairs of frames.
    "strides": (lambda: [keras.layers.Conv1D(32, 5, strides=2, padding="same"), SubPixel(2)], 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    make, ahead = LAYERS[name]
    difference, change = worst_difference(pieces(*make()), 64, ahead * 16)
    assert change > 1e-2
    assert difference <= 1e-5


def test_what_meets_is_aligned_and_layers_can_be_used_twice():
    lossy = keras.Input((None, 1), name="lossy")
    features = keras.layers.Reshape((-1, 16))(lossy)
    twice = keras.layers.Conv1D(16, 3, padding="same")
    early = keras.layers.Conv1D(16, 3, padding="causal")(features)
    late = twice(twice(features))
    joined = keras.layers.Concatenate()([features, early, late, keras.layers.Multiply()([early, late])])
    model = keras.Model(lossy, keras.layers.Reshape((-1, 1))(keras.layers.Dense(16)(joined)))
    difference, _ = worst_difference(awake(model), 32, 2 * 16)
    assert difference <= 1e-5


def test_the_bundled_network():
    from keras_audiosr.runners import load_model

    # The signal must be band-limited, because the network hardly changes a signal with its whole spectrum.
    model, length, cutoff = load_model(), 6000, 0.5
    difference, change = worst_difference(model, 1024, length=length, cutoff=cutoff)
    assert change > 1e-3
    # The network divides the spectrum of the added sound by its level in each band. Where there is almost no signal,
    # this amplifies rounding errors, and how much depends on the processor. The bound is therefore the change of the
    # output when the last bit of the input changes.
    lossy = noise(length, cutoff)
    last_bit = 2.0**-24 * np.random.default_rng(1).standard_normal(length)
    rounded = (lossy * (1 + last_bit)).astype(np.float32)
    rounding = np.abs(at_once(model, rounded, 32768) - at_once(model, lossy, 32768)).max()
    print(f"the last bit of the input: {rounding:.1e}")
    assert difference <= max(1e-5, 3 * rounding)
    assert rounding < 1e-3 * change


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: keras.layers.GlobalAveragePooling1D(keepdims=True), "is a GlobalAveragePooling1D, which has none"),
        (lambda: keras.layers.Conv1D(16, 3), "has padding='valid'; use 'same' or 'causal'"),
        (lambda: keras.layers.Conv1D(16, 2, strides=4, padding="same"), "must cover all rows"),
        (lambda: keras.layers.Reshape((16,)), "must return rows"),
        (lambda: keras.layers.Permute((2, 1)), "must not move the time axis"),
        (lambda: keras.layers.Reshape((-1, 12)), "a hop that is a multiple of 48"),
    ],
)
def test_what_has_no_rule_is_named(layer, message):
    layer = layer()
    lossy = keras.Input((None, 1), name="lossy")
    model = keras.Model(lossy, layer(keras.layers.Reshape((-1, 16))(lossy)))
    with pytest.raises(ArtifactError, match=message) as caught:
        StreamingModel(model, 32)
    assert repr(layer.name) in str(caught.value)


def test_a_hop_off_the_grid_is_refused():
    with pytest.raises(ArtifactError, match="multiple"):
        StreamingModel(pieces(keras.layers.Dense(16)), 24)


def test_a_bare_operation_is_refused():
    lossy = keras.Input((None, 1), name="lossy")
    model = keras.Model(lossy, keras.layers.Dense(1)(lossy) + 1.0)
    with pytest.raises((ArtifactError, ValueError)):
        StreamingModel(model, 32)
