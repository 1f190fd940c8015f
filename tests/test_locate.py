"""Tests `locate`, and that a name or a path means the same model to every verb."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import tiny_export, tiny_run, tiny_streams

import keras_audiosr
from keras_audiosr import cli
from keras_audiosr.errors import AmbiguousNameWarning, ArtifactError, OutputExistsError
from keras_audiosr.presets import DEFAULT_PRESET, bundled_folder
from keras_audiosr.presets.facts import ModelFacts
from keras_audiosr.runners import load_runner
from keras_audiosr.runners.artifact import facts_of, read_metadata
from keras_audiosr.runners.keras import KerasRunner
from keras_audiosr.runners.litert import LiteRTRunner
from keras_audiosr.runners.load import RunnerOptions, open_runner
from keras_audiosr.runners.locate import Kind, find, locate
from keras_audiosr.runners.streaming import StreamingRunner
from keras_audiosr.serving import Server
from keras_audiosr.stages.play import _load
from keras_audiosr.stages.serve import serve

LITE, LIVE = "paired_resnet_lite_44k", "paired_resnet_live_44k"
URL = "grpc://localhost:8500/tiny"


@pytest.mark.parametrize(
    ("model", "kind", "path"),
    [
        (None, Kind.PRESET, lambda: bundled_folder(DEFAULT_PRESET)),
        (LITE, Kind.PRESET, lambda: bundled_folder(LITE)),
        (Path(LITE), Kind.PRESET, lambda: bundled_folder(LITE)),
        (tiny_export, Kind.EXPORT, tiny_export),
        (lambda: str(tiny_export()), Kind.EXPORT, tiny_export),
        (lambda: tiny_export() / "model.tflite", Kind.TFLITE, lambda: tiny_export() / "model.tflite"),
        (lambda: tiny_export() / "1", Kind.SAVED_MODEL, lambda: tiny_export() / "1"),
        (tiny_run, Kind.RUN, tiny_run),
        (lambda: tiny_run() / "best.keras", Kind.CHECKPOINT, lambda: tiny_run() / "best.keras"),
        (URL, Kind.SERVER, lambda: None),
        (Server(URL), Kind.SERVER, lambda: None),
    ],
)
def test_each_kind_is_found(model, kind, path):
    found = locate(model() if callable(model) else model)
    assert (found.kind, found.path) == (kind, path())
    assert locate(found) is found


def test_the_checkpoint_and_the_files_of_each_kind():
    run, export = tiny_run(), tiny_export()
    assert locate(run).checkpoint == locate(run / "best.keras").checkpoint == run / "best.keras"
    assert locate(run).files() == locate(run / "best.keras").files() == [run / "best.keras"]
    assert locate(export / "model.tflite").files() == [export / "model.tflite"]
    assert locate(export).files() == sorted(path for path in export.rglob("*") if path.is_file())
    assert locate(URL).files() == []
    with pytest.raises(ArtifactError, match="in files is needed; received 'grpc:.*a model on a server"):
        _ = locate(URL).place


def test_music_is_no_model(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((10, 1)), 44100)
    for what in (tmp_path, tmp_path / "a.wav", tmp_path / "nothing", str(tmp_path)):
        assert find(what) is None
        with pytest.raises(ArtifactError, match=f"received '{what}', none of them; check the path"):
            locate(what)


@pytest.fixture
def both(tmp_path, monkeypatch):
    """Copies another model to a folder with a preset's name, and changes to its parent folder. Returns the folder."""
    shutil.copytree(tiny_export(), tmp_path / LITE)
    monkeypatch.chdir(tmp_path)
    return tmp_path / LITE


def bare_name(name=LITE):
    return pytest.warns(AmbiguousNameWarning, match=rf"comes with the package; '{name}' is both; .*name it \./{name}$")


# For each verb, a function that opens a model and returns its name. `load_model` returns its number of parameters.
VERBS = {
    "load_runner": lambda model: load_runner(model).name,
    "restore": lambda model: open_runner(locate(model), RunnerOptions()).name,
    "play": lambda model: _load(model)[0].name,
    "KerasRunner": lambda model: KerasRunner(model).name,
    "load_model": lambda model: keras_audiosr.load_model(model).count_params(),
}


@pytest.mark.parametrize("verb", ["load_runner", "restore", "play", "KerasRunner"])
def test_a_bare_name_is_the_preset_to_every_verb(both, verb):
    with bare_name() as caught:
        assert VERBS[verb](LITE) == LITE
    assert len([warning for warning in caught if warning.category is AmbiguousNameWarning]) == 1


