"""Tests that the runners for Keras, SavedModel and LiteRT give the same samples and refuse damaged models."""

import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from equivalence import agree
from tiny_model import HOP, tiny_export, tiny_run

from keras_audiosr.errors import ArtifactError, UsageError
from keras_audiosr.library import batch
from keras_audiosr.presets.facts import ModelFacts
from keras_audiosr.runners import Runner, load_runner
from keras_audiosr.runners.keras import KerasRunner
from keras_audiosr.runners.litert import LiteRTRunner
from keras_audiosr.runners.saved_model import SavedModelRunner


@pytest.fixture
def copied_export(tmp_path):
    return shutil.copytree(tiny_export(), tmp_path / "model")


def test_load_runner_chooses_by_what_the_path_holds():
    export, run = tiny_export(), tiny_run()
    assert isinstance(load_runner(export), LiteRTRunner)
    assert isinstance(load_runner(export / "model.tflite"), LiteRTRunner)
    assert isinstance(load_runner(export / "1", trust=True), SavedModelRunner)
    assert isinstance(load_runner(run), KerasRunner)
    assert isinstance(load_runner(run / "best.keras"), KerasRunner)


def test_every_runner_gives_the_same(make_music):
    audio = make_music(duration=1.0)
    runners = [load_runner(path, trust=True) for path in (tiny_run(), tiny_export() / "1", tiny_export())]
    outputs = [runner.run(audio) for runner in runners]
    assert np.abs(outputs[0] - audio).max() > 1e-3  # the model does something
    for runner, output in zip(runners, outputs, strict=True):
        assert runner.name == "tiny"
        assert runner.sample_rate == 44100
        assert output.dtype == np.float32
        agree(output, outputs[0], 1e-5, type(runner).__name__)


def test_window_lengths_agree(make_music):
    """Windows of 0.1 s to 60 s give the same samples, to 1e-5, for music that is longer than all of them."""
    audio = np.tile(make_music(duration=3.1, channels=1), (21, 1))
    lengths = [round(seconds * 44100 / HOP) * HOP for seconds in (60, 0.1, 0.3, 1, 3, 10, 30)]
    whole, *others = (KerasRunner(tiny_run() / "best.keras", length).run(audio) for length in lengths)
    assert np.abs(whole - audio).max() > 1e-3  # the model does something
    for length, other in zip(lengths[1:], others, strict=True):
        agree(other, whole, 1e-5, f"windows of {length} samples")


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_do_not_matter(make_music, threads):
    audio = make_music(duration=1.0)
    whole = LiteRTRunner(tiny_export()).run(audio)
    np.testing.assert_array_equal(LiteRTRunner(tiny_export(), num_threads=threads).run(audio), whole)


def test_as_many_windows_are_computed_at_a_time_as_there_are_threads(make_music):
    runner, together = LiteRTRunner(tiny_export(), num_threads=2), threading.Barrier(2)

    def network(lossy):
        together.wait(30)  # fails unless two windows are computed at the same time
        return {"restored": lossy}

    for _ in range(2):
        runner._networks.free.get()
        runner._networks.free.put(network)
    audio = make_music(duration=1.0, channels=1)[: 8 * (runner.window_length - 2 * runner.context)]
    np.testing.assert_array_equal(runner.run(audio), audio)


def test_one_thread_is_the_callers(make_music):
    runner, seen = LiteRTRunner(tiny_export()), set()
    network = runner._networks.free.get()
    runner._networks.free.put(lambda lossy: seen.add(threading.get_ident()) or network(lossy=lossy))
    runner.run(make_music(duration=0.5))
    assert seen == {threading.get_ident()}


