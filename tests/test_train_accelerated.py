"""tools/train_accelerated.py: the pairs it makes are aligned, level and whole; what it leaves is a run like train's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from accelerator.music import RATE, gather, varied  # noqa: E402 tools/ is no package
from accelerator.pairs import CODECS, Pool, draw, round_trip, windows_of  # noqa: E402

from keras_audiosr.codecs.align import measure_delay  # noqa: E402
from keras_audiosr.presets import load_preset  # noqa: E402

DATA = {**load_preset("paired_resnet_frame_44k")["data"], "window_length": 4096}


@pytest.fixture(scope="module")
def pcm(make_music):
    return np.rint(32767 * 1.6 * make_music(4.0)).astype(np.int16)


@pytest.mark.parametrize("codec", [codec for _, codecs in CODECS for codec in codecs])
def test_round_trips_have_no_lag_and_the_level_of_the_music(codec, pcm, tmp_path):
    lossy = round_trip(pcm, codec, tmp_path, undo_encoder_gain=True)
    lossless = pcm.astype(np.float32) / 32768.0
    assert lossy.shape == lossless.shape
    assert measure_delay(lossless, lossy, RATE).delay == 0
    if codec.startswith("mp3"):
        # Under 4 kHz, which all of them keep. LAME by itself: 0.95.
        low = [np.abs(np.fft.rfft(signal[RATE // 2 : -RATE // 2, 0]))[: 4000 * 3] for signal in (lossless, lossy)]
        assert 0.97 < float(low[0] @ low[1] / (low[0] @ low[0])) < 1.03


def test_windows_are_what_the_preset_says(pcm, tmp_path):
    silent = pcm.copy()
    silent[2 * RATE :] = 0
    all_of_it, half = (windows_of(samples, "mp3@64k", tmp_path, DATA, 7) for samples in (pcm, silent))
    assert len(half) < len(all_of_it)
    for lossy, lossless in half:
        assert lossy.shape == lossless.shape == (4096,) and lossy.dtype == lossless.dtype == np.float32
        assert np.mean(np.square(lossless)) >= 1e-6


def test_excerpts_are_varied_whole_and_follow_from_the_seed(shelf, tmp_path):
    found = gather(shelf, tmp_path)
    assert {split for split, _, _ in found.tracks} == {"train", "validation"}
    samples = np.load(found.path)
    _, start, length = found.tracks[0]
    first, _ = soundfile.read(sorted(shelf.glob("*/*.flac"))[0], dtype="int16")
    np.testing.assert_array_equal(samples[start : start + length], first)
    made = [varied(samples, found.of("train"), 2.0, np.random.default_rng(seed)) for seed in (0, 0, *range(1, 20))]
    np.testing.assert_array_equal(made[0], made[1])
    for one in made:
        assert one.dtype == np.int16 and one.shape[1] == 2 and 1.2 * RATE < len(one) < 3 * RATE
        assert 300 < np.abs(one.astype(int)).max() <= 32767
    assert len({one.tobytes() for one in made}) == 20


def test_draw_takes_whole_windows_only(tmp_path):
    pool = Pool(str(tmp_path), 4, 16)
    pool.create()
    windows, versions = pool.open()
    windows[:] = np.arange(4)[:, None, None]
    versions[:] = (2, 1, 0, 4)  # written once, half written, never, written twice
    drawn = draw(windows, versions, 64, np.random.default_rng(0))
    assert set(np.unique(drawn)) == {0.0, 3.0}


def run_tool(*arguments, **environment):
    command = [sys.executable, ROOT / "tools" / "train_accelerated.py", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=900)


def test_a_run_is_one_like_that_of_train(shelf, tmp_path):
    pytest.importorskip("jax", reason="the reference environment has no JAX; the newest leg has")
    preset = load_preset("paired_resnet_frame_44k")
    preset["name"] = "tiny"
    preset["model"]["config"] |= {"filters": 4, "frame_length": 64, "hop_length": 16}
    preset["data"] = DATA
    preset["training"]["loss"][0]["config"] |= {"frame_lengths": [256]}
    (tmp_path / "tiny.json").write_text(json.dumps(preset))
    out = tmp_path / "out"
    arguments = (shelf, out, "--preset", tmp_path / "tiny.json", "--minutes", 0.1, "--slots", 64, "--batch-size", 4)
    # XLA's FFT can wait for ever on a processor with few cores when its operations have threads of their own.
    flags = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    done = run_tool(*arguments, "--producers", 1, **flags)
    assert done.returncode == 0, done.stderr[-2000:]
    history = json.loads((out / "tiny" / "history.json").read_text())
    assert history[-1]["step"] > 0 and np.isfinite(history[-1]["val_loss"])
    assert set(history[-1]) > {"mp3@32k", "aac@64k"}
    assert not list(Path("/dev/shm").glob(f"windows_{os.getpid()}*"))
    # TensorFlow takes it from there.
    from keras_audiosr import load_model

    lossy = np.random.default_rng(0).standard_normal((1, 4096, 1)).astype(np.float32)
    changed = load_model(out / "tiny").predict(lossy, verbose=0) - lossy
    assert 0 < np.abs(changed).max() < 100


def test_what_cannot_be_trained_is_said_in_one_line(tmp_path):
    done = run_tool(tmp_path, tmp_path / "out", "--preset", "paired_resnet_frame_44k", "--minutes", 1)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "has none; tools/render.py makes some" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()
