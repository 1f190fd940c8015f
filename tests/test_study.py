"""Tests tools/study.py from clips to tables with tiny networks, and the effect of its baselines on sound."""

import dataclasses
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
        # After two training steps, the output of the network is still close to its input.
        assert abs(row["metrics"]["snr"] - row["unprocessed"]["snr"]) < 3
    halved = json.loads((tmp_path / "study" / "rows" / f"{rows[1]}.json").read_text())
    assert {file["cutoff"] for file in halved["files"]} == {SAMPLE_RATE / 4}
    assert (tmp_path / "study" / "spectra.png").stat().st_size > 10_000
    assert (tmp_path / "study" / "curves.png").stat().st_size > 5_000
    weights = tmp_path / "rows" / rows[0] / "exported" / rows[0] / "model.tflite"
    before = weights.stat().st_mtime_ns
    again = run_study(tmp_path, "--smoke", "--only", *rows)
    assert again.returncode == 0
    assert again.stdout.startswith("###")
    assert weights.stat().st_mtime_ns == before

    # On another machine, the records exist but WORK is empty. The tables must be made from the records alone.
    out, work = tmp_path / "study", tmp_path / "elsewhere"
    records = {path.name: path.read_bytes() for path in (out / "rows").iterdir()}
    assert set(records) == {"unprocessed.json", *(f"{row}.json" for row in rows)}
    for name, record in records.items():
        assert len(record) < 60_000, name
        assert str(tmp_path).encode() not in record, f"{name} holds a path of this machine"
    document = {name: (out / name).read_bytes() for name in ("results.json", "table.md")}
    for path in out.glob("*.*"):
        path.unlink()
    rebuilt = run_study(work, "--smoke", "--out", out, "--only", *rows)
    assert rebuilt.returncode == 0, rebuilt.stderr[-2000:]
    assert {path.name for path in work.iterdir()} == {"corpus"}, "something was encoded or trained"
    assert {name: (out / name).read_bytes() for name in document} == document
    assert {path.name: path.read_bytes() for path in (out / "rows").iterdir()} == records
    assert (out / "curves.png").is_file() and (out / "spectra.png").is_file()

    other = run_study(work, "--smoke", "--out", out, "--minutes", 7, "--only", rows[0])
    assert other.returncode == 2
    last = other.stderr.splitlines()[-1]
    assert "minutes (30.0, now 7.0)" in last and f"{rows[0]}.json" in last and "remove" in last
    assert {path.name: path.read_bytes() for path in (out / "rows").iterdir()} == records


def test_a_row_that_fails_is_named_and_the_others_are_measured(tmp_path):
    pytest.importorskip("tensorflow")
    good, bad = "paired_resnet_frame", "audio_unet_half_rate"
    (tmp_path / "rows" / bad).mkdir(parents=True)
    (tmp_path / "rows" / bad / "preset.json").write_text("{}")
    done = run_study(tmp_path, "--smoke", "--only", good, bad)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"{bad} failed: ") and last.endswith("log.txt") and "preset" in last
    results = json.loads((tmp_path / "study" / "results.json").read_text())
    assert [row["name"] for row in results] == [good]


def test_a_record_is_held_to_all_it_was_made_under(tmp_path):
    pytest.importorskip("tensorflow")
    from study_parts.records import Study, claim

    from keras_audiosr.errors import UsageError

    made = Study(tmp_path, 30.0, False, "0" * 64)
    made.save("vdsr", {"files": []})
    made.save("copy_up", {"files": []})
    assert list(made.load()) == ["vdsr", "copy_up"]
    # Baselines are not trained, so the minutes of training must not matter to the record of copy_up.
    with pytest.raises(UsageError, match=r"rows vdsr\.json: minutes \(30\.0, now 1\.0\); remove"):
        dataclasses.replace(made, minutes=1.0).load()
    for other in ({"smoke": True}, {"music": "1" * 64}):
        with pytest.raises(UsageError, match=r"copy_up\.json: .*" + next(iter(other))):
            dataclasses.replace(made, **other).load()
    record = json.loads(made.path("vdsr").read_text())
    record["conditions"]["preset"]["model"]["config"]["num_layers"] = 19
    made.path("vdsr").write_text(json.dumps(record))
    with pytest.raises(UsageError, match=r"preset\.model\.config\.num_layers \(19, now 20\)"):
        made.load()
    made.path("vdsr").write_text("{")
    with pytest.raises(UsageError, match=r"vdsr\.json"):
        made.load()

    # Old records of the low rates have no `cutoff`, because their LSD was not yet split at the low rate's Nyquist
    # frequency. They must be refused.
    made.path("vdsr").unlink()
    made.save("linear_half_rate", {"files": []})
    record = json.loads(made.path("linear_half_rate").read_text())
    del record["conditions"]["cutoff"]
    made.path("linear_half_rate").write_text(json.dumps(record))
    with pytest.raises(UsageError, match=r"linear_half_rate\.json: cutoff"):
        made.load()

    folder = tmp_path / "work"
    for _ in range(2):
        claim(folder, made.conditions("vdsr"))
    with pytest.raises(UsageError, match=r"work: minutes \(30\.0, now 1\.0\); remove"):
        claim(folder, dataclasses.replace(made, minutes=1.0).conditions("vdsr"))


