"""Presets: read by name or path, checked, and fit for the code that reads them."""

import json

import pytest

from keras_audiosr.errors import ArtifactError, UsageError
from keras_audiosr.losses import build_loss
from keras_audiosr.models import MODELS, build_model
from keras_audiosr.optimizers import build_optimizer
from keras_audiosr.presets import DEFAULT_PRESET, bundled_folder, list_presets, load_preset


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_builds(name):
    preset = load_preset(name)
    assert preset["name"] == name
    architecture = preset["model"]["architecture"]
    assert architecture in MODELS
    assert name.startswith(architecture)
    build_model(architecture, **preset["model"]["config"])
    build_loss(preset["training"]["loss"])
    build_optimizer(preset["training"]["optimizer"], 10)
    for lengths in (preset["data"]["window_length"], preset["export"]["window_length"]):
        assert lengths % preset["hop_length"] == 0
    assert preset["export"]["window_length"] > 2 * preset["context"]


def test_default_preset_ships_with_weights():
    folder = bundled_folder(DEFAULT_PRESET)
    assert json.loads((folder / "metadata.json").read_text("utf-8"))["name"] == DEFAULT_PRESET


def test_preset_from_a_file(tmp_path):
    preset = load_preset(DEFAULT_PRESET)
    preset["name"] = "mine"
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(preset), "utf-8")
    assert load_preset(path) == preset


def test_unknown_name_gets_the_nearest():
    with pytest.raises(UsageError, match=DEFAULT_PRESET):
        load_preset("paired_resnet_frame")


def test_preset_without_weights_says_so():
    with pytest.raises(ArtifactError, match="no_such_preset"):
        bundled_folder("no_such_preset")


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"name": "x"}', '{"name": 3}', "\xff"])
def test_damaged_preset_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError) as caught:
        load_preset(path)
    assert "\n" not in str(caught.value)
