"""Tests that the player in C returns the same samples as the Python runner.

The tests need a C compiler, make, and libLiteRt.so, which is part of ai-edge-litert's wheel for Linux.
"""

import ctypes
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mp3_heads import HEADS
from tiny_model import write_frame_run

from keras_audiosr.files import audio_files
from keras_audiosr.runners.streaming import StreamingRunner
from keras_audiosr.stages.export import export

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "tools" / "player"
LITERT = Path(importlib.util.find_spec("ai_edge_litert").submodule_search_locations[0])
pytestmark = [
    pytest.mark.skipif(not (shutil.which("cc") and shutil.which("make")), reason="needs cc and make"),
    pytest.mark.skipif(not (LITERT / "libLiteRt.so").is_file(), reason="needs the libLiteRt.so of ai-edge-litert"),
]
STEP = "stream_1024.tflite"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return export(write_frame_run(tmp_path_factory.mktemp("run")), tmp_path_factory.mktemp("models"), stream=[1024])


@pytest.fixture(scope="module")
def player(tmp_path_factory):
    """Compiles the player, with warnings as errors, and returns its path."""
    folder = tmp_path_factory.mktemp("player")
    for name in ("player.c", "encoder_gain.c", "encoder_gain.h", "Makefile"):
        shutil.copy(SOURCE / name, folder)
    flags = "CFLAGS=-O1 -std=c11 -Wall -Wextra -Werror"
    subprocess.run(["make", "-C", folder, f"PYTHON={sys.executable}", flags], check=True, stdout=subprocess.DEVNULL)
    return folder / "player"


def run(player, model, content, channels, *options):
    metadata = json.loads((model / "metadata.json").read_text())
    described = metadata["streaming"][STEP]
    numbers = [metadata["context"], described["latency"], described["warm_up"], channels]
    command = [player, *options, model / STEP, *numbers]
    return subprocess.run([str(part) for part in command], input=content, capture_output=True, check=False)


def test_it_is_short():
    assert len((SOURCE / "player.c").read_text().splitlines()) < 250


# Slightly more than a second, one step, less than one step, and no samples.
@pytest.mark.parametrize("length", [50_000, 1024, 700, 0])
@pytest.mark.parametrize("channels", range(1, 9))
def test_it_gives_what_python_gives(player, model, make_music, length, channels):
    audio = make_music(duration=1.5, channels=channels)[:length]
    done = run(player, model, audio.astype("<f4").tobytes(), channels)
    assert done.returncode == 0, done.stderr
    played = np.frombuffer(done.stdout, "<f4").reshape(-1, channels)
    np.testing.assert_allclose(played, StreamingRunner(model, STEP).run(audio), atol=1e-5)
    assert length == 0 or np.abs(played - audio).max() > 1e-4


def test_the_stereo_image_stays(player, model, make_music):
    def played(audio):
        done = run(player, model, audio.astype("<f4").tobytes(), audio.shape[1])
        return np.frombuffer(done.stdout, "<f4").reshape(audio.shape)

    audio = make_music(duration=0.5)
    for silent in (0, 1):
        panned = audio.copy()
        panned[:, silent] = 0.0
        restored = played(panned)
        assert not restored[:, silent].any()
        assert np.abs(restored - panned).max() > 1e-4
    twice = played(audio[:, [0, 0]])
    np.testing.assert_array_equal(twice[:, 0], twice[:, 1])
    np.testing.assert_array_equal(twice[:, :1], played(audio[:, :1]))
    audio[5000:] = 0.0
    assert not played(audio)[-1000:].any()


def test_samples_beyond_full_scale_come_out_as_they_are(player, model, make_music):
    audio = 2 * make_music(duration=0.5)
    done = run(player, model, audio.astype("<f4").tobytes(), 2)
    played = np.frombuffer(done.stdout, "<f4").reshape(-1, 2)
    expected = StreamingRunner(model, STEP).run(audio)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(played, expected, atol=2e-5)