@pytest.mark.parametrize("verb", ["load_runner", "restore", "play"])
@pytest.mark.parametrize("spelt", [f"./{LITE}", f"{LITE}/", Path(LITE), None])
def test_a_path_is_what_lies_there(both, verb, spelt):
    # There must be no warning. The tests turn warnings into errors.
    assert VERBS[verb](both if spelt is None else spelt) == "tiny"


def test_load_model_takes_the_preset(both):
    lite = json.loads((bundled_folder(LITE) / "metadata.json").read_text())
    with bare_name():
        assert VERBS["load_model"](LITE) == lite["parameters"]
    with pytest.raises(ArtifactError, match="names none"):  # The tiny export has no architecture.
        VERBS["load_model"](f"./{LITE}")


def test_export_and_serve_take_the_preset(both, tmp_path):
    # The errors show which model each verb opened. For example, the bundled lite model has no SavedModel.
    with bare_name(), pytest.raises(ArtifactError, match=f"must have one SavedModel; .*{LITE} lists 0"):
        serve(tmp_path / "out", LITE)
    with pytest.raises(ArtifactError, match="--trust-saved-model"):
        serve(tmp_path / "out", f"./{LITE}")
    (tmp_path / "shelf" / "tiny").mkdir(parents=True)
    with pytest.raises(OutputExistsError, match="tiny exists"):
        keras_audiosr.export(f"./{LITE}", tmp_path / "shelf")
    shutil.copytree(both, tmp_path / LIVE)
    with bare_name(LIVE), pytest.raises(ArtifactError, match="its weights, model.weights.h5; they were left out"):
        keras_audiosr.export(LIVE, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_line_says_so_once(both, tmp_path, capsys, make_music):
    soundfile.write(tmp_path / "a.wav", make_music(duration=0.2), 44100)
    soundfile.write(tmp_path / "b.wav", make_music(duration=0.2), 44100)
    arguments = ["restore", "--force", "a.wav", "b.wav", "--jobs", "2", "--model"]
    assert cli.main([*arguments, LITE]) == 0
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "warning" in line)
    assert line.startswith("keras-audiosr: warning: a preset's bare name is the model that comes with the package;")
    assert cli.main([*arguments, f"./{LITE}", "--overwrite"]) == 0
    assert "warning" not in capsys.readouterr().err


def test_evaluate_takes_the_preset_beside_a_folder_of_music(tmp_path, monkeypatch):
    (tmp_path / LITE).mkdir()
    monkeypatch.chdir(tmp_path)
    with bare_name():
        assert find(LITE).path == bundled_folder(LITE)
    assert find(f"./{LITE}") is None


def test_a_preset_without_weights_names_the_folder_that_is_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match="'vdsr_44k' has none") as caught:
        locate("vdsr_44k")
    assert "./" not in str(caught.value)
    shutil.copytree(tiny_export(), tmp_path / "vdsr_44k")
    with pytest.raises(ArtifactError, match=r"'vdsr_44k' has none; .*name it \./vdsr_44k$"):
        locate("vdsr_44k")
    assert load_runner("./vdsr_44k").name == "tiny"


def test_other_bare_names_are_files_and_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_export(), "mine")
    assert isinstance(load_runner("mine"), LiteRTRunner)
    monkeypatch.chdir("mine")
    assert isinstance(load_runner("model.tflite"), LiteRTRunner)
    assert locate(".").kind is Kind.EXPORT


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: keras_audiosr.load_model(tiny_export() / "model.tflite"),
            "received '.*model.tflite', a .tflite file;",
        ),
        (lambda: keras_audiosr.load_model(tiny_export() / "1"), "received '.*1', a SavedModel; name the run"),
        (lambda: keras_audiosr.load_model(URL), "loaded from .*; received 'grpc:.*', a model on a server"),
        (
            lambda: KerasRunner(tiny_export() / "1"),
            "Keras runs .*, a run folder or a .keras file; received .*SavedModel",
        ),
        (lambda: keras_audiosr.export(URL, "never"), "an export is made from .*; received 'grpc:.*', a model on"),
        (lambda: serve("never", tiny_run()), "a bundle is made from .*; received '.*', a run folder; 'keras-audiosr"),
        (lambda: serve("never", tiny_run() / "best.keras"), "received '.*', a .keras file"),
    ],
)
def test_another_kind_than_a_verb_can_use_is_one_line(call, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "load", [keras_audiosr.load_model, KerasRunner, lambda model: keras_audiosr.export(model, "no")]
)
def test_weights_that_were_left_out_are_said(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError) as caught:
        load(LIVE)
    said = str(caught.value)
    assert "they were left out of" in said
    assert f"the run that '{LIVE}' was exported from, or a preset with weights, such as '{DEFAULT_PRESET}'" in said
    assert not list(tmp_path.iterdir())


