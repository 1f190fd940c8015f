"""Tests training steps and runs: the average of the weights, resuming, discriminators, and equality of backends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_audiosr.errors import UsageError
from keras_audiosr.losses import L2
from keras_audiosr.presets.settings import OptimizerSettings, WindowSettings
from keras_audiosr.training.discriminators import Adversary, SpectralDiscriminator
from keras_audiosr.training.limits import Limit
from keras_audiosr.training.pool import Pool, PoolSource
from keras_audiosr.training.run import run
from keras_audiosr.training.step import Trainer

OPTIMIZER = OptimizerSettings("adam", learning_rate=1e-2, final_learning_rate=1e-3, ema_momentum=0.9, clip_norm=1.0)
DATA = WindowSettings(256, batch_size=4, gain=(-6.0, 6.0), polarity=True, lossless_share=0.1)
STEPS = 6


def network():
    """Returns a small network with all kinds of variables. Its initial weights are the same under every backend."""
    made = keras.Sequential(
        [keras.Input((None, 1)), keras.layers.Conv1D(4, 9, padding="same", use_bias=False),
         keras.layers.BatchNormalization(),
         keras.layers.ReLU(), keras.layers.Conv1D(1, 9, padding="same")]
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for layer in (made.layers[0], made.layers[-1]):
        layer.set_weights([0.3 * rng.standard_normal(weight.shape) for weight in layer.get_weights()])
    return made


def trainer(loss=None, **arguments):
    return Trainer(network(), loss or L2(), keras.optimizers.Adam(1.0, global_clipnorm=1.0), **arguments)


def with_adversary(loss=None):
    """Returns a trainer whose discriminators also have the same initial weights under every backend."""
    adversary = Adversary(
        frame_lengths=(32, 64), filters=4, weight=0.1, examples=2, samples=128, learning_rate=1e-2, network_rate=1e-2
    )
    rng = np.random.default_rng(1)
    for weight in adversary.weights:
        weight.assign(0.2 * rng.standard_normal(weight.shape))
    return trainer(loss, adversary=adversary)


def pool(folder):
    """Makes a pool of eight windows. Lossless windows are noise, and lossy ones are the same noise after a low-pass."""
    made = Pool(Path(folder))
    made.prepare(8, 256)
    windows, cutoffs, versions = made.open()
    noise = np.random.default_rng(0).standard_normal((8, 258)).astype(np.float32)
    windows[:, 1] = noise[:, 1:-1]
    windows[:, 0] = (noise[:, 2:] + noise[:, 1:-1] + noise[:, :-2]) / 3
    cutoffs[:] = 1000.0 * np.arange(1, 9)
    versions[:] = 2
    return made


def train(folder, out, epochs=3, build=trainer, **arguments):
    source = PoolSource(pool(folder), DATA, STEPS, seed=5)
    trained = build()
    limit = Limit(STEPS, epochs=epochs)
    history = run(
        trained, source, [source.batch(10**6)], out, limit=limit, optimizer=OPTIMIZER, metrics=[], **arguments
    )
    return trained, history


def test_the_average_is_the_running_one_with_its_warm_up(tmp_path):
    trained, source = trainer(momentum=0.4), PoolSource(pool(tmp_path), DATA, STEPS, seed=5)
    expected = [weight.numpy() for weight in trained.network.trainable_variables]
    for step in range(8):
        trained.train(source.batch(step), 1e-2)
        # The warm-up limits the share of the old average. The limit reaches 0.4 in the fifth step.
        kept = min(0.4, (2 + step) / (11 + step))
        raw = [weight.numpy() for weight in trained.network.trainable_variables]
        expected = [kept * old + (1 - kept) * new for old, new in zip(expected, raw, strict=True)]
        with trained.averaged():
            for weight, average in zip(trained.network.trainable_variables, expected, strict=True):
                np.testing.assert_allclose(weight.numpy(), average, atol=1e-6)
        for weight, before in zip(trained.network.trainable_variables, raw, strict=True):
            np.testing.assert_array_equal(weight.numpy(), before)


def test_a_loss_is_given_the_cutoffs_of_its_windows_when_it_asks(tmp_path):
    seen = []

    def loss(y_true, y_pred, cutoff):
        seen.append(y_true.shape)
        return cutoff + 0.0 * keras.ops.mean(y_pred, axis=(1, 2))

    trained, source = trainer(loss), PoolSource(pool(tmp_path), DATA, STEPS, seed=5)
    batch = source.batch(0)
    assert float(trained.train(batch, 1e-3)["loss"]) == pytest.approx(float(np.mean(batch[2])))
    np.testing.assert_array_equal(trained.test(batch)[0], batch[2])
    assert len(seen) == 2, "a step is traced once"
    trained.train(source.batch(1), 2e-3)
    assert len(seen) == 2, "another batch and another learning rate trace nothing"


class EndedError(Exception):
    """Stands for anything that ends a process."""


class End(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise EndedError


@pytest.mark.parametrize("build", [trainer, with_adversary])
def test_a_resumed_run_ends_with_the_bits_of_one_that_was_not_interrupted(build, tmp_path):
    arguments = {"build": build}
    if build is with_adversary:
        arguments["adversarial_from"] = 0.4  # in the middle of the epoch that is repeated
    whole, history = train(tmp_path / "pool", tmp_path / "whole", **arguments)
    with pytest.raises(EndedError):
        train(tmp_path / "pool", tmp_path / "run", callbacks=[End()], **arguments)
    resumed, again = train(tmp_path / "pool", tmp_path / "run", **arguments)
    assert again == history
    assert history[-1]["val_loss"] < history[0]["val_loss"]
    assert ["discriminator" in entry for entry in history] == [False, *[build is with_adversary] * 2]
    for one, other in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    assert train(tmp_path / "pool", tmp_path / "run")[1] == history


def test_minutes_are_those_of_all_sittings(tmp_path):
    with pytest.raises(UsageError, match="epochs or by minutes"):
        Limit(6)
    limit = Limit(6, minutes=2.0)
    assert [limit.share(10**6, seconds) for seconds in (0.0, 60.0, 600.0)] == [0.0, 0.5, 1.0]
    source = PoolSource(pool(tmp_path / "pool"), DATA, STEPS, seed=5)
    arguments = {"optimizer": OPTIMIZER, "metrics": []}
    state = tmp_path / "run" / "state" / "state.json"
    with pytest.raises(EndedError):
        run(trainer(), source, [source.batch(0)], tmp_path / "run", limit=limit, callbacks=[End()], **arguments)
    noted = json.loads(state.read_text())
    # Half a second of the two minutes is left, so the learning rate has almost its final value.
    noted["stateful"]["1"]["seconds"] = 119.5
    state.write_text(json.dumps(noted))
    history = run(trainer(), source, [source.batch(0)], tmp_path / "run", limit=limit, **arguments)
    assert history[-1]["seconds"] > 119.5 and history[-1]["step"] > 6
    assert history[-1]["learning_rate"] == pytest.approx(1e-3, rel=1e-2)


CURVE = """
import sys
from pathlib import Path
from test_training_step import train, with_adversary
folder = Path(sys.argv[1])
train(folder / "pool", folder / "run", build=with_adversary, adversarial_from=0.4)
"""


def curve(folder, backend):
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    # On a processor with few cores, XLA's FFT can hang if XLA runs its operations in several threads.
    environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])
    command = [sys.executable, "-c", CURVE, str(folder / backend)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / backend / "run" / "history.json").read_text())


def test_both_backends_draw_the_same_curve(tmp_path):
    pytest.importorskip("jax", reason="the reference environment has no JAX; the newest leg has")
    one, other = (curve(tmp_path, backend) for backend in ("tensorflow", "jax"))
    assert len(one) == 3 and one[-1]["val_loss"] < one[0]["val_loss"] and "discriminator" in one[-1]
    for mine, theirs in zip(one, other, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3)


def test_discriminators_see_nothing_above_a_cutoff():
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((1, 8192)).astype(np.float32)
    spectrum = np.fft.rfft(noise)
    frequencies = np.fft.rfftfreq(8192, 1 / 44100)
    below = np.fft.irfft(spectrum * (frequencies < 9000)).astype(np.float32)
    discriminator = SpectralDiscriminator(512, 4)
    discriminator.build((None, 8192, 1), (None,))

    def judged(audio, cutoff):
        return np.array(discriminator(audio[..., None], np.array([cutoff], np.float32))[-1])

    whole = judged(noise, 22050.0)
    difference = np.abs(judged(noise, 8000.0) - judged(below, 8000.0)).max()
    assert difference < 1e-3 * np.abs(whole - judged(below, 22050.0)).max()


def test_discriminators_learn_to_tell_what_is_missing(tmp_path):
    """If the network hardly changes, the discriminators' loss falls from about 2, at which they are undecided."""
    trained, source = with_adversary(), PoolSource(pool(tmp_path), DATA, STEPS, seed=5)
    trained.adversary.rate = 1e30 * 1e-2
    losses = [float(trained.train(source.batch(step), 1e-30, adversarial=True)["discriminator"]) for step in range(60)]
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:5])
