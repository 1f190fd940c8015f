"""Tests that presets are read by name or path, that mistakes are reported, and that the bundled ones work."""

import json

import pytest

from keras_audiosr import cli
from keras_audiosr.errors import ArtifactError, UsageError
from keras_audiosr.losses import build_loss
from keras_audiosr.models import MODELS
from keras_audiosr.presets import DEFAULT_PRESET, bundled_folder, check_recorded, list_presets, load_preset
from keras_audiosr.presets.settings import WindowSettings, read_preset
from keras_audiosr.runners.locate import locate
from keras_audiosr.training.optimizers import build_optimizer


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_is_whole(name):
    preset = load_preset(name)
    assert preset["name"] == name
    architecture = preset["model"]["architecture"]
    assert architecture in MODELS
    assert name.startswith(architecture.removesuffix("_bands"))
    build_loss(preset["training"]["loss"])
    build_optimizer(read_preset(preset, name).training.optimizer)


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
        load_preset("paired_resnet_bands")


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


ADAM = {"name": "adam", "learning_rate": 1e-3, "final_learning_rate": 1e-5, "ema_momentum": 0.9}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"export": None}, "preset .* needs 'export'"),
        ({"exports": {"window_length": 4096}}, "an unknown key 'exports'; did you mean 'export'"),
        ({"sample_rate": 44100.5}, "sample_rate must be a whole number; received 44100.5"),
        ({"model.architecture": None}, "model needs 'architecture'"),
        ({"model": []}, r"model must be an object; received \[\]"),
        ({"data.batchsize": 8}, "data has an unknown key 'batchsize'; did you mean 'batch_size'"),
        ({"data.batch_size": "8"}, "data, batch_size must be a whole number; received '8'"),
        ({"data.batch_size": 0}, "batch_size must be at least 1; received 0"),
        ({"data.gain": [-6.0, 0.0, 6.0]}, "gain must be a list of 2 numbers or null"),
        ({"data.gain": [6.0, -6.0]}, "put the lower one first"),
        ({"data.polarity": 1}, "polarity must be true or false"),
        ({"training.epochs": None}, "training needs 'epochs'"),
        ({"training.steps_per_epoch": 2.5}, "steps_per_epoch must be a whole number"),
        ({"training.loss": [{"name": "l1"}]}, r"training.loss\[0\] needs 'weight'"),
        ({"training.loss": []}, "training needs a loss"),
        ({"training.optimizer": {"name": "adam"}}, "training.optimizer needs 'learning_rate'"),
        ({"training.optimizer": ADAM}, "optimizer 'adam' needs 'clip_norm'"),
        (
            {"training.optimizer": ADAM | {"learning_rate": 0, "clip_norm": 1}},
            "learning_rate must be more than 0; received 0",
        ),
        ({"training.optimizer": ADAM | {"name": "lion"}}, "optimizer must be 'adam' or 'sgd'; received 'lion'"),
        ({"training.adversarial": {"start": 0.5}}, "training.adversarial needs 'weight', 'feature_weight'"),
        ({"export.window_length": -1}, "window_length must be at least 1"),
        ({"export.windows_length": 4096}, "did you mean 'window_length'"),
    ],
    ids=str,
)
def test_a_broken_preset_is_one_line(change, said, tmp_path):
    broken = load_preset(DEFAULT_PRESET)
    for path, value in change.items():
        *parents, key = path.split(".")
        place = broken
        for parent in parents:
            place = place[parent]
        place[key] = value
        if value is None:
            del place[key]
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(broken), "utf-8")
    with pytest.raises(ArtifactError, match=said) as caught:
        load_preset(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_train_refuses_a_broken_preset_before_it_reads_any_music(tmp_path, capsys):
    broken = load_preset(DEFAULT_PRESET)
    broken["data"]["batchsize"] = broken["data"].pop("batch_size")
    (tmp_path / "broken.json").write_text(json.dumps(broken), "utf-8")
    assert cli.main(["train", str(tmp_path / "broken.json"), str(tmp_path / "none.jsonl")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "did you mean 'batch_size'" in error


def test_what_a_preset_says_arrives_with_its_types():
    preset = read_preset(load_preset("paired_resnet_bands_44k"), "paired_resnet_bands_44k")
    assert preset.data.gain == (-6.0, 6.0)
    assert preset.data.undo_encoder_gain is True
    assert preset.training.loss[0].name == "spectral_distance"
    assert preset.training.adversarial is not None and preset.training.adversarial.weight == 0.01
    assert read_preset(load_preset("vdsr_44k"), "vdsr_44k").training.adversarial is None
    assert preset.data.as_cut() == WindowSettings(
        preset.data.window_length, preset.data.batch_size, min_level=-60.0, undo_encoder_gain=True
    )


def test_a_record_of_an_earlier_version_is_not_held_to_todays_keys():
    preset = load_preset(DEFAULT_PRESET) | {"context": 9216}
    preset["training"] |= {"schedule": "cosine"}
    assert check_recorded(preset, "run") == preset
    del preset["export"]["window_length"]
    with pytest.raises(ArtifactError, match="window_length"):
        check_recorded(preset, "run")


def test_a_48_khz_preset_learns_on_the_bands_of_48_khz():
    from keras_audiosr.training.build import build_trainer

    small = load_preset("paired_resnet_bands_44k") | {"name": "small_48k", "sample_rate": 48000}
    small["model"] = {"architecture": "paired_resnet", "config": {"filters": 4, "frame_length": 256}}
    config = {"frame_lengths": [512], "band_weight": 0.5}
    small["training"] |= {"loss": [{"name": "multi_resolution_stft", "weight": 1.0, "config": config}]}
    del small["training"]["adversarial"]
    recipe = read_preset(small, "small_48k")
    loss = build_trainer(recipe, seed=0, make=lambda network, loss, optimizer, **more: loss)
    assert [term.sample_rate for term in loss.losses] == [48000]


def test_the_default_of_version_0_1_0_keeps_its_name():
    assert load_preset("paired_resnet_frame_44k") == load_preset(DEFAULT_PRESET)
    assert bundled_folder("paired_resnet_frame_44k") == bundled_folder(DEFAULT_PRESET)
    assert locate("paired_resnet_frame_44k").place == bundled_folder(DEFAULT_PRESET)