def test_average_spectrum_has_a_sine_at_its_place_and_level():
    from study_parts.spectra import average_spectrum

    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    # The frequency lies in the middle of a point, so the window's main lobe of three bins, with a total power of
    # 1 + 2 / 4, falls into one point, which is the mean of four bins.
    spectrum = average_spectrum(np.sin(2 * np.pi * 401 * SAMPLE_RATE / 2048 * time)[:, None], SAMPLE_RATE)
    level = np.array(spectrum["level"])
    assert level.shape == (256,)
    assert abs(spectrum["first"] + spectrum["step"] * level.argmax() - 401 * SAMPLE_RATE / 2048) < spectrum["step"]
    assert abs(level.max() - 10 * np.log10(1.5 / 4)) < 0.1
    assert np.delete(level, level.argmax()).max() < -60


@pytest.mark.parametrize(
    ("last", "flat"), [((19.05, 1.00), True), ((19.2, 1.00), False), ((19.0, 0.97), False), ((18.0, 1.2), True)]
)
def test_a_curve_is_flat_when_its_last_fifth_wins_little(last, flat):
    from study_parts.summary import collect

    def rows(*values):
        history = [{"val_loss": 1.0, "val_snr": snr, "val_lsd": lsd} for snr, lsd in values]
        preset = {"data": {"batch_size": 16, "window_length": 2000}, "sample_rate": SAMPLE_RATE}
        training = {"history": history, "steps": 10, "preset": preset, "cpu_seconds": 60.0}
        return collect({"vdsr": {"files": [], "training": training}})

    # The progress of the first epochs must not matter. Compared with the progress from a high initial loss, every end
    # would look flat.
    (row,) = rows((1.0, 3.0), (18.0, 1.2), (19.0, 1.0), (18.9, 1.0), last)
    assert row["flat"] is flat
    (row,) = rows(last)
    assert row["flat"] is None


def test_table_says_on_which_processor_a_speed_is():
    from study_parts.summary import collect, to_markdown

    measured = {"vdsr": "A", "resnet": "B", "drcn": "A", "copy_up": None}
    records = {name: {"files": [], **({"cost": {"processor": on}} if on else {})} for name, on in measured.items()}
    last = to_markdown(collect(records)).splitlines()
    assert "Speed on one thread of A: vdsr, drcn." in last and "Speed on one thread of B: resnet." in last
    assert sum("copy_up" in line for line in last) == 1


def test_low_rate_pairs_are_a_manifest_of_their_own(tmp_path, make_music):
    from study_parts.baselines import low_rate_pairs

    from keras_audiosr import encode, rip
    from keras_audiosr.datasets import Pair, read_manifest
    from keras_audiosr.files.audio_files import write

    write(tmp_path / "albums" / "one" / "song.flac", make_music(duration=2.0), SAMPLE_RATE, "PCM_16")
    rip(tmp_path / "albums", tmp_path / "tracks", jobs=1)
    encode(tmp_path / "tracks" / "tracks.jsonl", tmp_path / "pairs", ["mp3@64k"], jobs=1)
    made = low_rate_pairs(tmp_path / "pairs" / "pairs.jsonl", 2, "cubic", tmp_path / "half")
    (pair,) = read_manifest(made, Pair)
    assert not any(path.is_symlink() for path in made.parent.rglob("*"))
    assert (made.parent / pair.lossless).samefile(tmp_path / "pairs" / pair.lossless)


def test_unknown_row_is_refused(tmp_path):
    done = run_study(tmp_path, "--smoke", "--only", "unet")
    assert done.returncode == 2
    assert "audio_unet" in done.stderr.splitlines()[-1]


def test_settings_of_rows_are_presets_that_build():
    from study_parts.rows import ROWS

    from keras_audiosr import build_model
    from keras_audiosr.losses import build_loss
    from keras_audiosr.streaming import receptive_field

    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        settings = row.settings(100, smoke=True)
        model = build_model(settings["model"]["architecture"], **settings["model"]["config"])
        assert model.count_params() < 100_000, row.name
        build_loss(settings["training"]["loss"])
        full = row.settings(100, smoke=False)
        definition = row.definition(smoke=False)
        assert json.loads(json.dumps(definition)) == definition != row.definition(smoke=True)
        assert full["training"]["epochs"] * full["training"]["steps_per_epoch"] >= 100
        assert full["data"]["window_length"] % receptive_field(model).hop_length == 0


def level(audio, low, high):
    """Returns the energy between two frequencies in dB."""
    spectrum = np.abs(np.fft.rfft(audio[:, 0])) ** 2
    frequencies = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
    return 10 * np.log10(spectrum[(frequencies >= low) & (frequencies < high)].sum() + 1e-12)


@pytest.fixture
def dull():
    """Noise whose spectrum falls by 6 dB per octave and ends at 8 kHz."""
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