def test_python_ends_only_when_no_window_is_being_computed():
    code = (
        "import functools, threading, time; from keras_audiosr.runners.litert import LiteRTRunner\n"
        f"runner = LiteRTRunner({str(tiny_export())!r}, num_threads=2); free = runner._networks.free\n"
        "begun = threading.Semaphore(0)\n"
        "def slow(lossy, network):\n"
        "    begun.release(); time.sleep(0.5); print('done\\n', end='', flush=True); return network(lossy=lossy)\n"
        "for network in (free.get(), free.get()): free.put(functools.partial(slow, network=network))\n"
        "import numpy as np; processor = runner.processor(1)\n"
        "threading.Thread(target=runner.run, args=(np.ones((20000, 1), np.float32),), daemon=True).start()\n"
        "begun.acquire(); begun.acquire(); raise KeyboardInterrupt"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert done.stdout.splitlines()[:2] == ["done", "done"]


@pytest.mark.parametrize("length", [0, 1, 100, 512, 4095, 4097])
def test_any_length(length):
    audio = np.full((length, 2), 0.1, np.float32)
    assert load_runner(tiny_export()).run(audio).shape == (length, 2)


def test_another_sample_rate_goes_through(make_music):
    audio = make_music(duration=0.5, sample_rate=48000)
    restored = load_runner(tiny_export()).run(audio, 48000)
    assert restored.shape == audio.shape
    assert 1e-3 < np.abs(restored - audio).max() < 0.5


def test_shape_is_checked():
    with pytest.raises(UsageError, match=r"\(time, channels\); received shape \(10,\)"):
        load_runner(tiny_export()).run(np.zeros(10))


def test_values_that_are_not_finite_are_refused():
    class Broken(Runner):
        def predict(self, windows):
            return windows * np.nan

    broken = Broken(ModelFacts("broken", sample_rate=44100, window_length=1024, context=256, hop_length=256))
    with pytest.raises(ArtifactError, match="finite"):
        broken.run(np.ones((10, 1), np.float32))


def damage(folder, what):
    tflite, metadata = folder / "model.tflite", folder / "metadata.json"
    content = json.loads(metadata.read_text())
    if what == "truncated":
        tflite.write_bytes(tflite.read_bytes()[:-1])
    elif what == "one bit":
        flipped = bytearray(tflite.read_bytes())
        flipped[5000] ^= 1
        tflite.write_bytes(flipped)
    elif what == "missing":
        tflite.unlink()
    elif what == "not JSON":
        metadata.write_text("{")
    elif what == "no rate":
        del content["sample_rate"]
        metadata.write_text(json.dumps(content))
    elif what == "not listed":
        del content["files"]["model.tflite"]
        metadata.write_text(json.dumps(content))
    elif what == "other window":
        content["window_length"] *= 2
        metadata.write_text(json.dumps(content))
    elif what == "off the grid":
        content["context"] += 1
        metadata.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "what",
    ["truncated", "one bit", "missing", "not JSON", "no rate", "not listed", "other window", "off the grid"],
)
def test_damaged_artifact_is_refused_in_one_line(copied_export, what):
    damage(copied_export, what)
    with pytest.raises(ArtifactError) as caught:
        load_runner(copied_export)
    assert "\n" not in str(caught.value)
    assert str(copied_export) in str(caught.value) or "tiny" in str(caught.value)


def test_what_metadata_lacks_is_named_with_the_nearest_key(copied_export):
    path = copied_export / "metadata.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "window_lenght": content["window_length"]} | {"window_length": "long"}))
    with pytest.raises(ArtifactError, match="window_length must be a whole number; received 'long'; export"):
        load_runner(copied_export)
    content["window_lenght"] = content.pop("window_length")
    path.write_text(json.dumps(content))
    with pytest.raises(
        ArtifactError, match="must have 'window_length'; it lacks this key but has 'window_lenght'; export"
    ):
        load_runner(copied_export)
    path.write_text("[]")
    with pytest.raises(ArtifactError, match="must be an object"):
        load_runner(copied_export)


def test_no_network_at_all_is_refused(copied_export):
    import hashlib

    (copied_export / "model.tflite").write_bytes(b"no network")
    content = json.loads((copied_export / "metadata.json").read_text())
    content["files"]["model.tflite"]["sha256"] = hashlib.sha256(b"no network").hexdigest()
    (copied_export / "metadata.json").write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="LiteRT can run"):
        load_runner(copied_export)


def test_damaged_saved_model_is_refused(copied_export):
    (copied_export / "1" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ArtifactError, match="SHA-256"):
        load_runner(copied_export / "1")


def test_damaged_checkpoint_is_refused(tmp_path):
    run = shutil.copytree(tiny_run(), tmp_path / "run")
    (run / "best.keras").write_bytes((run / "best.keras").read_bytes()[:500])
    with pytest.raises(ArtifactError, match="Keras can load"):
        load_runner(run)
    (run / "preset.json").unlink()
    with pytest.raises(ArtifactError, match=r"preset\.json beside it"):
        load_runner(run)


def test_checkpoint_with_code_in_it_is_refused(tmp_path):
    import keras

    run = shutil.copytree(tiny_run(), tmp_path / "run")
    inputs = keras.Input((None, 1), name="lossy")
    keras.Model(inputs, keras.layers.Lambda(lambda x: 2 * x)(inputs)).save(run / "best.keras")
    with pytest.raises(ArtifactError):
        load_runner(run)


@pytest.mark.parametrize("name", ["no_such_preset", "nowhere/at/all.keras", "nowhere/model.tflite"])
def test_nothing_there(name):
    with pytest.raises(ArtifactError) as caught:
        load_runner(name)
    assert "nowhere" in str(caught.value) or "no_such_preset" in str(caught.value)


def test_litert_needs_neither_tensorflow_nor_keras():
    code = (
        "import sys; from keras_audiosr.runners import load_runner; import numpy as np;"
        f"load_runner({str(tiny_export())!r}).run(np.ones((9000, 1), np.float32));"
        "sys.exit(sorted({'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules)).__repr__()"
        " if {'tensorflow', 'keras'} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_cores_are_shared_out_among_the_songs(monkeypatch):
    monkeypatch.setattr(batch.threads, "cores", lambda: 6)
    monkeypatch.setattr(batch, "open_runner", lambda located, options: options.num_threads)
    for jobs, expected in ((1, 4), (2, 3), (5, 1), (8, 1)):
        assert batch.load_runners(tiny_export(), jobs) == jobs * [expected]
