"""Tests that `window` writes the same windows as the pipeline makes, and writes either all of them or none."""

import argparse
import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf
from test_pipeline import collect, make_pairs

from keras_audiosr.datasets import build_dataset, read_records, shards, write_manifest
from keras_audiosr.errors import AudioFileError, ManifestError, OutputExistsError, UsageError
from keras_audiosr.processes import partial_files
from keras_audiosr.stages.window import add_arguments, run, window


@pytest.fixture(scope="module")
def manifest(tmp_path_factory, make_music):
    folder = tmp_path_factory.mktemp("corpus")
    write_manifest(folder / "pairs.jsonl", make_pairs(folder, make_music, albums=2))
    return folder / "pairs.jsonl"


def left_over(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "arguments", [{}, {"window_length": 1500, "hop_length": 700}, {"codecs": ["mp3@32k"]}, {"min_level": -30.0}]
)
def test_records_are_the_windows_of_the_pipeline_bit_for_bit(manifest, tmp_path, arguments):
    index = window(manifest, tmp_path / "out", shard_size=50, **arguments)
    expected = collect(build_dataset(manifest, shuffle=False, batch_size=9, **arguments))
    dataset = read_records(tmp_path / "out", batch_size=9)
    for side, found in zip(expected, collect(dataset), strict=True):
        np.testing.assert_array_equal(found, side)
    assert dataset.element_spec == (tf.TensorSpec((None, arguments.get("window_length", 2000), 1)),) * 2
    assert int(dataset.cardinality()) == -(-len(expected[0]) // 9)
    assert index["windows"] == len(expected[0])
    assert [shard["windows"] for shard in index["shards"]][:-1] == [50] * (len(index["shards"]) - 1)
    assert json.loads((tmp_path / "out" / "index.json").read_text()) == json.loads(json.dumps(index))
    assert index["manifest_sha256"] == hashlib.sha256(manifest.read_bytes()).hexdigest()
    assert left_over(tmp_path) == ["out"]


def test_the_remainder_can_be_dropped(manifest, tmp_path):
    index = window(manifest, tmp_path / "out")
    batches = list(read_records(tmp_path / "out", 100, drop_remainder=True))
    assert [len(lossy) for lossy, _ in batches] == [100] * (index["windows"] // 100)


def test_an_output_is_replaced_only_when_asked(manifest, tmp_path):
    out = tmp_path / "out"
    window(manifest, out)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        window(manifest, out, window_length=1000)
    assert read_records(out).element_spec[0].shape[1] == 2000
    window(manifest, out, window_length=1000, overwrite=True)
    assert read_records(out).element_spec[0].shape[1] == 1000
    assert left_over(tmp_path) == ["out"]


def test_a_folder_of_something_else_is_never_replaced(manifest, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"meow")
    with pytest.raises(OutputExistsError, match="index.json"):
        window(manifest, tmp_path / "photos", overwrite=True)
    assert left_over(tmp_path / "photos") == ["cat.jpg"]


def test_a_failure_leaves_the_old_output_and_nothing_else(manifest, tmp_path, make_music):
    broken = tmp_path / "broken"
    broken.mkdir()
    pairs = make_pairs(broken, make_music, albums=2)
    write_manifest(broken / "pairs.jsonl", pairs)
    (broken / "album1.64k.mp3").write_bytes((broken / "album1.64k.mp3").read_bytes()[:3000])
    window(manifest, tmp_path / "out")
    before = (tmp_path / "out" / "index.json").read_bytes()
    with pytest.raises(AudioFileError, match="album1.64k.mp3") as caught:
        window(broken / "pairs.jsonl", tmp_path / "out", overwrite=True)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "out" / "index.json").read_bytes() == before
    assert left_over(tmp_path) == ["broken", "out"]


def test_what_a_killed_run_left_is_removed_but_a_running_ones_is_not(manifest, tmp_path):
    """Locks of the operating system show which runs are alive.

    Process IDs are not suitable, because they are reused and mean nothing on a shared disk.
    """
    (tmp_path / ".0123456789abcdef.partial").mkdir()
    with partial_files.partial_folder(tmp_path / "other") as alive:
        partial_files._swept.clear()
        window(manifest, tmp_path / "out")
        assert left_over(tmp_path) == sorted([alive.name, f"{alive.name}.lock", "out"])


def test_nothing_to_write_is_an_error(manifest, tmp_path):
    with pytest.raises(ManifestError, match="min_level"):
        window(manifest, tmp_path / "out", min_level=0.0)
    with pytest.raises(ManifestError, match="aac@96k"):
        window(manifest, tmp_path / "out", codecs=["aac@96k"])
    with pytest.raises(UsageError, match="shard_size"):
        window(manifest, tmp_path / "out", shard_size=0)
    assert not left_over(tmp_path)


def test_reading_something_else_is_an_error(manifest, tmp_path):
    with pytest.raises(ManifestError, match="keras-audiosr window"):
        read_records(tmp_path)
    window(manifest, tmp_path / "out")
    next((tmp_path / "out").glob("*.tfrecord")).unlink()
    with pytest.raises(ManifestError, match="is missing"):
        read_records(tmp_path / "out")
    (tmp_path / "out" / "index.json").write_text('{"format": 99}')
    with pytest.raises(ManifestError, match="format 99"):
        shards.read_index(tmp_path / "out")
    # Earlier versions wrote windows of left and right, as format 1.
    (tmp_path / "out" / "index.json").write_text('{"format": 1, "shards": []}')
    with pytest.raises(ManifestError, match=r"format 1, not 2 \(windows of mid and side\); run it again"):
        read_records(tmp_path / "out")


def test_the_command_line(manifest, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = [
        str(manifest),
        str(tmp_path / "out"),
        "--window-length",
        "4000",
        "--hop-length",
        "2000",
        "--codec",
        "mp3@64k",
    ]
    assert run(parser.parse_args(words)) == 0
    expected = collect(build_dataset(manifest, window_length=4000, hop_length=2000, codecs=["mp3@64k"], shuffle=False))
    np.testing.assert_array_equal(collect(read_records(tmp_path / "out"))[0], expected[0])
    assert f"{len(expected[0])} windows of 4000 samples in 1 shards" in capsys.readouterr().out