@pytest.fixture
def streams(tmp_path):
    """Returns an exported model with several steps and without `model.tflite`."""
    folder = shutil.copytree(tiny_streams(), tmp_path / "streams")
    metadata = json.loads((folder / "metadata.json").read_text())
    del metadata["files"]["model.tflite"]
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / "model.tflite").unlink()
    return folder


def test_an_export_without_its_network_says_so(streams, capsys, make_music):
    files = sorted(path.name for path in streams.glob("*.tflite"))
    assert len(files) > 1
    with pytest.raises(ArtifactError, match=f"is run by its model.tflite; .* has none, but {', '.join(files)}; name"):
        load_runner(streams)
    soundfile.write(streams.parent / "a.wav", make_music(duration=0.1), 44100)
    assert cli.main(["restore", "--force", str(streams.parent / "a.wav"), "--model", str(streams)]) == 1
    assert str(streams / files[0]) in capsys.readouterr().err
    # `play` accepts a folder that contains only steps, and every file in it can be named.
    runner, length = _load(streams)
    assert (type(runner), length) == (StreamingRunner, runner.step_length)
    assert isinstance(load_runner(streams / files[0]), StreamingRunner)


def test_the_only_network_needs_no_name():
    runner = load_runner(LIVE)
    assert (type(runner), runner.name) == (StreamingRunner, LIVE)


def test_songs_take_a_long_step_where_there_is_one(monkeypatch, make_music):
    """A long step is faster than windows, which overlap, and it gives the same samples within 1e-5."""
    windows = load_runner(tiny_streams())
    assert type(windows) is LiteRTRunner
    monkeypatch.setattr("keras_audiosr.runners.load.SONG_STEP", 1024)
    steps = load_runner(tiny_streams(), num_threads=2)
    assert (type(steps), steps.step_length) == (StreamingRunner, 2048)
    audio = make_music(duration=1.0)
    np.testing.assert_allclose(steps.run(audio), windows.run(audio), atol=1e-5)


@pytest.mark.parametrize(
    "damage", [{"x.tflite": {}}, {"x.tflite": 3}, {"x.tflite": {"hop_length": "long"}}, [1]], ids=str
)
def test_damaged_steps_are_one_line(damage, tmp_path):
    folder = shutil.copytree(tiny_export(), tmp_path / "model")
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps(metadata | {"streaming": damage}))
    with pytest.raises(ArtifactError, match="must give the hop_length of each step; .*; export it again") as caught:
        load_runner(folder)
    assert "\n" not in str(caught.value)


def test_the_bundled_default_takes_steps_for_songs(make_music):
    steps, windows = load_runner(num_threads=2), load_runner(bundled_folder(DEFAULT_PRESET) / "model.tflite")
    assert (type(steps), type(windows)) == (StreamingRunner, LiteRTRunner)
    audio = make_music(duration=3.0)
    np.testing.assert_allclose(steps.run(audio), windows.run(audio), atol=1e-5)


@pytest.mark.parametrize(("step", "length"), [(1, 512), (800, 1024), (10_000, 2048)])
def test_the_nearest_step_is_taken(step, length):
    runner = open_runner(locate(tiny_streams()), RunnerOptions(step=step))
    assert runner.step_length == length


def test_facts_go_whole_from_the_metadata_to_the_runner():
    metadata = read_metadata(tiny_export())
    facts = facts_of(metadata, "model.tflite")
    assert load_runner(tiny_export()).facts == facts
    assert facts.recorded().items() <= metadata.items()
    assert facts.version == metadata["files"]["model.tflite"]["sha256"][:12]
    keras, saved = load_runner(tiny_run()).facts, load_runner(tiny_export() / "1", trust=True).facts
    assert keras.recorded() == saved.recorded() == facts.recorded()
    assert len({keras.version, saved.version, facts.version}) == 3


@pytest.mark.parametrize(
    ("numbers", "error"),
    [
        ({}, None),
        ({"sample_rate": 0}, "has a sample rate; 'a' has 0 Hz"),
        ({"hop_length": 0}, "multiples of hop_length"),
        ({"window_length": 1000}, "multiples of hop_length"),
        ({"context": -256}, "multiples of hop_length"),
        ({"context": 512}, "window_length above 2"),
    ],
)
def test_facts_that_do_not_fit_are_refused(numbers, error):
    honest = {"sample_rate": 44100, "window_length": 1024, "context": 256, "hop_length": 256}
    with pytest.raises(ArtifactError, match=error) if error else contextlib.nullcontext():
        ModelFacts("a", **honest | numbers)
