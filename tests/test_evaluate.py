"""Tests `evaluate`: that its figures are those of the metrics, its inputs, its errors, and the files it writes."""

import dataclasses
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import scipy.signal
import soundfile
from keras import ops

from keras_audiosr import cli
from keras_audiosr.datasets.restored_files import match_restored, read_restored
from keras_audiosr.errors import (
    ArtifactError,
    AudioFileError,
    ManifestError,
    OutputExistsError,
    UsageError,
)
from keras_audiosr.files.formats import FORMATS
from keras_audiosr.files.headers import AudioInfo
from keras_audiosr.files.writers import open_writer
from keras_audiosr.measures import bands, highs, metrics, songs, stereo
from keras_audiosr.measures.tables import EvaluationTable
from keras_audiosr.presets import load_preset
from keras_audiosr.shelf.manifests import Pair, write_manifest
from keras_audiosr.stages.evaluate import evaluate

SAMPLE_RATE = 44100
DELAY = 700
GAIN = 0.9


def lowpass(audio, cutoff):
    taps = scipy.signal.firwin(511, cutoff, fs=SAMPLE_RATE)
    return scipy.signal.convolve(audio, taps[:, None], mode="same").astype(np.float32)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory, make_music):
    """Returns the manifest of two tracks with float WAV twins, low-passed at 8 kHz (700 samples late) and at 12 kHz."""
    root = tmp_path_factory.mktemp("pairs")
    pairs = []
    for seed, channels in ((1, 1), (2, 2)):
        lossless = make_music(duration=1.5, channels=channels, seed=seed)
        name = f"Album {seed}/01 Song"
        (root / f"lossless/{name}").parent.mkdir(parents=True)
        soundfile.write(root / f"lossless/{name}.wav", lossless, SAMPLE_RATE, subtype="FLOAT")
        for cutoff, delay in ((8, DELAY), (12, 0)):
            codec = f"lowpass@{cutoff}k"
            lossy = np.concatenate([np.zeros((delay, channels), np.float32), lowpass(lossless, 1000 * cutoff)])
            path = root / f"lossy/{codec}/{name}.wav"
            path.parent.mkdir(parents=True)
            soundfile.write(path, lossy, SAMPLE_RATE, subtype="FLOAT")
            pairs.append(
                Pair(
                    lossless=f"lossless/{name}.wav",
                    lossy=f"lossy/{codec}/{name}.wav",
                    album=f"Album {seed}",
                    track=1,
                    title="Song",
                    duration=1.5,
                    length=len(lossless),
                    sample_rate=SAMPLE_RATE,
                    channels=channels,
                    md5="",
                    codec=codec,
                    encoder="test",
                    delay=delay,
                    decoder="any",
                )
            )
    write_manifest(root / "pairs.jsonl", pairs)
    return root / "pairs.jsonl"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Returns a run folder as `train` leaves it: a checkpoint of a network that multiplies by 0.9, and its preset."""
    folder = tmp_path_factory.mktemp("run")
    lossy = keras.Input((None, 1), name="lossy")
    layer = keras.layers.Conv1D(1, 1, use_bias=False, kernel_initializer=keras.initializers.Constant(GAIN))
    keras.Model(lossy, layer(lossy)).save(folder / "best.keras")
    preset = {**load_preset("paired_resnet_frame_1024_44k"), "name": "gain"}
    (folder / "preset.json").write_text(json.dumps({**preset, "export": {"window_length": 16384}}))
    return folder


def read(path):
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def restore_into(folder, manifest, name="{}.flac", keep_delay=True):
    """Writes restored files into the subfolders of their lossy files, like `restore`, with or without their delay."""
    for path in manifest.parent.glob("lossy/**/*.wav"):
        out = folder / path.relative_to(manifest.parent)
        out.parent.mkdir(parents=True, exist_ok=True)
        delay = DELAY if "@8k" in str(path) and not keep_delay else 0
        soundfile.write(out.parent / name.format(path.stem), GAIN * read(path)[delay:], SAMPLE_RATE, subtype="PCM_24")


def test_figures_are_those_of_the_metrics(manifest, run_folder):
    table = evaluate(manifest, run_folder)
    signals = ("lossless", "unprocessed", "restored")
    found = [(row["codec"], row["signal"]) for row in table.rows]
    assert found == [(codec, signal) for codec in ("lowpass@8k", "lowpass@12k") for signal in signals]
    rows = table.rows[1:3]
    expected = {"unprocessed": [], "restored": []}
    for seed in (1, 2):
        lossless = read(manifest.parent / f"lossless/Album {seed}/01 Song.wav")[None]
        lossy = read(manifest.parent / f"lossy/lowpass@8k/Album {seed}/01 Song.wav")[None, DELAY:]
        lossless, lossy = (signal / np.abs(lossless).max() for signal in (lossless, lossy))
        for signal, audio in (("unprocessed", lossy), ("restored", GAIN * lossy)):
            values = [function(lossless, audio) for function in (metrics.snr, metrics.si_sdr, metrics.lsd)]
            expected[signal].append([float(ops.convert_to_numpy(value)[0]) for value in values])
    for row in rows:
        for index, name in enumerate(("snr", "si_sdr", "lsd")):
            values = np.array(expected[row["signal"]])[:, index]
            assert row[name]["mean"] == pytest.approx(values.mean(), abs=1e-3)
            assert row[name]["std"] == pytest.approx(values.std(), abs=1e-3)
    change = rows[1]["change"]
    assert change["snr"]["difference"] == pytest.approx(rows[1]["snr"]["mean"] - rows[0]["snr"]["mean"])
    ratio = rows[1]["lsd"]["mean"] / rows[0]["lsd"]["mean"]
    assert change["lsd"]["percent"] == pytest.approx(100 * ratio - 100)
    # A change of level lowers the SNR, but does not affect the SI-SDR.
    assert change["snr"]["difference"] < -0.1
    assert change["si_sdr"]["difference"] == pytest.approx(0.0, abs=1e-3)


def test_cutoff_is_the_lossy_input_s_own(manifest, run_folder):
    table = evaluate(manifest, run_folder)
    for file in table.files:
        assert file["cutoff"] == pytest.approx(8000 if "@8k" in file["codec"] else 12000, abs=700)
        assert file["unprocessed"]["lsd_hf"] > file["unprocessed"]["lsd"]


def test_cutoff_that_is_given_is_where_lsd_is_split(manifest, run_folder):
    estimated, given = (evaluate(manifest, run_folder, cutoff=cutoff) for cutoff in (None, 5000.0))
    assert given.about["arguments"]["cutoff"] == 5000.0
    for before, after in zip(estimated.files, given.files, strict=True):
        assert after["cutoff"] == 5000.0
        assert after["unprocessed"]["lsd"] == before["unprocessed"]["lsd"]
        assert after["unprocessed"]["lsd_lf"] < before["unprocessed"]["lsd_lf"]
        assert after["unprocessed"]["lsd_hf"] < before["unprocessed"]["lsd_hf"]


def test_blocks_of_frames_sum_to_the_whole(make_music, monkeypatch):
    monkeypatch.setattr(songs, "BLOCK_FRAMES", 7)
    lossless = make_music(duration=1.0)
    signals = {"dull": lowpass(lossless, 9000), "quiet": 0.5 * lossless}
    measured = songs.measure(lossless, signals, SAMPLE_RATE, 9000.0)
    for name, audio in signals.items():
        found = measured[name]
        assert found["lsd"] == pytest.approx(float(metrics.lsd(lossless[None], audio[None])[0]), abs=1e-4)
        expected = float(metrics.lsd_hf(lossless[None], audio[None], 9000.0, SAMPLE_RATE)[0])
        assert found["lsd_hf"] == pytest.approx(expected, abs=1e-4)
        expected = float(bands.band_distance(lossless[None], audio[None], SAMPLE_RATE)[0])
        assert found["band_distance"] == pytest.approx(expected, abs=1e-3)
        expected = float(bands.band_bias(lossless[None], audio[None], SAMPLE_RATE)[0])
        assert found["band_bias"] == pytest.approx(expected, abs=1e-3)
        assert found["envelope_line"] == highs.envelope_line(audio, SAMPLE_RATE)
        assert found["crest_error"] == highs.crest_error(lossless, audio, SAMPLE_RATE)
        assert found["stereo_error"] == stereo.stereo_error(lossless, audio, SAMPLE_RATE)


def test_nothing_above_the_limit_is_judged(make_music):
    lossless = lowpass(make_music(duration=3.0), 14500)
    hiss = 0.01 * np.random.default_rng(0).standard_normal(lossless.shape).astype(np.float32)
    bright = lossless + hiss - lowpass(hiss, 15500)
    names = {"copy": lossless, "bright": bright}
    free = songs.measure(lossless, names, SAMPLE_RATE, 9000.0)
    limited = songs.measure(lossless, names, SAMPLE_RATE, 9000.0, limit=15000.0)
    assert free["bright"]["lsd"] > 0.5
    assert free["bright"]["band_distance"] > 5.0
    assert free["bright"]["band_bias_16k"] > 5.0
    for name in names:
        figures = limited[name]
        assert figures["snr"] > 60.0
        assert figures["lsd"] == pytest.approx(0.0, abs=0.02)
        assert figures["lsd_hf"] == pytest.approx(0.0, abs=0.02)
        assert figures["band_distance"] == pytest.approx(0.0, abs=0.1)
        assert figures["band_bias_8k"] == pytest.approx(0.0, abs=0.1)
        assert figures["stereo_error"] == pytest.approx(0.0, abs=0.01)
        assert figures["band_bias_16k"] is None
        assert figures["crest_error"] is None
        assert len(figures["band_biases"]) == 7
    assert limited["lossless"]["envelope_line"] is None
    assert limited["bright"]["envelope_line"] == free["bright"]["envelope_line"]


def test_below_a_frequency():
    time = np.arange(SAMPLE_RATE)[:, None] / SAMPLE_RATE
    low, high = (np.sin(2 * np.pi * frequency * time).astype(np.float32) for frequency in (1000, 12000))
    np.testing.assert_allclose(songs.below(low + high, SAMPLE_RATE, 5000.0), low, atol=1e-5)
    assert songs.below(low, SAMPLE_RATE, None) is low


def test_limit_reaches_the_table(manifest, run_folder):
    table = evaluate(manifest, run_folder, limit=7000.0)
    assert table.about["arguments"]["limit"] == 7000.0
    assert table.definitions[-1] == songs.limit_definition(7000.0)
    row = table.rows[2]
    # The compared bands begin at 8 kHz, so the limit leaves none. Below 7 kHz the model is a gain of 0.9.
    assert row["band_distance"] == {"mean": None, "std": None, "files": 0}
    assert row["snr"]["mean"] == pytest.approx(20.0, abs=1.0)
    assert row["lsd"]["mean"] == pytest.approx(-2 * np.log10(GAIN), abs=0.02)
    assert "| n/a |" in table.to_markdown()


def test_no_band_above_the_cutoff_is_none_not_a_number(make_music):
    lossless = make_music(duration=0.2)
    assert songs.measure(lossless, {"copy": lossless}, SAMPLE_RATE, 22050.0)["copy"]["lsd_hf"] is None


@pytest.mark.parametrize(("name", "keep_delay"), [("{}.flac", True), ("{}.restored.flac", True), ("{}.wav", False)])
def test_restored_files_give_what_the_model_gives(manifest, run_folder, tmp_path, name, keep_delay):
    restore_into(tmp_path, manifest, name, keep_delay)
    found, expected = evaluate(manifest, tmp_path), evaluate(manifest, run_folder)
    for found_row, row in zip(found.rows, expected.rows, strict=True):
        assert found_row["envelope_line"]["mean"] == pytest.approx(row["envelope_line"]["mean"], abs=0.1)
        if row["signal"] == "lossless":
            continue
        # The rounding noise of 24 bits lies at -144 dB, far below the floor of LSD at -100 dB.
        assert found_row["snr"]["mean"] == pytest.approx(row["snr"]["mean"], abs=1e-3)
        assert found_row["lsd"]["mean"] == pytest.approx(row["lsd"]["mean"], abs=1e-2)


def test_jobs_do_not_matter(manifest, run_folder):
    # A script in a process of its own is needed, because spawned workers import the main module again.
    code = "import sys; from keras_audiosr.stages.evaluate import evaluate\n"
    code += "if __name__ == '__main__': print(evaluate(sys.argv[1], sys.argv[2], jobs=2).to_json())"
    script = run_folder / "script.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, str(script), str(manifest), str(run_folder)],
        capture_output=True,
        env=environment,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files"] == evaluate(manifest, run_folder).files


def test_output_is_complete_and_says_how_it_was_made(manifest, run_folder, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "new" / "evaluation"
    table = evaluate(manifest, run_folder, out, codecs=["LOWPASS@8"])
    assert sorted(path.name for path in out.iterdir()) == [
        "evaluation.json",
        "evaluation.md",
        "highs_lowpass@8k.png",
        "spectrum_lowpass@8k.png",
    ]
    assert list(out.parent.iterdir()) == [out]
    found = json.loads((out / "evaluation.json").read_text("utf-8"))
    assert found["rows"] == table.rows
    assert found["files"] == table.files
    assert found["definitions"] == songs.DEFINITIONS
    assert found["about"]["arguments"]["codecs"] == ["lowpass@8k"]
    assert len(found["about"]["manifest_sha256"]) == len(found["about"]["what_sha256"]) == 64
    assert found["about"]["versions"]["keras"] == keras.__version__
    markdown = (out / "evaluation.md").read_text("utf-8")
    assert markdown.startswith(table.to_markdown())
    assert "(spectrum_lowpass@8k.png)" in markdown
    assert "(highs_lowpass@8k.png)" in markdown
    for name in ("spectrum", "highs"):
        assert (out / f"{name}_lowpass@8k.png").read_bytes()[:4] == b"\x89PNG"


def test_markdown_has_unprocessed_first_mean_spread_and_change():
    def file(codec, lsd_before, lsd_after, snr):
        before = {"snr": 10.0, "si_sdr": 9.0, "lsd": lsd_before, "lsd_hf": None}
        after = {"snr": snr, "si_sdr": 9.0, "lsd": lsd_after, "lsd_hf": None}
        return {"codec": codec, "unprocessed": before, "restored": after}

    files = [file("mp3@128k", 0.8, 0.8, 9.999), file("mp3@64k", 1.0, 0.5, 11.0), file("mp3@64k", 2.0, 1.0, 12.0)]
    table = EvaluationTable.from_files(files, ["LSD: so."], {})
    lines = table.to_markdown().splitlines()
    assert lines[0] == "| codec | | files | SNR (dB) | SI-SDR (dB) | LSD | LSD-HF |"
    assert lines[2] == "| mp3@64k | unprocessed | 2 | 10.00 ± 0.00 | 9.00 ± 0.00 | 1.50 ± 0.50 | n/a |"
    assert (
        lines[3]
        == "| mp3@64k | restored | 2 | 11.50 ± 0.50 (+1.50) | 9.00 ± 0.00 (+0.00) | 0.75 ± 0.25 (-50 %) | n/a |"
    )
    assert lines[4].startswith("| mp3@128k | unprocessed | 1 |")
    assert (
        lines[5]
        == "| mp3@128k | restored | 1 | 10.00 ± 0.00 (+0.00) | 9.00 ± 0.00 (+0.00) | 0.80 ± 0.00 (+0 %) | n/a |"
    )
    assert lines[-1] == "LSD: so."


def test_markdown_has_the_highs_in_a_table_of_their_own():
    figures = {"snr": 10.0, "band_distance": 9.5, "band_bias_8k": -2.0, "envelope_line": 17.0, "stereo_error": None}
    file = {"codec": "mp3@64k", "lossless_envelope_line": 4.5, "unprocessed": {**figures, "envelope_line": None}}
    table = EvaluationTable.from_files([file | {"restored": figures}], [], {})
    lines = table.to_markdown().splitlines()
    assert lines[:2] == ["| codec | | files | SNR (dB) |", "|---|---|---:|---|"]
    assert [line.split(" | ")[1] for line in lines[2:4]] == ["unprocessed", "restored"]
    head = "| codec | | files | Band distance (dB) | Bias 8 to 16 kHz (dB) | Envelope line (dB) | Stereo error |"
    start = lines.index(head)
    assert lines[start + 2] == "| mp3@64k | lossless | 1 |  |  | 4.50 ± 0.00 |  |"
    assert lines[start + 3] == "| mp3@64k | unprocessed | 1 | 9.50 ± 0.00 | -2.00 ± 0.00 | n/a | n/a |"
    assert lines[start + 4] == "| mp3@64k | restored | 1 | 9.50 ± 0.00 | -2.00 ± 0.00 | 17.00 ± 0.00 | n/a |"


def test_rows_go_from_the_smaller_file_to_the_larger():
    figures = {"snr": 1.0, "si_sdr": 1.0, "lsd": 1.0, "lsd_hf": 1.0}
    wanted = ["aac@64k", "mp3@64k", "mp3@64k-stereo", "mp3@128k", "mp3@V6", "mp3@V0", "unknown"]
    files = [{"codec": codec, "unprocessed": figures, "restored": figures} for codec in sorted(wanted)]
    rows = EvaluationTable.from_files(files, [], {}).rows
    assert [row["codec"] for row in rows[::2]] == wanted


def test_command_line_prints_the_table_alone(manifest, run_folder, capsys):
    assert cli.main(["evaluate", str(manifest), str(run_folder), "--codec", "lowpass@12k"]) == 0
    assert capsys.readouterr().out == evaluate(manifest, run_folder, codecs=["lowpass@12k"]).to_markdown()


def one_line(error):
    return "\n" not in str(error.value)


def test_missing_restored_file_is_named(manifest, tmp_path):
    restore_into(tmp_path, manifest)
    (tmp_path / "lossy/lowpass@12k/Album 2/01 Song.flac").unlink()
    with pytest.raises(ManifestError, match="has none for lossy/lowpass@12k/Album 2/01 Song") as error:
        evaluate(manifest, tmp_path)
    assert one_line(error)
    evaluate(manifest, tmp_path, codecs=["lowpass@8k"])


def test_one_file_for_two_pairs_is_refused(manifest, tmp_path):
    pair = Pair("a.flac", "mp3@64k/song.mp3", "", 1, "", 1.0, 1, 1, 1, "", "mp3@64k", "", 0, "any")
    twin = dataclasses.replace(pair, lossy="aac@64k/song.m4a")
    (tmp_path / "song.flac").touch()
    assert match_restored(tmp_path, [pair]) == {pair.lossy: tmp_path / "song.flac"}
    with pytest.raises(ManifestError, match="own restored file"):
        match_restored(tmp_path, [pair, twin])
    (tmp_path / "song.wav").touch()
    with pytest.raises(ManifestError, match=r"song\.flac and song\.wav"):
        match_restored(tmp_path, [pair])


@pytest.mark.parametrize("suffix", FORMATS)
def test_all_that_restore_makes_can_be_evaluated(tmp_path, make_music, suffix):
    """`evaluate` finds and reads every format that `restore` can write."""
    audio = make_music(duration=0.5, channels=2)
    path = tmp_path / "restored" / f"song.restored{suffix}"
    path.parent.mkdir()
    info = AudioInfo("pcm_s24le", "wav", SAMPLE_RATE, 2, 0.5, 0, "stereo")
    with open_writer(path, info, None) as writer:
        writer.write(audio)
    pair = Pair("song.flac", "song.mp3", "", 1, "", 0.5, len(audio), SAMPLE_RATE, 2, "", "mp3@64k", "", 0, "any")
    assert match_restored(path.parent, [pair]) == {"song.mp3": path}
    found = read_restored(path, pair, tmp_path)
    assert found.shape == audio.shape
    error = np.sqrt(np.mean((found - audio) ** 2) / np.mean(audio**2))
    assert error < (0.2 if suffix == ".mp3" else 1e-6)  # MP3 has 320 kbit/s, the other formats 24 bits


def test_wrong_length_is_refused_and_leaves_nothing(manifest, tmp_path):
    restored, out = tmp_path / "restored", tmp_path / "out"
    restore_into(restored, manifest)
    path = restored / "lossy/lowpass@12k/Album 1/01 Song.flac"
    soundfile.write(path, read(path)[:-100], SAMPLE_RATE)
    with pytest.raises(AudioFileError, match="as long as its lossy one") as error:
        evaluate(manifest, restored, out)
    assert one_line(error)
    assert [path.name for path in tmp_path.iterdir()] == ["restored"]


def test_wrong_number_of_channels_is_refused(manifest, tmp_path):
    restore_into(tmp_path, manifest)
    path = tmp_path / "lossy/lowpass@12k/Album 2/01 Song.flac"
    soundfile.write(path, read(path)[:, :1], SAMPLE_RATE)
    with pytest.raises(ArtifactError, match="shape of its lossless source"):
        evaluate(manifest, tmp_path)


def test_bad_requests(manifest, run_folder, tmp_path):
    with pytest.raises(UsageError, match="jobs must be 1 or more"):
        evaluate(manifest, run_folder, jobs=0)
    for cutoff in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="cutoff must be above 0 Hz"):
            evaluate(manifest, run_folder, cutoff=cutoff)
        with pytest.raises(UsageError, match="limit must be above 0 Hz"):
            evaluate(manifest, run_folder, limit=cutoff)
    with pytest.raises(ManifestError, match="no mp3@64k"):
        evaluate(manifest, run_folder, codecs=["mp3@64k"])
    with pytest.raises(ManifestError, match="pairs is needed"):
        evaluate(tmp_path / "nothing.jsonl", run_folder)
    with pytest.raises(ArtifactError, match="none of them"):
        evaluate(manifest, tmp_path / "nothing.keras.zip")
    with pytest.raises(ManifestError, match="nor audio"):
        evaluate(manifest, tmp_path)
    (tmp_path / "there").write_text("mine")
    with pytest.raises(OutputExistsError):
        evaluate(manifest, run_folder, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize(
    ("package", "arguments"),
    [("visqol", {"visqol": True}), ("zimtohrli", {"zimtohrli": True}), ("matplotlib", {"figure": True})],
)
def test_missing_extra_is_named_before_the_work(manifest, run_folder, tmp_path, monkeypatch, package, arguments):
    monkeypatch.setitem(sys.modules, package, None)  # `import` raises ImportError
    with pytest.raises(UsageError, match=r"pip install '\.\[(visqol|zimtohrli|plot)\]'") as error:
        evaluate(manifest, run_folder, tmp_path / "out", **arguments)
    assert one_line(error)
    assert not list(tmp_path.iterdir())


def test_visqol_orders_better_and_worse(make_music):
    pytest.importorskip("visqol")
    from keras_audiosr.measures.visqol import visqol

    lossless = make_music(duration=2.0)
    scores = [
        visqol(lossless, audio, SAMPLE_RATE) for audio in (lossless, lowpass(lossless, 7000), lowpass(lossless, 3000))
    ]
    assert 5.0 > scores[0] > scores[1] > scores[2] > 1.0
    assert visqol(np.zeros_like(lossless), lossless, SAMPLE_RATE) is None
    assert visqol(lossless[:9000], lossless[:9000], SAMPLE_RATE) is None


def test_zimtohrli_orders_better_and_worse(make_music):
    pytest.importorskip("zimtohrli")
    from keras_audiosr.measures.zimtohrli import zimtohrli

    lossless = make_music(duration=12.0)
    scores = [
        zimtohrli(lossless, audio, SAMPLE_RATE)
        for audio in (lossless, lowpass(lossless, 7000), lowpass(lossless, 3000))
    ]
    assert scores[0] == pytest.approx(5.0)
    assert scores[0] > scores[1] + 0.2 > scores[2] + 0.4 > 1.4
    # Ten more seconds of silence form a piece of their own, and silent pieces do not count.
    silence = np.zeros((10 * SAMPLE_RATE, 2), np.float32)
    longer = [np.concatenate([audio[: 10 * SAMPLE_RATE], silence]) for audio in (lossless, lowpass(lossless, 3000))]
    shorter = [audio[: 10 * SAMPLE_RATE] for audio in longer]
    assert zimtohrli(*longer, SAMPLE_RATE) == pytest.approx(zimtohrli(*shorter, SAMPLE_RATE), abs=0.05)
    assert zimtohrli(np.zeros_like(lossless), lossless, SAMPLE_RATE) is None
    assert zimtohrli(lossless[:2000], lossless[:2000], SAMPLE_RATE) is None
