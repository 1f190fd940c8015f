"""Tests the structure of each architecture, and its number of weights against the figures in papers."""

import keras
import numpy as np
import pytest

from keras_audiosr.errors import UsageError
from keras_audiosr.models import build_model


def convolution_weights(model) -> int:
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables if v.name == "kernel")


# The configurations and published numbers of weights. The papers use images. A kernel of 9 samples has as many weights
# as one of 3 x 3 pixels, and a kernel of 81 samples as many as one of 9 x 9.
PUBLISHED = {
    # VDSR: 20 layers of 64 filters; "665K" in Tai 2017, table 2.
    "vdsr": ({}, 665e3),
    # "297K" for every DRRN with one recursive block (B1) in Tai 2017, section 4.4 and figure 3.
    "drrn": ({"num_units": 25}, 297e3),
    # "1,775K" in Tai 2017, table 2.
    "drcn": ({}, 1775e3),
}


@pytest.mark.parametrize("architecture", PUBLISHED)
def test_weights_are_as_many_as_published(architecture):
    config, published = PUBLISHED[architecture]
    assert convolution_weights(build_model(architecture, **config)) == pytest.approx(published, rel=0.001)


def test_srresnet_has_the_weights_of_its_figure():
    """It has 16 blocks of two 3 x 3 convolutions, one more after them, two upsampling layers, and 9 x 9 at the ends."""
    inner, end = 9 * 64 * 64, 81 * 64
    found = convolution_weights(build_model("srresnet", scale=4))
    assert found == (33 + 2 * 2) * inner + 2 * end
    # For images, an upsampling layer has four times as many maps instead of twice as many, and the convolutions at both
    # ends have three channels. This gives the 1.5M that Lim et al. count (EDSR, CVPR 2017 workshops, table 1).
    assert found + 2 * 2 * inner + 2 * 2 * end == pytest.approx(1.5e6, rel=0.03)


def test_audio_unet_is_as_large_as_published():
    # 70.9 million in the comparison of Lu et al. (AP-BWE, IEEE TASLP 2024, table I).
    assert build_model("audio_unet").count_params() == pytest.approx(70.9e6, rel=0.002)


def test_drrn_units_share_convolutions_but_not_normalizations():
    model = build_model("drrn", num_units=9, filters=8)
    shared = [model.get_layer(f"block_0_shared_{i}") for i in (1, 2)]
    assert all(len(layer._inbound_nodes) == 9 for layer in shared)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 2 * 9 + 2
    # The identity branch of every unit is the output of the block's first convolution.
    first = model.get_layer("block_0_first").output
    adds = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert len(adds) == 9
    assert all(add.input[0] is first for add in adds)


def test_drcn_begins_as_the_mean_of_its_recursions():
    model = build_model("drcn", num_recursions=4, filters=8)
    assert np.array_equal(keras.ops.softmax(model.get_layer("weighted_mean").logits), np.full(4, 0.25))
    # Before training, the recursive convolution returns its input.
    recursive = model.get_layer("recursive")
    features = np.abs(np.random.default_rng(0).standard_normal((1, 50, 8))).astype("float32")
    assert np.array_equal(recursive(features), features)
    assert len(recursive._inbound_nodes) >= 4


def test_srresnet_upsamples():
    model = build_model("srresnet", num_blocks=1, filters=8, kernel_size=3, scale=4)
    assert model.predict(np.zeros((2, 50, 1)), verbose=0).shape == (2, 200, 1)


def test_resnet_variants_have_the_same_convolutions():
    models = [
        build_model("resnet", num_blocks=3, filters=8, variant=variant)
        for variant in ("plain", "original", "pre_activation")
    ]
    assert len({convolution_weights(model) for model in models}) == 1
    shortcuts = [sum(isinstance(layer, keras.layers.Add) for layer in model.layers) for model in models]
    assert shortcuts == [0, 3, 0]  # the third variant has its shortcuts inside the ResidualUnits


@pytest.mark.parametrize(
    ("architecture", "config", "message"),
    [
        ("vdsr", {"num_layers": 1}, "num_layers"),
        ("srresnet", {"scale": 3}, "power of two"),
        ("resnet", {"variant": "v2"}, "pre_activation"),
        ("paired_resnet", {"arrangement": "tree"}, "'paired' or 'row'"),
    ],
)
def test_wrong_arguments_are_refused(architecture, config, message):
    with pytest.raises(UsageError, match=message):
        build_model(architecture, **config)


def test_row_has_the_weights_of_the_tree():
    tree, row = (build_model("paired_resnet", filters=8, arrangement=name) for name in ("paired", "row"))
    assert tree.count_params() == row.count_params()
    assert not any(isinstance(layer, keras.layers.Add) for layer in row.layers)


@pytest.mark.parametrize("num_units", [2, 4, 8])
def test_results_are_added_in_pairs_until_one_is_left(num_units):
    model = build_model("paired_resnet", num_units=num_units, filters=4)
    adds = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    units = [layer for layer in model.layers if type(layer).__name__ == "ResidualUnit"]
    assert len(adds) == num_units - 1
    assert all(len(add.input) == 2 for add in adds)
    assert len(units) == num_units + 1
    first = model.get_layer("first").output
    assert all(unit.input is first for unit in units[:num_units])


def test_parameter_count_by_hand():
    model = build_model("paired_resnet", num_units=4, filters=8, kernel_size=3, batch_normalization=False)
    convolution = 3 * 8 * 8 + 8
    assert model.count_params() == (3 * 8 + 8) + 5 * 2 * convolution + 3 * convolution + (3 * 8 + 1)


@pytest.mark.parametrize("num_units", [0, 1, 3, 6])
def test_units_that_cannot_be_paired_are_refused(num_units):
    with pytest.raises(UsageError, match="power of two"):
        build_model("paired_resnet", num_units=num_units)


def test_dilation_rates_are_one_a_unit():
    with pytest.raises(UsageError, match="dilation_rates"):
        build_model("paired_resnet", num_units=4, dilation_rates=[1, 2])
