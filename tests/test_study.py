"""tools/study.py from clips to tables, with tiny networks; and what its baselines do to sound."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

SAMPLE_RATE = 44100


def run_study(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, ROOT / "tools" / "study.py", *arguments]
    return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=900)


def test_smoke_run_trains_measures_and_resumes(tmp_path):
    pytest.importorskip("tensorflow")
    rows = ("paired_resnet_frame", "audio_unet_half_rate")
    done = run_study(tmp_path, "--smoke", "--only", *rows)
    assert done.returncode == 0, done.stderr[-2000:]
    results = {row["name"]: row for row in json.loads((tmp_path / "study" / "results.json").read_text())}
    assert set(results) == set(rows)
    for row in results.values():
        assert row["steps"] == 2
        assert row["parameters"] > 0 and row["gmac_per_second"] > 0 and row["times_real_time"] > 0
        # Two steps of an untrained network stay near its input.
        assert abs(row["metrics"]["snr"] - row["unprocessed"]["snr"]) < 3
    assert (tmp_path / "study" / "spectra.png").stat().st_size > 10_000
    assert (tmp_path / "study" / "curves.png").stat().st_size > 5_000
    weights = tmp_path / "rows" / rows[0] / "exported" / rows[0] / "model.tflite"
    before = weights.stat().st_mtime_ns
    again = run_study(tmp_path, "--smoke", "--only", *rows)
    assert again.returncode == 0
    assert "evaluate" not in again.stdout.split("###")[0]
    assert weights.stat().st_mtime_ns == before


def test_unknown_row_is_refused(tmp_path):
    done = run_study(tmp_path, "--smoke", "--only", "unet")
    assert done.returncode == 2
    assert "audio_unet" in done.stderr.splitlines()[-1]


def test_settings_of_rows_are_presets_that_build():
    from study_parts.rows import ROWS

    from keras_audiosr import build_model
    from keras_audiosr.losses import build_loss

    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        settings = row.settings(100, smoke=True)
        model = build_model(settings["model"]["architecture"], **settings["model"]["config"])
        assert model.count_params() < 100_000, row.name
        build_loss(settings["training"]["loss"])
        full = row.settings(100, smoke=False)
        assert full["training"]["epochs"] * full["training"]["steps_per_epoch"] >= 100
        assert full["data"]["window_length"] % full["hop_length"] == 0


def level(audio, low, high):
    """Energy between two frequencies, in dB."""
    spectrum = np.abs(np.fft.rfft(audio[:, 0])) ** 2
    frequencies = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
    return 10 * np.log10(spectrum[(frequencies >= low) & (frequencies < high)].sum() + 1e-12)


@pytest.fixture
def dull():
    """Noise that falls by 6 dB an octave and ends at 8 kHz."""
    generator = np.random.default_rng(0)
    spectrum = np.fft.rfft(generator.standard_normal(2 * SAMPLE_RATE))
    frequencies = np.fft.rfftfreq(2 * SAMPLE_RATE, 1 / SAMPLE_RATE)
    spectrum *= (frequencies < 8000) / np.maximum(frequencies, 50)
    audio = np.fft.irfft(spectrum)
    return (0.3 * audio / np.abs(audio).max()).astype(np.float32)[:, None]


@pytest.mark.parametrize("method", ["aexciter", "copy_up"])
def test_baselines_make_highs_and_keep_lows(dull, method):
    from study_parts.baselines import BASELINES

    restored = BASELINES[method][2](dull, SAMPLE_RATE)
    assert restored.shape == dull.shape
    assert level(restored, 10_000, 14_000) > level(dull, 10_000, 14_000) + 20
    assert abs(level(restored, 1_000, 4_000) - level(dull, 1_000, 4_000)) < 1.5


def test_copy_up_goes_on_as_the_spectrum_fell(dull):
    from study_parts.baselines import copy_up

    restored = copy_up(dull, SAMPLE_RATE)
    octaves = [level(restored, low, low + 2_000) for low in (5_000, 9_000, 13_000)]
    assert octaves[0] > octaves[1] > octaves[2] > octaves[0] - 40


@pytest.mark.parametrize("factor", [2, 4])
def test_interpolation_keeps_what_the_low_rate_holds(factor):
    from study_parts.baselines import interpolate

    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    low = 0.5 * np.sin(2 * np.pi * 300 * time)[:, None].astype(np.float32)
    high = 0.5 * np.sin(2 * np.pi * 15_000 * time)[:, None].astype(np.float32)
    middle = slice(2_000, -2_000)
    for kind, tolerance in (("cubic", 1e-4), ("linear", 5e-3)):
        assert np.abs(interpolate(low, SAMPLE_RATE, factor, kind) - low)[middle].max() < tolerance
        assert np.abs(interpolate(high, SAMPLE_RATE, factor, kind))[middle].max() < 1e-3