def test_the_gain_that_an_encoder_gave_is_read_as_python_reads_it(tmp_path):
    library = tmp_path / "encoder_gain.so"
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", SOURCE / "encoder_gain.c"]
    subprocess.run([*command, "-o", library], check=True)
    encoder_gain = ctypes.CDLL(str(library)).encoder_gain
    encoder_gain.restype, encoder_gain.argtypes = ctypes.c_double, [ctypes.c_char_p]
    found = {}
    for name, (content, _) in HEADS.items():
        (tmp_path / "song.mp3").write_bytes(content)
        found[name] = encoder_gain(bytes(tmp_path / "song.mp3"))
    assert found == {name: gain for name, (_, gain) in HEADS.items()}
    assert encoder_gain(bytes(tmp_path / "none.mp3")) == 0


def test_the_encoders_gain_is_undone(player, model, make_music, tmp_path):
    (tmp_path / "song.mp3").write_bytes(HEADS["LAME, 128 kbit/s"][0])
    audio = make_music(duration=0.5)
    expected = StreamingRunner(model, STEP).run(audio * np.float32(1 / 0.95))
    for options in (("--gain", 0.95), ("--mp3", tmp_path / "song.mp3")):
        done = run(player, model, audio.astype("<f4").tobytes(), 2, *options)
        assert done.returncode == 0, done.stderr
        played = np.frombuffer(done.stdout, "<f4").reshape(-1, 2)
        np.testing.assert_allclose(played, expected, atol=1e-5)


def test_errors_are_one_line(player, model, tmp_path):
    for command, says in [
        ([player], "usage: "),
        ([player, model / "none.tflite", 1, 1, 1, 1], "its folder has stream_1024.tflite"),
        ([player, tmp_path / "none.tflite", 1, 1, 1, 1], "make one with 'keras-audiosr export"),
        ([player, model / "model.tflite", 1, 1, 1, 1], "must be a step"),
        ([player, model / STEP, 1, 1, 1, 9], "CHANNELS"),
        ([player, "--gain", 0, model / STEP, 1, 1, 1, 1], "GAIN must be"),
        ([player, "--mp3", tmp_path / "none.mp3", model / STEP, 1, 1, 1, 1], "--mp3 needs a file"),
    ]:
        done = subprocess.run([str(part) for part in command], input=b"", capture_output=True, check=False)
        assert done.returncode == 1
        assert done.stderr.decode().splitlines()[-1].startswith("player: error: ")
        assert says in done.stderr.decode()


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg on PATH")
def test_the_example_of_the_readme_runs_as_it_is_written(player, tmp_path):
    readme = (SOURCE / "README.md").read_text()
    example = re.search(r"```sh\n(folder=.*?)```", readme, re.DOTALL)[1]
    listened, rest = example.rsplit("|", 1)
    assert rest.strip().startswith("aplay -f FLOAT_LE")
    place = tmp_path / "tools" / "player"
    place.mkdir(parents=True)
    shutil.copy(player, place)
    (tmp_path / "exported_models").symlink_to(ROOT / "exported_models")
    shutil.copy(ROOT / "tests" / "data" / "loop_tabla.mp3", place / "song.mp3")
    script = listened.replace("python3", sys.executable) + "> played.f32"
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=place, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    lossy, _ = audio_files.read(place / "song.mp3", 44100)
    played = np.fromfile(place / "played.f32", "<f4").reshape(-1, 2)
    assert abs(len(played) - len(lossy)) < 2000
    assert np.isfinite(played).all()
    assert 1e-3 < np.abs(played[: len(lossy)] - lossy[: len(played)]).max() < 1


def test_the_models_that_the_documents_name_are_there():
    named = [
        (document.name, path)
        for document in (SOURCE / "README.md", ROOT / "docs" / "device" / "player.md")
        for path in re.findall(r"exported_models/\w+/[\w*]+\.tflite", document.read_text("utf-8"))
    ]
    assert named
    assert [(document, path) for document, path in named if not list(ROOT.glob(path))] == []
