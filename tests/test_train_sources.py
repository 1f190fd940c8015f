"""Tests the sources of training windows (pairs, shards and a pool), and runs whose records are damaged."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import music
from test_train import _write_pairs
from tiny_model import write_run

from keras_audiosr import cli, train, window
from keras_audiosr.datasets import Pair, read_manifest, write_manifest
from keras_audiosr.errors import AudioSRError
from keras_audiosr.presets import load_preset
from keras_audiosr.presets.settings import WindowSettings
from keras_audiosr.runners import load_runner
from keras_audiosr.training.collection import Collection
from keras_audiosr.training.pool import Pool, draw, write
from keras_audiosr.training.producers import Producers


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return _write_pairs(tmp_path_factory.mktemp("pairs"))


def small_preset():
    small = load_preset("paired_resnet_frame_1024_44k")
    small["name"] = "paired_resnet_small"
    small["model"]["config"] = {"filters": 8, "frame_length": 256, "batch_normalization": False}
    small["data"] |= {"window_length": 4096, "batch_size": 8, "undo_encoder_gain": False}
    small["training"] |= {"epochs": 3, "steps_per_epoch": 4, "validation_steps": 1, "patience": 10}
    small["training"]["loss"] = [{"name": "l1", "weight": 1.0}]
    return small


@pytest.fixture
def preset(tmp_path):
    path = tmp_path / "small.json"
    path.write_text(json.dumps(small_preset()), "utf-8")
    return path


@pytest.fixture(scope="module")
def windows(manifest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows") / "train"
    window(manifest, folder, window_length=4096, split="train", min_level=-60.0)
    return folder


def test_shards_are_trained_on_without_a_service_and_a_run_resumes(manifest, windows, preset, tmp_path):
    whole = train(preset, manifest, tmp_path / "whole", windows=windows, seed=3)["history"]
    assert whole[-1]["val_loss"] < whole[0]["val_loss"]
    train(preset, manifest, tmp_path / "run", windows=windows, seed=3)
    # This is the state of a run that was killed in its third epoch, which is then lost.
    run = tmp_path / "run"
    (run / "history.json").unlink()
    assert json.loads((run / "state" / "state.json").read_text())["epoch"] == 2
    assert train(preset, manifest, run, windows=windows, seed=3)["history"] == whole
    with pytest.raises(AudioSRError, match="window_length 4096, not 2048"):
        other = small_preset()
        other["data"]["window_length"] = 2048
        preset.write_text(json.dumps(other), "utf-8")
        train(preset, manifest, tmp_path / "other", windows=windows)


def test_pairs_of_another_rate_are_left_out_with_a_word(manifest, preset, tmp_path, capsys):
    folder = Path(shutil.copytree(manifest.parent, tmp_path / "pairs"))
    pairs = read_manifest(folder / manifest.name, Pair)
    for kind in ("lossless", "lossy"):
        soundfile.write(folder / f"{kind}0.flac", music(1.5, 48000, 1), 48000)
    changed = {**pairs[0].__dict__, "sample_rate": 48000, "length": 72000}
    write_manifest(folder / manifest.name, [Pair(**changed), *pairs[1:]])
    arguments = ["train", str(preset), str(folder / manifest.name), "-o", str(tmp_path / "run"), "--epochs", "1"]
    assert cli.main(arguments) == 0
    error = capsys.readouterr().err
    assert "1 of 12 pairs are left out" in error and "lossless0.flac has 48000" in error


def write_catalog(folder):
    """Writes six "albums" of three seconds each, and a catalog like that of tools/fetch_music.py. Returns its path."""
    lines = []
    for album in range(6):
        soundfile.write(folder / f"{album}.flac", music(3.0, seed=album), 44100, subtype="PCM_16")
        lines.append(
            {"path": f"{album}.flac", "split": "train", "album": f"album {album}", "kind": "lossless", "cutoff": None,
             "seconds": 3.0}
        )  # fmt: skip
    path = folder / "catalog.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def test_a_pool_is_trained_on_with_discriminators(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("keras_audiosr.training.runs._POOL_BYTES", 64 * 8 * 4096)
    recipe = small_preset()
    recipe["training"] |= {"steps_per_epoch": 2, "adversarial": {"start": 0.5, "weight": 0.01, "feature_weight": 0.1}}
    recipe["training"]["adversarial"] |= {"frame_lengths": [256], "filters": 4, "samples": 2048}
    (tmp_path / "small.json").write_text(json.dumps(recipe), "utf-8")
    catalog = write_catalog(tmp_path)
    run = tmp_path / "run"
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else tmp_path
    before = set(memory.glob("keras-audiosr-pool-*"))
    arguments = ["train", str(tmp_path / "small.json"), "-o", str(run), "--pool", str(catalog), "--epochs", "2"]
    assert cli.main(arguments) == 0, capsys.readouterr().err
    history = json.loads((run / "history.json").read_text())
    assert "discriminator" not in history[0] and np.isfinite(history[1]["discriminator"])
    assert json.loads((run / "run.json").read_text())["arguments"]["preset"]["name"] == "paired_resnet_small"
    assert load_runner(run).run(music(0.3)).shape == music(0.3).shape
    assert set(memory.glob("keras-audiosr-pool-*")) <= before
    assert cli.main([*arguments[:-2], "--epochs", "3"]) == 2
    assert "preset.training.epochs was 2 and is now 3;" in capsys.readouterr().err
    assert cli.main([*arguments[:4], "--pool", str(tmp_path / "none.jsonl"), "--minutes", "1"]) == 2
    assert "tools/fetch_music.py makes one" in capsys.readouterr().err


def test_two_runs_share_one_copy_of_the_music(preset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("keras_audiosr.training.runs._POOL_BYTES", 64 * 8 * 4096)
    catalog = write_catalog(tmp_path)
    music = Path(Collection.gather(catalog, tmp_path / "first" / "music").path)
    catalog.unlink()
    for path in tmp_path.glob("*.flac"):
        path.unlink()
    words = ["train", str(preset), "--pool", str(music.parent), "--epochs", "1", "--steps-per-epoch", "2"]
    assert cli.main([*words, "-o", str(tmp_path / "second")]) == 0, capsys.readouterr().err
    assert not list((tmp_path / "second").rglob("music.npy"))
    music.write_bytes(music.read_bytes()[:-4])
    assert cli.main([*words, "-o", str(tmp_path / "third")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "remove its folder to gather it again" in error


def test_a_run_without_room_for_its_music_says_what_it_needs(preset, tmp_path, capsys, monkeypatch):
    catalog, usage = write_catalog(tmp_path), shutil.disk_usage(tmp_path)
    needed = 6 * 3 * 44100 * 4
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=needed - 1))
    words = ["train", str(preset), "--pool", str(catalog), "-o", str(tmp_path / "run"), "--epochs", "1"]
    assert cli.main(words) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "needs 3.2 MB, and 3.2 MB are free;" in error and "--pool RUN/music" in error
    assert not (tmp_path / "run").exists(), "another run can have the folder"
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=needed))
    Collection.gather(catalog, tmp_path / "music")
    with pytest.raises(AudioSRError, match="--shm-size"):
        Pool(tmp_path / "pool").prepare(needed, 4096)


def test_producers_fill_the_pool_and_end_with_a_word(tmp_path):
    pool = Pool(tmp_path / "pool")
    pool.prepare(8, 4096)
    collection = Collection.gather(write_catalog(tmp_path), tmp_path / "collection")
    making = Producers(collection, WindowSettings(4096, batch_size=1, min_level=-60.0), pool, 2, (0,), nice=19)
    try:
        making.wait(pool, 1.0)
        windows, cutoffs = draw(pool.open(), 64, np.random.default_rng(0))
        assert len(np.unique(windows[:, 1], axis=0)) > 4, "windows must differ"
        # Lossy and lossless windows differ, but come from the same music.
        assert (windows[:, 0] != windows[:, 1]).any(axis=1).all()
        products = np.sum(windows[:, 0] * windows[:, 1], axis=1)
        # An encoder may have removed most of the sound in a few of the eight windows, so only the median is compared.
        assert np.median(products / np.prod(np.linalg.norm(windows, axis=2), axis=1)) > 0.5
        assert (cutoffs > 15000).all()
        making.check()
    finally:
        making.stop()
    with pytest.raises(AudioSRError, match="one has ended"):
        making.check()
    pool.prepare(8, 4096)
    assert pool.filled() == 1.0, "what is there is kept"
    pool.prepare(4, 4096)
    assert pool.filled() == 0.0


def test_draw_takes_whole_windows_only(tmp_path):
    pool = Pool(tmp_path)
    pool.prepare(4, 16)
    windows, cutoffs, versions = pool.open()
    windows[:] = np.arange(4)[:, None, None]
    cutoffs[:] = np.arange(4)
    versions[:] = (2, 1, 0, 4)  # written once, half written, never written, written twice
    drawn, below = draw(pool.open(), 64, np.random.default_rng(0))
    assert set(np.unique(drawn)) == set(below) == {0.0, 3.0}
    write(pool.open(), 1, 7.0, 8.0, 9.0)
    # The odd version of slot 1 means that its writer was killed. After a complete write the version is even.
    assert pool.open()[2].tolist() == [2, 4, 0, 4]


@pytest.mark.parametrize("text", ["", "[]", '{"arguments": 3}', "{"])
def test_a_damaged_history_of_a_run_is_one_line(text, manifest, preset, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "history.json").write_text(text)
    write_run(run)
    (run / "history.json").write_text(text)
    assert cli.main(["export", str(run), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "history.json must contain its epochs" in error
    (run / "history.json").unlink()
    (run / "run.json").write_text(text)
    assert cli.main(["export", str(run), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "run.json must contain its arguments" in error


@pytest.mark.parametrize("text", ["{", "[]", '{"split": "train"}', '{"split": "train", "seconds": "long"}'])
def test_a_damaged_catalog_is_one_line(text, preset, tmp_path, capsys):
    (tmp_path / "catalog.jsonl").write_text(text)
    words = ["train", str(preset), "-o", str(tmp_path / "run"), "--pool", str(tmp_path / "catalog.jsonl")]
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "tools/fetch_music.py makes one" in error


@pytest.mark.parametrize("text", ["", "[]", '{"arguments": 3}', "{"])
def test_a_damaged_record_of_a_run_is_one_line(text, manifest, preset, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(text)
    assert cli.main(["train", str(preset), str(manifest), "-o", str(run)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "run.json must contain its arguments" in error
