"""Tests that LAME's gain is read from the tag of an MP3, and undone only for models that were trained without it."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from equivalence import agree
from hypothesis import given
from hypothesis import strategies as st
from mp3_heads import HEADS, head, id3
from tiny_model import tiny_export, write_run

from keras_audiosr import export, play, restore
from keras_audiosr.codecs import CodecSpec, encode_file
from keras_audiosr.datasets import build_dataset
from keras_audiosr.files import audio_files
from keras_audiosr.files.encoder_gain import encoder_gain
from keras_audiosr.runners import load_runner
from keras_audiosr.stages.encode import encode
from keras_audiosr.stages.rip import rip

RATE = 44100


@pytest.fixture(scope="module")
def song(tmp_path_factory, make_music):
    path = tmp_path_factory.mktemp("gain") / "song.flac"
    soundfile.write(path, make_music(duration=4.0), RATE, subtype="PCM_16")
    return path


@pytest.fixture
def mp3(song, tmp_path):
    return encode_file(song, tmp_path / "song.mp3", CodecSpec("mp3", 64)) or tmp_path / "song.mp3"


@pytest.fixture
def undoing(tmp_path):
    """Returns a copy of the tiny model whose metadata say that it was trained with the encoder's gain undone."""
    model = shutil.copytree(tiny_export(), tmp_path / "undoing")
    metadata = json.loads((model / "metadata.json").read_text("utf-8"))
    assert metadata["undo_encoder_gain"] is False
    (model / "metadata.json").write_text(json.dumps(metadata | {"undo_encoder_gain": True}), "utf-8")
    return model


@pytest.mark.parametrize(
    "codec", ["mp3@64k", "mp3@96k", "mp3@128k", "mp3@160k", "mp3@192k", "mp3@224k", "mp3@256k", "mp3@V2", "aac@96k"]
)
def test_the_gain_is_the_one_that_is_measured(tmp_path, codec):
    spec = CodecSpec.parse(codec)
    # Codecs preserve steady tones, so the decoded tones differ from these only by the gain.
    tones = np.sin(2 * np.pi * np.outer(np.arange(2 * RATE) / RATE, [220.0, 550.0, 1210.0])) @ [0.2, 0.1, 0.05]
    soundfile.write(tmp_path / "tones.flac", tones, RATE)
    lossy = tmp_path / f"tones{spec.suffix}"
    encode_file(tmp_path / "tones.flac", lossy, spec)
    decoded = audio_files.read(lossy, RATE)[0][: len(tones), 0]
    middle = slice(RATE // 2, 3 * RATE // 2)
    measured = np.dot(tones[middle], decoded[middle]) / np.dot(tones[middle], tones[middle])
    agree(np.array([encoder_gain(lossy)]), np.array([measured]), 3e-3, codec)


@pytest.mark.parametrize("name", HEADS)
def test_what_the_tag_tells(tmp_path, name):
    content, gain = HEADS[name]
    (tmp_path / "song.mp3").write_bytes(content)
    assert encoder_gain(tmp_path / "song.mp3") == gain


@given(
    st.binary(max_size=600), st.sampled_from([b"", head(b"LAME3.100", preset=128), id3(head(b"Lavc59.37", method=0))])
)
def test_any_bytes_have_a_gain(tmp_path_factory, junk, before):
    path = tmp_path_factory.getbasetemp() / "any.mp3"
    for content in (junk + before, before + junk, before[: len(junk)] + junk):
        path.write_bytes(content)
        assert encoder_gain(path) in (0.95, 0.97, 0.98, 1.0)


def test_only_a_model_trained_so_has_it_undone(mp3, undoing):
    lossy = audio_files.read(mp3, RATE)[0]
    plain, runner = load_runner(tiny_export()), load_runner(undoing)
    assert runner.undo_encoder_gain and not plain.undo_encoder_gain
    expected = plain.run(lossy / np.float32(0.95))
    assert np.abs(expected - plain.run(lossy)).max() > 1e-3
    agree(runner.run(lossy, path=mp3), expected, 1e-6, "undone")
    agree(runner.run(lossy), plain.run(lossy), 0.0, "of an array nothing is known")
    agree(plain.run(lossy, path=mp3), plain.run(lossy), 0.0, "not trained so")


def test_every_way_to_restore_a_file_undoes_it(mp3, undoing, tmp_path):
    lossy = audio_files.read(mp3, RATE)[0]
    expected = load_runner(undoing).run(lossy, path=mp3)
    restore(mp3, tmp_path / "restored.wav", model=undoing, subtype="FLOAT")
    agree(soundfile.read(tmp_path / "restored.wav", dtype="float32")[0], expected, 1e-6, "restore")
    restore(mp3, tmp_path / "half.wav", model=undoing, subtype="FLOAT", strength=0.5)
    agree(soundfile.read(tmp_path / "half.wav", dtype="float32")[0], (lossy + expected) / 2, 1e-6, "half of it")
    restore(mp3, tmp_path / "none.wav", model=undoing, subtype="FLOAT", strength=0.0)
    agree(soundfile.read(tmp_path / "none.wav", dtype="float32")[0], lossy, 0.0, "none of it")
    play(mp3, tmp_path / "played.wav", undoing)
    agree(soundfile.read(tmp_path / "played.wav", dtype="float32")[0], expected, 2e-6, "play")


def test_a_run_says_so_to_what_is_exported(tmp_path):
    run = write_run(tmp_path)
    for name in ("preset.json", "run.json"):
        content = (run / name).read_text("utf-8").replace('"data": {}', '"data": {"undo_encoder_gain": true}')
        (run / name).write_text(content, "utf-8")
    assert load_runner(run).undo_encoder_gain
    model = export(run, tmp_path / "exported")
    assert json.loads((model / "metadata.json").read_text("utf-8"))["undo_encoder_gain"] is True
    for runner in (load_runner(model), load_runner(model / "1", trust=True)):
        assert runner.undo_encoder_gain


def test_windows_to_train_on_are_as_loud_as_the_lossless_ones(shelf, tmp_path):
    rip(shelf, tmp_path / "tracks")
    encode(tmp_path / "tracks" / "tracks.jsonl", tmp_path / "pairs", ["mp3@64k"])
    arguments = {"manifest": tmp_path / "pairs" / "pairs.jsonl", "shuffle": False, "window_length": 4096}
    for (plain, lossless), (undone, same) in zip(
        build_dataset(**arguments), build_dataset(**arguments, undo_encoder_gain=True), strict=True
    ):
        np.testing.assert_array_equal(lossless, same)
        # The side signal can be quiet, but its rounding error is that of the two louder channels it is computed from.
        np.testing.assert_allclose(undone, plain / 0.95, rtol=1e-6, atol=1e-7)
