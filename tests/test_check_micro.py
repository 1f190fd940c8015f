"""Tests that a step runs in TensorFlow Lite Micro's interpreter and returns the same samples as LiteRT.

Needs tflite-micro, which has only pre-releases: pip install --pre tflite-micro.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_model import write_frame_run

pytest.importorskip("tflite_micro", reason="needs tflite-micro: pip install --pre tflite-micro")
sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import check_micro

from keras_audiosr.stages.export import export


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("ai_edge_quantizer")
    run, out = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("models")
    return export(write_frame_run(run), out, stream=[1024], variants=["int16x8", "int8"])


@pytest.mark.parametrize("variant", ["", "_int16x8", "_int8"])
def test_a_step_gives_what_litert_gives(model, variant):
    row = check_micro.check(model / f"stream_1024{variant}.tflite", seconds=1.0)
    assert "error" not in row, row["error"]
    # Integer kernels round differently in the two interpreters.
    assert row["difference"] < (1e-2 if variant else 1e-5)
    assert row["hop"] == 1024
    assert 0 < row["arena"] < 1 << 20
    assert row["ops"]["CONV_2D"] > 0


def test_the_micro_interpreter_changes_music(model):
    step = check_micro.MicroStep(model / "stream_1024.tflite")
    blocks = check_micro.music(20, 1024)
    restored = np.stack([step.step(block) for block in blocks])
    assert np.isfinite(restored).all()
    assert np.abs(restored[10:]).max() > 0.01


def test_the_table_tells_why_a_file_does_not_run(model, tmp_path):
    files = [model / "model.tflite", model / "stream_1024.tflite"]
    subprocess.run([sys.executable, check_micro.__file__, *files, "-o", tmp_path / "micro.md"], check=True)
    page = (tmp_path / "micro.md").read_text("utf-8")
    assert "`model.tflite` |" in page
    assert "does not run: a step has one state" in page
    assert "Ops of `stream_1024.tflite`" in page
