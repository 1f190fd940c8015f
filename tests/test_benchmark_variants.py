"""Tests the tables of tools/benchmark_variants.py for models with steps or variants, on a manifest of one pair."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import tiny_streams, write_frame_run

from keras_audiosr.presets import bundled_folder
from keras_audiosr.shelf.manifests import Pair, write_manifest
from keras_audiosr.stages.export import export

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import benchmark_variants


@pytest.fixture
def manifest(tmp_path, make_music):
    lossless = make_music(duration=1.0)
    soundfile.write(tmp_path / "lossless.wav", lossless, 44100, subtype="FLOAT")
    soundfile.write(tmp_path / "lossy.wav", np.round(30 * lossless) / 30, 44100, subtype="FLOAT")
    facts = {"album": "Album", "track": 1, "title": "Song", "duration": 1.0, "length": len(lossless), "md5": ""}
    facts |= {"sample_rate": 44100, "channels": 2, "codec": "unknown", "encoder": "", "delay": 0, "decoder": "ffmpeg"}
    path = tmp_path / "pairs.jsonl"
    write_manifest(path, [Pair(lossless="lossless.wav", lossy="lossy.wav", **facts)])
    return path


def measured(model, manifest, out, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmark_variants.py", str(model), str(manifest), "--out", str(out)])
    few = benchmark_variants.seconds_of
    monkeypatch.setattr(benchmark_variants, "seconds_of", lambda call: few(call, most=5))
    benchmark_variants.main()
    return (out / "variants.md").read_text(), json.loads((out / "variants.json").read_text())


def test_steps(manifest, tmp_path, monkeypatch, capsys):
    text, result = measured(tiny_streams(), manifest, tmp_path / "out", monkeypatch)
    assert capsys.readouterr().out == text
    assert list(result["windows"]) == ["model.tflite"]
    assert list(result["steps"]) == [f"stream_{hop}.tflite" for hop in (512, 1024, 2048)]
    for row in result["steps"].values():
        assert row["whole"]
        assert 0 < row["cpu_p50_ms"] <= row["cpu_p99_ms"]
        assert row["hop_ms"] == pytest.approx(1000 * row["hop_length"] / 44100)
        assert row["memory"] > 0
    assert "| `stream_1024.tflite` | 23.2 | 87 | " in text


def test_a_model_that_has_only_steps(manifest, tmp_path, monkeypatch):
    live = bundled_folder("paired_resnet_live_44k")
    text, result = measured(live, manifest, tmp_path / "out", monkeypatch)
    assert result["windows"] == {}
    assert set(result["quality"]) == {"unprocessed", "stream_512_dynamic.tflite"}
    header, _, unprocessed, step, *_ = text.splitlines()
    assert header.count("|") == unprocessed.count("|") == step.count("|")
    assert step.startswith("| `stream_512_dynamic.tflite` | 381 | ")


def test_variants(manifest, tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_quantizer")
    (tmp_path / "run").mkdir()
    model = export(write_frame_run(tmp_path / "run", filters=16), tmp_path / "models", variants=["dynamic"])
    text, result = measured(model, manifest, tmp_path / "out", monkeypatch)
    noise = result["quality"]["model_dynamic.tflite"]
    assert noise["worst_correction_snr"] <= noise["correction_snr"]
    assert noise["correction_snr"] > 20
    assert "| yes | " in text
    assert result["quality"]["unprocessed"]["snr"] != result["quality"]["model.tflite"]["snr"]
    assert "| step |" not in text
