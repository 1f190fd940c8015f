"""Tests that a paired residual network respects a limited look-ahead, and that an ample one changes nothing."""

import keras
import numpy as np
import pytest

from keras_audiosr.errors import UsageError
from keras_audiosr.models import build_model

SMALL = {"filters": 6, "dilation_rates": (1, 2, 4, 8), "batch_normalization": False}
HOP = 16


def small_model(lookahead, **config):
    keras.utils.set_random_seed(1)
    model = build_model("paired_resnet", **SMALL | config, lookahead=lookahead)
    output = model.get_layer("output")
    output.set_weights([0.3 * np.random.default_rng(0).standard_normal(weight.shape) for weight in output.weights])
    return model


def first_change(model, at, length):
    """Returns the first output sample that differs if the input is changed from sample `at` on."""
    lossy = np.random.default_rng(2).standard_normal((1, length, 1)).astype(np.float32)
    other = lossy.copy()
    other[:, at:] += 0.5
    return int(np.flatnonzero(np.abs(model(lossy) - model(other))[0, :, 0] > 1e-6)[0])


@pytest.mark.parametrize("arrangement", ["paired", "row"])
@pytest.mark.parametrize("lookahead", [0, 1, 3, 5, 14])
def test_frames_ahead(lookahead, arrangement):
    model = small_model(lookahead, frame_length=64, hop_length=HOP, arrangement=arrangement)
    at = 64 * HOP
    # A frame is 4 hops long. The first one that contains sample `at` begins 3 hops earlier, and the `lookahead` frames
    # before it may use it as well.
    assert first_change(model, at, 128 * HOP) >= at - (lookahead + 3) * HOP
    # The first 3 frames of the look-ahead are always used. Some of the others may not be, because each convolution
    # uses either all future frames that it needs or none.
    assert first_change(model, at, 128 * HOP) <= at - (min(lookahead, 3) + 2) * HOP


@pytest.mark.parametrize("lookahead", [0, 2, 9])
def test_samples_ahead(lookahead):
    assert 200 - lookahead <= first_change(small_model(lookahead), 200, 400) <= 200


def test_none_is_the_network_as_it_was():
    whole, ample = (small_model(lookahead, frame_length=64) for lookahead in (None, 100))
    assert [weight.shape for weight in whole.weights] == [weight.shape for weight in ample.weights]
    lossy = np.random.default_rng(3).standard_normal((1, 1024, 1)).astype(np.float32)
    ample.set_weights(whole.get_weights())
    np.testing.assert_array_equal(whole(lossy), ample(lossy))
    assert whole.get_layer("unit_0").get_config()["padding"] == "same"


def test_saved_and_loaded(tmp_path):
    model = small_model(3, frame_length=64)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    lossy = np.random.default_rng(4).standard_normal((1, 1024, 1)).astype(np.float32)
    np.testing.assert_array_equal(model(lossy), loaded(lossy))


def test_a_negative_look_ahead_is_refused():
    with pytest.raises(UsageError, match=r"0 or more; received -1; try 3"):
        build_model("paired_resnet", **SMALL, lookahead=-1)
