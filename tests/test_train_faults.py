"""Tests what can go wrong in a training run: kills at any moment, NaN, changed music, and a damaged state."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
from conftest import music
from test_train import _write_pairs

from keras_audiosr import cli, train
from keras_audiosr.errors import AudioFileError, AudioSRError, UsageError
from keras_audiosr.presets import load_preset
from keras_audiosr.runners import load_runner
from keras_audiosr.training.callbacks import ClipSummaries

# Number of kills. CI uses few, because they take time. docs/reliability.md reports a run with 20.
KILLS = int(os.environ.get("AUDIOSR_KILLS", "2"))
EPOCHS = 8


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return _write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A preset with many short epochs, so that kills occur at many different moments of an epoch."""
    small = load_preset("paired_resnet_frame_1024_44k")
    small["name"] = "paired_resnet_small"
    small["model"]["config"] = {"filters": 8, "frame_length": 256, "batch_normalization": True}
    small["data"] |= {"window_length": 4096, "batch_size": 8}
    small["training"] |= {"epochs": EPOCHS, "steps_per_epoch": 4, "validation_steps": 1, "patience": 100}
    small["training"]["optimizer"] |= {"learning_rate": 1e-2, "ema_momentum": 0.8}
    # Tracing one resolution takes a third of the time of tracing three.
    small["training"]["loss"][0]["config"] = {"frame_lengths": [512], "convergence_weight": 0.5}
    path = tmp_path_factory.mktemp("preset") / "small.json"
    path.write_text(json.dumps(small), "utf-8")
    return path


@pytest.fixture(scope="module")
def unbroken(manifest, preset, tmp_path_factory):
    """A run without interruptions, and the seconds that it took."""
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    started = time.monotonic()
    train(preset, manifest, out, seed=3)
    return out, time.monotonic() - started


class EndedError(Exception):
    """Simulates the end of a process."""


@pytest.fixture(scope="module")
def ended(manifest, preset, tmp_path_factory):
    """The folder of a run and its own copy of the music. The run ended just before it saved the second epoch."""
    folder = Path(shutil.copytree(manifest.parent, tmp_path_factory.mktemp("ended") / "pairs"))
    honest = ClipSummaries.on_epoch_end

    def on_epoch_end(self, number, logs=None):
        honest(self, number, logs)
        if number == 1:
            raise EndedError

    with pytest.MonkeyPatch.context() as patched, pytest.raises(EndedError):
        patched.setattr(ClipSummaries, "on_epoch_end", on_epoch_end)
        train(preset, folder / manifest.name, folder.parent / "run", seed=3)
    return folder.parent


@pytest.fixture
def interrupted(ended, manifest, tmp_path):
    """The manifest and the run folder of a copy of `ended`."""
    place = shutil.copytree(ended, tmp_path / "copy")
    return place / "pairs" / manifest.name, place / "run"


def arrays(path):
    """Returns the arrays of a state by name."""
    with np.load(path) as file:
        return dict(file)


def assert_same_run(one, other):
    """Asserts that two runs are equal, bit for bit.

    This includes the kept weights, the last state (weights, optimizer and its averages) and the histories.
    """
    kept = [keras.saving.load_model(out / "best.keras").get_weights() for out in (one, other)]
    for mine, theirs in zip(*kept, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    name = f"state/epoch_{EPOCHS - 1:05d}.npz"
    states = [arrays(out / name) for out in (one, other)]
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][key], err_msg=key)
    assert (one / "history.json").read_bytes() == (other / "history.json").read_bytes()
    assert (one / "history.csv").read_text("utf-8").splitlines()[1:] == (
        (other / "history.csv").read_text("utf-8").splitlines()[1:]
    )


def test_kills_at_random_moments_change_nothing(unbroken, manifest, preset, tmp_path, capsys):
    """A run that is killed at random moments and resumed equals the unbroken run, bit for bit.

    Each kill comes after the process has saved a state. If a run ends before there were enough kills, another one
    begins.
    """
    expected, seconds = unbroken
    generator = np.random.default_rng(8)
    code = "import sys; from keras_audiosr.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    killed = runs = 0
    epochs = []
    while killed < KILLS:
        runs += 1
        out = tmp_path / f"run{runs}"
        state = out / "state" / "state.json"
        command = [sys.executable, "-c", code, "train", str(preset), str(manifest), "-o", str(out), "--seed", "3"]
        while True:
            before = state.stat().st_mtime_ns if state.is_file() else 0
            with open(tmp_path / "log", "wb") as log:
                process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            deadline = time.monotonic() + 300
            while process.poll() is None and not (state.is_file() and state.stat().st_mtime_ns > before):
                assert time.monotonic() < deadline, "no state was written"
                time.sleep(0.01)
            if killed < KILLS:
                try:
                    process.wait(generator.uniform(0, 0.7 * seconds))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    killed += 1
                    epochs.append(json.loads(state.read_text("utf-8"))["epoch"])
                    continue
            assert process.wait() == 0, (tmp_path / "log").read_text()
            break
        assert_same_run(out, expected)
        litter = [path.name for path in out.rglob("*") if "partial" in path.name]
        assert not litter
    with capsys.disabled():
        print(f"\n{killed} kills in {runs} runs, in epochs {epochs}: the weights of the unbroken run, bit for bit")


