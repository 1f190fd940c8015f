"""Tests `train`: the loss falls, the run is recorded, and training stops early or with an error when it must."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
from conftest import music

from keras_audiosr import train
from keras_audiosr.datasets import Pair, write_manifest
from keras_audiosr.errors import AudioSRError, NewWeightsWarning, UsageError
from keras_audiosr.losses import build_loss
from keras_audiosr.presets import load_preset


def _write_pairs(folder: Path) -> Path:
    """Writes twelve mono "albums", each with a lossy twin without high frequencies, made without FFmpeg."""
    pairs = []
    for album in range(12):
        lossless = music(1.5, channels=1, seed=album)
        spectrum = np.fft.rfft(lossless, axis=0)
        spectrum[len(spectrum) // 3 :] = 0
        lossy = np.fft.irfft(spectrum, n=len(lossless), axis=0)
        for kind, audio in (("lossless", lossless), ("lossy", lossy)):
            soundfile.write(folder / f"{kind}{album}.flac", audio, 44100, subtype="PCM_16")
        pairs.append(
            Pair(
                f"lossless{album}.flac", f"lossy{album}.flac", f"album {album}", 1, "song", len(lossless) / 44100,
                len(lossless), 44100, 1, "0" * 32, "lowpass@7k", "numpy", 0, "any",
            )
        )  # fmt: skip
    write_manifest(folder / "pairs.jsonl", pairs)
    return folder / "pairs.jsonl"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return _write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """Returns a preset like `paired_resnet_frame_1024_44k` with a network that is small enough to train in seconds."""
    small = load_preset("paired_resnet_frame_1024_44k")
    small["name"] = "paired_resnet_small"
    small["model"]["config"] = {"filters": 8, "frame_length": 256, "batch_normalization": True}
    small["data"] |= {"window_length": 4096, "batch_size": 8}
    small["training"] |= {"epochs": 4, "steps_per_epoch": 6, "validation_steps": 1, "patience": 10}
    # The run has only 24 steps, so they must be large, and the average of the weights must forget the initial ones.
    small["training"]["optimizer"] |= {"learning_rate": 1e-2, "ema_momentum": 0.8}
    path = tmp_path_factory.mktemp("preset") / "small.json"
    path.write_text(json.dumps(small), "utf-8")
    return path


@pytest.fixture(scope="module")
def unbroken(manifest, preset, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    return out, train(preset, manifest, out, seed=3)


def test_loss_falls_and_the_run_leaves_its_record(unbroken, preset):
    out, result = unbroken
    losses = [entry["val_loss"] for entry in result["history"]]
    assert len(losses) == 4
    assert losses[-1] < 0.97 * losses[0]
    record = json.loads((out / "run.json").read_text("utf-8"))
    assert record["arguments"]["seed"] == 3
    assert len(record["arguments"]["corpus_sha256"]) == 64
    assert record["versions"]["keras"] == keras.__version__
    assert json.loads((out / "history.json").read_text("utf-8")) == result["history"]
    assert len((out / "history.csv").read_text("utf-8").splitlines()) == 5
    assert json.loads((out / "preset.json").read_text("utf-8"))["name"] == "paired_resnet_small"
    events = sorted(path.parent.name for path in (out / "tensorboard").rglob("events*"))
    assert {"clips", "train", "validation"} <= set(events)
    assert {"loss", "val_loss", "val_snr", "val_lsd", "val_band_distance", "val_band_bias"} <= set(result["history"][0])


def test_kept_weights_are_the_best_epochs_average(unbroken, manifest):
    from keras_audiosr.datasets import build_dataset

    out, result = unbroken
    model = keras.saving.load_model(out / "best.keras")
    data = build_dataset(
        manifest, split="validation", drop_remainder=True, seed=3, window_length=4096, batch_size=8, min_level=-60.0
    )
    best = min(entry["val_loss"] for entry in result["history"])
    lossy, lossless = next(iter(data))
    loss = build_loss(json.loads((out / "preset.json").read_text("utf-8"))["training"]["loss"])
    found = float(np.mean(loss.call(lossless, model(lossy))))
    assert found == pytest.approx(best, abs=1e-4)


def test_finished_run_called_again_does_nothing(unbroken, manifest, preset):
    out, result = unbroken
    before = (out / "best.keras").read_bytes()
    assert train(preset, manifest, out, seed=3)["history"] == result["history"]
    assert (out / "best.keras").read_bytes() == before


def test_a_run_that_began_on_left_and_right_does_not_go_on_with_mid_and_side(unbroken, manifest, preset, tmp_path):
    record = json.loads((unbroken[0] / "run.json").read_text("utf-8"))
    assert record["arguments"].pop("signals") == "mid and side"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps(record), "utf-8")
    with pytest.raises(UsageError, match='signals was not set and is now "mid and side"; name another folder'):
        train(preset, manifest, tmp_path / "run", seed=3)


def test_a_run_begins_with_the_weights_of_another(unbroken, manifest, preset, tmp_path):
    start = keras.saving.load_model(unbroken[0] / "best.keras").get_weights()
    still = json.loads(preset.read_text("utf-8"))
    path = tmp_path / "still.json"
    few = {"epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-30}
    train(preset, manifest, tmp_path / "run", initial_weights=unbroken[0], **few)
    rates, its_own = (
        json.loads(file.read_text("utf-8"))["training"]["optimizer"] for file in (tmp_path / "run/preset.json", preset)
    )
    assert rates["learning_rate"] == 1e-30
    assert rates["final_learning_rate"] / 1e-30 == pytest.approx(
        its_own["final_learning_rate"] / its_own["learning_rate"]
    )
    # The moving means of batch normalization change at any learning rate, so they are not compared.
    trained = keras.saving.load_model(tmp_path / "run" / "best.keras")
    for variable, before in zip(trained.weights, start, strict=True):
        if variable.trainable:
            np.testing.assert_allclose(variable.numpy(), before, atol=1e-6)
    with pytest.raises(UsageError, match="initial_weights"):
        train(preset, manifest, tmp_path / "run", **few)
    with pytest.raises(UsageError, match="learning_rate must be more than 0; received 0.0"):
        train(preset, manifest, tmp_path / "other", learning_rate=0.0)
    still["model"]["config"]["filters"] = 12
    path.write_text(json.dumps(still), "utf-8")
    with pytest.raises(UsageError, match="initial weights must fit"):
        train(path, manifest, tmp_path / "other", initial_weights=unbroken[0], **few)
    assert not (tmp_path / "other").exists(), "a run that was refused leaves its folder free"
    # Another frame length changes the shapes of the first and the last convolution only.
    still["model"]["config"] |= {"filters": 8, "frame_length": 512}
    path.write_text(json.dumps(still), "utf-8")
    with pytest.warns(NewWeightsWarning, match="keeps its random values"):
        train(path, manifest, tmp_path / "longer", initial_weights=unbroken[0], **few)
    longer = keras.saving.load_model(tmp_path / "longer" / "best.keras").get_weights()
    same = [one.shape == two.shape for one, two in zip(longer, start, strict=True)]
    assert 0 < same.count(False) < len(same) / 2
    for one, two in zip(longer[1:-1], start[1:-1], strict=True):
        if one.shape == two.shape and one.ndim > 2:
            np.testing.assert_allclose(one, two, atol=1e-6)


def test_folder_with_other_files_is_refused(manifest, preset, tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="other files"):
        train(preset, manifest, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_early_stopping_ends_the_run(manifest, preset, tmp_path):
    patient = json.loads(preset.read_text("utf-8"))
    patient["training"] |= {"patience": 1, "epochs": 9, "steps_per_epoch": 1}
    # At this learning rate nothing is learnt, so no epoch is better than the first.
    patient["training"]["optimizer"] |= {"learning_rate": 1e-30, "final_learning_rate": 1e-31}
    path = tmp_path / "patient.json"
    path.write_text(json.dumps(patient), "utf-8")
    assert len(train(path, manifest, tmp_path / "run")["history"]) == 2
    assert len(train(path, manifest, tmp_path / "run")["history"]) == 2


def test_nan_loss_stops_with_a_word_and_keeps_the_checkpoint(manifest, preset, tmp_path):
    wild = json.loads(preset.read_text("utf-8"))
    wild["training"]["optimizer"] |= {"learning_rate": 1e38, "final_learning_rate": 1e37}
    path = tmp_path / "wild.json"
    path.write_text(json.dumps(wild), "utf-8")
    with pytest.raises(AudioSRError, match="learning_rate"):
        train(path, manifest, tmp_path / "run")
    assert (tmp_path / "run" / "state" / "state.json").is_file()
