"""Tests the Python API that `import keras_audiosr` offers, and that type checkers see the same names as users."""

import ast
import inspect
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import tiny_export, tiny_run

import keras_audiosr
from keras_audiosr.errors import ArtifactError, UsageError
from keras_audiosr.presets import bundled_folder
from keras_audiosr.runners import load_runner

PRESET = "paired_resnet_bands_44k"


def test_what_type_checkers_see_is_what_there_is():
    tree = ast.parse(Path(keras_audiosr.__file__).read_text("utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname: f".{node.module}" for node in guarded.body for alias in node.names}
    assert seen == keras_audiosr._PUBLIC


@pytest.mark.parametrize("name", keras_audiosr.__all__)
def test_every_public_name_has_hints_and_a_docstring(name):
    function = getattr(keras_audiosr, name)
    assert function.__doc__
    for form in typing.get_overloads(function) or [function]:
        assert inspect.signature(form).return_annotation is not inspect.Signature.empty
    if name in ("probe", "load_model", "from_preset"):
        for parameter in inspect.signature(function).parameters.values():
            assert parameter.annotation is not parameter.empty, parameter


def test_importing_is_cheap():
    code = (
        "import sys, keras_audiosr; keras_audiosr.list_presets(); keras_audiosr.restore;"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("shape", [(30_000, 2), (30_000, 1), (30_000,), (1, 2), (0, 2)])
def test_arrays(make_music, shape):
    lossy = make_music(1.0)[: shape[0], : shape[1] if len(shape) > 1 else 1].reshape(shape)
    before = lossy.copy()
    restored = keras_audiosr.restore(lossy, model=tiny_export())
    expected = (
        load_runner(tiny_export())
        .run(lossy.reshape(len(lossy), 1 if lossy.ndim == 1 else lossy.shape[1]))
        .reshape(shape)
    )
    assert restored.dtype == np.float32
    np.testing.assert_array_equal(restored, expected)
    np.testing.assert_array_equal(lossy, before)


def test_arrays_at_other_rates_and_strengths(make_music):
    lossy = make_music(0.5, 48000).astype(np.float64)
    runner = load_runner(tiny_export())
    full = keras_audiosr.restore(lossy, model=runner, sample_rate=48000)
    np.testing.assert_array_equal(full, runner.run(lossy, 48000))
    half = keras_audiosr.restore(lossy, model=runner, sample_rate=48000, strength=0.5)
    np.testing.assert_allclose(half, (lossy + full) / 2, atol=1e-6)
    assert not keras_audiosr.restore(np.zeros((5000, 2)), model=runner).any()


def test_an_array_and_a_file_give_the_same(tmp_path, make_music):
    lossy = make_music(0.9)
    soundfile.write(tmp_path / "a.wav", lossy, 44100, subtype="FLOAT")
    (done,) = keras_audiosr.restore(tmp_path / "a.wav", model=load_runner(tiny_export())).restored
    restored = keras_audiosr.restore(lossy, model=tiny_export())
    np.testing.assert_allclose(soundfile.read(done.target)[0], restored, atol=6.1e-8)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (np.zeros((2, 2, 2)), {}, r"\(time, channels\) or \(time,\); received shape \(2, 2, 2\)"),
        (np.full((5, 1), np.nan), {}, "finite"),
        (np.zeros((5, 1)), {"out": "x.flac"}, "returned, not written"),
        (np.zeros((5, 1)), {"strength": 2}, "between 0 and 1"),
        ("a.mp3", {"sample_rate": 44100}, "sample_rate is for arrays only"),
        ("a.mp3", {"rate": 1}, "between 8000 and 192000"),
        ("a.mp3", {"clip": "wrap"}, "one of limit, clamp, none"),
        ([], {}, "received none"),
    ],
)
def test_wrong_usage(arguments, options, message):
    with pytest.raises(UsageError, match=message):
        keras_audiosr.restore(arguments, model=tiny_export(), **options)


def test_one_runner_serves_one_thread(tmp_path):
    with pytest.raises(UsageError, match="serves one thread"):
        keras_audiosr.restore([tmp_path / "a", tmp_path / "b"], model=load_runner(tiny_export()), jobs=2)


def test_load_model_is_the_network_that_restores():
    """The bundled weights in Keras give the output of the bundled TFLite file within 1e-4, as `export` guarantees."""
    model = keras_audiosr.load_model(PRESET)
    runner = load_runner(bundled_folder(PRESET) / "model.tflite")
    windows = np.random.default_rng(0).uniform(-0.5, 0.5, (1, runner.window_length, 1)).astype(np.float32)
    np.testing.assert_allclose(model.predict_on_batch(windows), runner.predict(windows), atol=1e-4)
    assert model.count_params() == keras_audiosr.from_preset(PRESET).count_params()


def test_load_model_from_a_run():
    windows = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 4096, 1)).astype(np.float32)
    expected = load_runner(tiny_run()).predict(windows)
    for path in (tiny_run(), tiny_run() / "best.keras", str(tiny_run())):
        np.testing.assert_array_equal(keras_audiosr.load_model(path).predict_on_batch(windows), expected)


def test_from_preset_builds_a_new_network():
    model = keras_audiosr.from_preset(PRESET, load_weights=False, filters=32)
    windows = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 4096, 1)).astype(np.float32)
    np.testing.assert_allclose(model(windows), windows, atol=1e-3)  # an untrained model almost returns its input
    assert model.count_params() < 1_000_000


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: keras_audiosr.load_model("nowhere"), ArtifactError, "received 'nowhere', none of them"),
        (lambda: keras_audiosr.load_model(tiny_export()), ArtifactError, "names none"),
        (lambda: keras_audiosr.from_preset("paired_bands"), UsageError, "did you mean 'paired_resnet_bands_44k'"),
        (lambda: keras_audiosr.from_preset(PRESET, filters=8), UsageError, "add load_weights=False"),
        (lambda: keras_audiosr.from_preset("paired_resnet_sample_44k"), ArtifactError, "has none"),
        (lambda: keras_audiosr.from_preset(PRESET, load_weights=False, wheels=4), UsageError, "cannot be built"),
    ],
)
def test_what_cannot_be_loaded(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_damaged_weights_are_refused(tmp_path):
    folder = shutil.copytree(tiny_export(), tmp_path / "model")
    weights = folder / "model.weights.h5"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match="SHA-256"):
        keras_audiosr.load_model(folder)
