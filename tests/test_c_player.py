"""The player in C gives the samples that Python's runner gives.

Needs a C compiler and make, and libLiteRt.so, which the wheel of ai-edge-litert brings on Linux.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_model import write_frame_run

from keras_audiosr.export import export
from keras_audiosr.runners.streaming import StreamingRunner

SOURCE = Path(__file__).parents[1] / "tools" / "player"
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
    """The program, without a warning."""
    folder = tmp_path_factory.mktemp("player")
    for name in ("player.c", "Makefile"):
        shutil.copy(SOURCE / name, folder)
    flags = "CFLAGS=-O1 -std=c11 -Wall -Wextra -Werror"
    subprocess.run(["make", "-C", folder, f"PYTHON={sys.executable}", flags], check=True, stdout=subprocess.DEVNULL)
    return folder / "player"


def run(player, model, content, *last):
    described = json.loads((model / "metadata.json").read_text())["streaming"][STEP]
    command = [player, model / STEP, described["latency"], described["warm_up"], *last]
    return subprocess.run([str(part) for part in command], input=content, capture_output=True, check=False)


def test_it_is_short():
    assert len((SOURCE / "player.c").read_text().splitlines()) < 200


# A second and a bit, less than the latency, nothing.
@pytest.mark.parametrize("length", [50_000, 1024, 700, 0])
@pytest.mark.parametrize("channels", [1, 2])
def test_it_gives_what_python_gives(player, model, make_music, length, channels):
    audio = make_music(duration=1.5, channels=channels)[:length]
    done = run(player, model, audio.astype("<f4").tobytes(), channels, "f32")
    assert done.returncode == 0, done.stderr
    played = np.frombuffer(done.stdout, "<f4").reshape(-1, channels)
    np.testing.assert_allclose(played, StreamingRunner(model, STEP).run(audio), atol=1e-5)
    assert length == 0 or np.abs(played - audio).max() > 1e-4


def test_sixteen_bits_are_rounded_and_clamped(player, model, make_music):
    pcm = np.rint(2 * make_music(duration=0.5) * 32767).astype("<i2")
    done = run(player, model, pcm.tobytes(), 2)
    played = np.frombuffer(done.stdout, "<i2").reshape(-1, 2)
    expected = StreamingRunner(model, STEP).run(pcm.astype(np.float32) / 32768)
    assert np.abs(expected).max() > 1
    expected = np.clip(np.rint(expected * 32768), -32768, 32767)
    np.testing.assert_allclose(played, expected, atol=1)


def test_errors_are_one_line(player, model):
    for command, says in [
        ([player], "usage: "),
        ([player, model / "none.tflite", 1, 1, 1], "a stream_"),
        ([player, model / "model.tflite", 1, 1, 1], "no step"),
        ([player, model / STEP, 1, 1, 9], "CHANNELS"),
    ]:
        done = subprocess.run([str(part) for part in command], input=b"", capture_output=True, check=False)
        assert done.returncode == 1
        assert done.stderr.decode().splitlines()[-1].startswith("player: error: ")
        assert says in done.stderr.decode()
