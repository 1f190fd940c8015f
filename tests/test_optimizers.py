"""Tests the optimizers of presets, and compares VDSR's adjustable gradient clipping with its definition."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_audiosr.errors import UsageError
from keras_audiosr.presets.settings import OptimizerSettings
from keras_audiosr.training.limits import learning_rate
from keras_audiosr.training.optimizers import AdjustableClippingSGD

ADAM = OptimizerSettings("adam", learning_rate=1e-3, final_learning_rate=1e-5, ema_momentum=0.9, clip_norm=1.0)


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
    rates = [learning_rate(ADAM, 7, share) for share in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(rates, [1e-3, (1e-3 + 1e-5) / 2, 1e-5], rtol=1e-4)
    rising = [learning_rate(dataclasses.replace(ADAM, warm_up_steps=4), step, 0.0) for step in range(6)]
    np.testing.assert_allclose(rising, 1e-3 * np.array([0.25, 0.5, 0.75, 1.0, 1.0, 1.0]))


def test_the_warm_up_of_a_short_run_takes_a_tenth_of_it():
    settings = dataclasses.replace(ADAM, warm_up_steps=200)
    rates = np.array([learning_rate(settings, step, step / 50) for step in range(50)])
    without = np.array([learning_rate(ADAM, step, step / 50) for step in range(50)])
    np.testing.assert_allclose(rates[:6] / without[:6], [1 / 200, 0.2, 0.4, 0.6, 0.8, 1.0])
    np.testing.assert_array_equal(rates[5:], without[5:])


def test_unknown_optimizer_is_refused():
    with pytest.raises(UsageError, match="adam"):
        dataclasses.replace(ADAM, name="lion")