def test_nan_keeps_the_last_good_checkpoint(interrupted, preset):
    manifest, run = interrupted
    good = (run / "best.keras").read_bytes()
    (state,) = (run / "state").glob("*.npz")
    # The next epoch begins with NaN among its weights, so its first loss is NaN.
    found = arrays(state)
    poisoned = next(name for name in sorted(found) if found[name].ndim == 3)
    np.savez(state, **found | {poisoned: found[poisoned] * np.nan})
    with pytest.raises(AudioSRError, match="the last good checkpoint is kept") as caught:
        train(preset, manifest, run, seed=3)
    assert "\n" not in str(caught.value)
    assert (run / "best.keras").read_bytes() == good
    assert np.isfinite(load_runner(run).run(music(0.3))).all()
    assert not (run / "history.json").exists()


@pytest.mark.parametrize("what", ["lossless0.flac", "lossy3.flac"])
def test_changed_music_is_refused(interrupted, preset, capsys, what):
    manifest, run = interrupted
    path = manifest.parent / what
    before = path.read_bytes()
    # The length and the format stay the same, and only the samples differ.
    audio, rate = soundfile.read(path)
    soundfile.write(path, -audio, rate, subtype="PCM_16")
    assert cli.main(["train", str(preset), str(manifest), "-o", str(run), "--seed", "3"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{what} has changed" in error
    path.write_bytes(before)  # another modification time, but the same content
    from keras_audiosr.training.fingerprint import hold_to_corpus

    hold_to_corpus(run / "corpus.json", manifest.parent, [what])
    path.unlink()
    with pytest.raises(AudioFileError, match="restore the file"):
        train(preset, manifest, run, seed=3)


def test_a_changed_manifest_preset_or_seed_is_refused(unbroken, manifest, preset, tmp_path, capsys):
    run, _ = unbroken
    fewer = tmp_path / "pairs.jsonl"
    fewer.write_text(manifest.read_text("utf-8").splitlines(keepends=True)[0], "utf-8")
    other = json.loads(preset.read_text("utf-8"))
    other["training"]["optimizer"]["learning_rate"] *= 2
    (tmp_path / "other.json").write_text(json.dumps(other), "utf-8")
    for arguments, differs in (
        ([preset, fewer, "--seed", "3"], 'corpus_sha256 was "'),
        (
            [tmp_path / "other.json", manifest, "--seed", "3"],
            "preset.training.optimizer.learning_rate was 0.01 and is now 0.02;",
        ),
        ([preset, manifest, "--seed", "4"], "seed was 3 and is now 4;"),
        ([preset, manifest, "--seed", "3", "--epochs", "9"], "preset.training.epochs was 8 and is now 9;"),
    ):
        assert cli.main(["train", *map(str, arguments), "-o", str(run)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert differs in error
        # The run has ended, so the message suggests another run that begins with its weights.
        assert f"add --initial-weights {run} and name another folder with -o" in error
        assert error.count(str(run)) == 1
    begun = tmp_path / "begun"
    shutil.copytree(run, begun)
    (begun / "history.json").unlink()
    assert cli.main(["train", str(preset), str(manifest), "-o", str(begun), "--seed", "4"]) == 2
    error = capsys.readouterr().err
    assert f"in {begun} seed was 3 and is now 4; name another folder with -o, or use the old values" in error


def test_a_finished_run_notes_the_hash_of_its_checkpoint(unbroken):
    run, _ = unbroken
    done = subprocess.run(["sha256sum", "-c", "best.keras.sha256"], cwd=run, capture_output=True, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("damage", ["state", "weights", "missing"])
def test_a_damaged_state_is_one_line(interrupted, preset, damage):
    manifest, run = interrupted
    (weights,) = (run / "state").glob("*.npz")
    if damage == "state":
        (run / "state" / "state.json").write_text('{"epoch": 1')
    elif damage == "weights":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        weights.unlink()
    with pytest.raises(AudioSRError, match="must resume from a complete state") as caught:
        train(preset, manifest, run, seed=3)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"corpus\.json must"):
        (run / "corpus.json").write_text('{"lossy0.flac": 1}')
        train(preset, manifest, run, seed=3)
