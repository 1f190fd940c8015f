"""Optimizers of presets, and VDSR's adjustable clipping against its definition."""

import keras
import numpy as np
import pytest

from keras_audiosr.errors import UsageError
from keras_audiosr.optimizers import AdjustableClippingSGD, build_optimizer

ADAM = {"name": "adam", "learning_rate": 1e-3, "final_learning_rate": 1e-5, "clip_norm": 1.0, "ema_momentum": 0.9}


@pytest.mark.parametrize(("gradient", "step"), [(0.001, 0.0001), (0.05, 0.005), (50.0, 0.01), (-50.0, -0.01)])
def test_step_is_bounded_by_theta_whatever_the_learning_rate(gradient, step):
    variable = keras.Variable(np.zeros(3, "float32"))
    optimizer = AdjustableClippingSGD(learning_rate=0.1, momentum=0.0, adjustable_clip=0.01)
    optimizer.build([variable])
    optimizer.apply([keras.ops.full((3,), gradient)])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), -step, rtol=1e-5)


def test_config_round_trips():
    optimizer = AdjustableClippingSGD(0.2, 0.8, 0.05)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert again.adjustable_clip == 0.05
    assert again.momentum == 0.8


def test_learning_rate_falls_along_a_cosine():
    schedule = build_optimizer(ADAM, 100)._learning_rate
    rates = [float(schedule(step)) for step in (0, 50, 100)]
    np.testing.assert_allclose(rates, [1e-3, (1e-3 + 1e-5) / 2, 1e-5], rtol=1e-4)


def test_unknown_optimizer_is_refused():
    with pytest.raises(UsageError, match="adam"):
        build_optimizer({**ADAM, "name": "lion"}, 10)
