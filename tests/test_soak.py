"""Tests tools/soak.py with short runs, and its plots of runs that are still in progress."""

import json
import runpy
from pathlib import Path

import pytest
from tiny_model import tiny_export

SOAK = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "soak.py"))


def read_log(path):
    about, *lines = map(json.loads, path.read_text("utf-8").splitlines())
    return about, lines


def test_streaming_stays_flat_and_exact(tmp_path, capsys):
    """Streamed samples equal offline ones within 1e-5. Memory grows by under 16 MiB; kept blocks would take more."""
    SOAK["stream"](tmp_path, minutes=0.05, speed=0, block=1024, model=tiny_export(), interval=0.3)
    about, lines = read_log(tmp_path / "stream.jsonl")
    assert (about["model"], about["runner"], len(lines) > 3) == ("tiny", "LiteRTRunner", True)
    assert lines[-1]["worst_difference"] <= 1e-5
    assert lines[-1]["process_mib"] - lines[1]["process_mib"] < 16
    with pytest.raises(SystemExit, match="is not replaced"):
        SOAK["stream"](tmp_path, minutes=0.05, speed=0, block=1024, model=tiny_export(), interval=0.3)
    # In the log of a run in progress, the last line may be incomplete.
    with (tmp_path / "stream.jsonl").open("a") as log:
        log.write('{"seconds": 9')
    SOAK["plot"](tmp_path, tmp_path / "plots")
    summary = json.loads((tmp_path / "plots" / "stream.json").read_text("utf-8"))["summary"]
    assert summary["done"] == lines[-1]["done"]
    assert (tmp_path / "plots" / "stream.png").read_bytes().startswith(b"\x89PNG")
    assert "worst_difference" in capsys.readouterr().out


def test_real_time_is_not_outrun(tmp_path):
    SOAK["stream"](tmp_path, minutes=0.03, speed=8, block=1024, model=tiny_export(), interval=0.5)
    _, lines = read_log(tmp_path / "stream.jsonl")
    assert 0 < lines[-1]["done"] / 44100 <= 8 * lines[-1]["seconds"] + 0.5


def test_served_requests_all_come_back(tmp_path):
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, the official stubs")
    SOAK["serve"](tmp_path, requests=300, clients=3, model=None, interval=0.2)
    about, lines = read_log(tmp_path / "serve.jsonl")
    assert (about["model"], lines[-1]["done"], sum(line["steps"] for line in lines)) == ("tiny", 300, 300)
    assert lines[-1]["worst_difference"] <= 1e-5
    assert all(line["client_mib"] > 20 and line["server_mib"] > 100 for line in lines)
    with pytest.raises(SystemExit, match="has none"):
        SOAK["plot"](tmp_path / "nowhere", tmp_path)
