"""Tests `export`: the files that it writes, their metadata and model card, and its errors."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import yaml
from equivalence import agree
from tiny_model import HOP, WINDOW, tiny_export, tiny_run, write_frame_run, write_records, write_run

from keras_audiosr import cli
from keras_audiosr.errors import ArtifactError, OutputExistsError, UsageError
from keras_audiosr.exporting.model_card import model_card
from keras_audiosr.runners import load_runner
from keras_audiosr.runners.checkpoint import kept_epoch
from keras_audiosr.stages.export import _name_of_run, export


def test_everything_is_there_and_hashed():
    folder = tiny_export()
    metadata = json.loads((folder / "metadata.json").read_text())
    assert folder.name == metadata["name"] == "tiny"
    for name in ("1/saved_model.pb", "model.tflite", "model.weights.h5"):
        assert name in metadata["files"]
    for name, entry in metadata["files"].items():
        content = (folder / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert metadata["parameters"] == 3 * HOP * HOP + HOP
    assert metadata["window_length"] == WINDOW
    assert metadata["channels"] == 1
    assert metadata["training"]["corpus_sha256"] == "c0ffee"
    assert metadata["training"]["best_epoch"] == {"val_loss": 1.0}
    assert max(metadata["worst_difference"].values()) < 1e-5
    # The SavedModel contains the weights only once, so it is about as large as the parameters.
    variables = metadata["files"]["1/variables/variables.data-00000-of-00001"]["bytes"]
    assert variables < 1.1 * 4 * metadata["parameters"]


def test_the_epoch_in_the_metadata_is_the_one_whose_weights_were_kept():
    history = [{"val_loss": 2.0}, {"val_loss": 1.0}, {"val_loss": 1.5}]
    assert kept_epoch(history) == {"val_loss": 1.0}
    taught = [*history, {"val_loss": 3.0, "adversarial": 0.1}]
    assert kept_epoch(taught) == taught[-1]


def test_signatures_are_lossy_to_restored():
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    signature = tf.saved_model.load(str(tiny_export() / "1")).signatures["serving_default"]
    assert signature.structured_input_signature[1]["lossy"].shape.as_list() == [None, WINDOW, 1]
    assert list(signature.structured_outputs) == ["restored"]
    (lite,) = Interpreter(str(tiny_export() / "model.tflite")).get_signature_list().values()
    assert lite == {"inputs": ["lossy"], "outputs": ["restored"]}


def test_batch_does_not_matter():
    windows = np.random.default_rng(0).standard_normal((3, WINDOW, 1)).astype(np.float32)
    for path in (tiny_export(), tiny_export() / "1", tiny_run()):
        runner = load_runner(path, trust=True)
        one_by_one = np.concatenate([runner.predict(window[None]) for window in windows])
        agree(runner.predict(windows), one_by_one, 1e-5, type(runner).__name__)


def test_weights_load_into_keras():
    import keras

    model = keras.saving.load_model(tiny_run() / "best.keras")
    saved = [weight.copy() for weight in model.get_weights()]
    model.set_weights([np.zeros_like(weight) for weight in saved])
    model.load_weights(tiny_export() / "model.weights.h5")
    for weight, expected in zip(model.get_weights(), saved, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_existing_export_is_kept_unless_asked(tmp_path, capsys):
    target = tmp_path / "tiny"
    shutil.copytree(tiny_export(), target)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        export(tiny_run(), tmp_path)
    evaluation = {
        "rows": [
            {"codec": "mp3@64k", "signal": signal, "files": 1, "lsd": {"mean": mean, "std": 0.0, "files": 1}}
            for signal, mean in (("unprocessed", 1.5), ("restored", 0.75))
        ],
        "files": [],
        "definitions": ["LSD: the usual."],
        "about": {},
    }
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    (tmp_path / "licences.md").write_text("Licence of the weights: MIT\n\n# Music\n\nBy somebody, CC BY 4.0.\n")
    arguments = ["--evaluation", str(tmp_path / "evaluation.json"), "--attribution", str(tmp_path / "licences.md")]
    assert cli.main(["export", str(tiny_run() / "best.keras"), str(tmp_path), "--overwrite", *arguments]) == 0
    assert "model.tflite" in capsys.readouterr().out
    card = (target / "MODEL_CARD.md").read_text()
    assert "invents detail" in card
    assert "| mp3@64k | unprocessed | 1 | 1.50" in card
    assert "### Music\n\nBy somebody, CC BY 4.0." in card
    header = yaml.safe_load(card.split("---\n")[1])
    assert (header["license"], header["library_name"]) == ("mit", "keras")
    assert "music" in header["tags"]
    assert header["metrics"] == ["lsd"]
    [model] = header["model-index"]
    [result] = model["results"]
    assert (model["name"], result["dataset"]["name"]) == ("tiny", "music coded as mp3@64k")
    assert result["metrics"] == [{"type": "lsd", "name": "LSD", "value": 0.75}]
    assert json.loads((target / "metadata.json").read_text())["evaluation"]["rows"][0]["lsd"]["mean"] == 1.5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evaluation.json", "licences.md", "tiny"]


def test_a_card_without_figures_and_licence_says_so():
    metadata = json.loads((tiny_export() / "metadata.json").read_text())
    header = yaml.safe_load(model_card(metadata, None, "By somebody, CC BY 4.0.").split("---\n")[1])
    assert header["license"] == "unknown"
    assert header["pipeline_tag"] == "audio-to-audio"
    assert not {"metrics", "model-index"} & set(header)


def test_a_model_of_ones_own_has_a_name_of_its_own(tmp_path, capsys):
    """A model from a run of a preset of this package must not be mistaken for the bundled model."""
    (tmp_path / "my run").mkdir()
    run = write_run(tmp_path / "my run")
    write_records(run, "paired_resnet_lite_44k", 4096, {})
    target = export(run, tmp_path / "models")
    assert target.name == "paired_resnet_lite_44k_my_run"
    metadata = json.loads((target / "metadata.json").read_text())
    assert metadata["name"] == metadata["preset"]["name"] == target.name
    assert f"\n# {target.name}\n" in (target / "MODEL_CARD.md").read_text()
    assert load_runner(target).name == target.name
    # The name alone does not find the model, because it is not the name of a preset.
    with pytest.raises(ArtifactError):
        load_runner(target.name)
    assert cli.main(["export", str(run), str(tmp_path / "models"), "--name", "mine"]) == 0
    assert "models/mine/model.tflite" in capsys.readouterr().out
    assert load_runner(tmp_path / "models" / "mine").name == "mine"
    assert cli.main(["export", str(run), str(tmp_path / "models"), "--name", "a/b"]) == 2
    assert "a model's name has letters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("preset", "folder", "name"),
    [
        ("paired_resnet_lite_44k", "run", "paired_resnet_lite_44k_run"),
        ("paired_resnet_lite_44k", "paired_resnet_lite_44k_jazz", "paired_resnet_lite_44k_jazz"),
        ("paired_resnet_lite_44k", "paired_resnet_lite_44k", "paired_resnet_lite_44k_own"),
        ("paired_resnet_lite_44k", "\N{MUSIC SHARP SIGN}", "paired_resnet_lite_44k_own"),
        ("mine", "run", "mine"),
    ],
)
def test_the_name_of_a_run(tmp_path, preset, folder, name):
    assert _name_of_run(preset, tmp_path / folder) == name


def test_a_folder_that_is_no_export_is_never_replaced(tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputExistsError, match="contains metadata"):
        export(tiny_run(), tmp_path, overwrite=True)
    assert (tmp_path / "tiny" / "thesis.tex").exists()


def test_what_is_left_out_is_gone_and_the_rest_runs(tmp_path):
    target = export(tiny_run(), tmp_path, stream=(512,), leave_out=("1/*", "*.h5", "model.tflite"))
    assert {path.name for path in target.iterdir()} == {"metadata.json", "MODEL_CARD.md", "stream_512.tflite"}
    metadata = json.loads((target / "metadata.json").read_text())
    assert list(metadata["files"]) == list(metadata["streaming"]) == ["stream_512.tflite"]
    assert max(metadata["worst_difference"].values()) < 1e-5
    song = np.random.default_rng(0).standard_normal((5000, 1)).astype(np.float32)
    agree(load_runner(target).run(song), load_runner(tiny_export()).run(song), 1e-5, "streamed")
    for patterns, words in ((("stream_99*",), "matches none"), (("*.tflite",), "keep one")):
        with pytest.raises(UsageError, match=words):
            export(tiny_run(), tmp_path / "other", leave_out=patterns)
    assert not list((tmp_path / "other").iterdir())


def test_an_exported_model_is_exported_again(tmp_path):
    evaluation = {"rows": [{"codec": "mp3@64k", "signal": "unprocessed", "files": 1}], "definitions": ["LSD: usual."]}
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation | {"files": [], "about": {}}))
    (tmp_path / "licences.md").write_text("# Music\n\nBy somebody, CC BY 4.0.\n\n## More\n\nAnd others.\n")
    run = write_frame_run(tmp_path)
    first = export(run, tmp_path / "first", tmp_path / "evaluation.json", tmp_path / "licences.md")
    again = export(first, tmp_path / "again", stream=[512], leave_out=["1/*"])
    before, after = (json.loads((folder / "metadata.json").read_text()) for folder in (first, again))
    for name in ("name", "preset", "training", "evaluation", "parameters"):
        assert after[name] == before[name], name
    assert list(after["streaming"]) == ["stream_512.tflite"]
    windows = np.random.default_rng(0).standard_normal((1, 16384, 1)).astype(np.float32)
    agree(load_runner(again).predict(windows), load_runner(first).predict(windows), 1e-5)
    cards = [(folder / "MODEL_CARD.md").read_text() for folder in (first, again)]
    start, end = "## Figures", "## Files"
    assert len({card[card.index(start) : card.index(end)] for card in cards}) == 1
    assert "### Music\n\nBy somebody" in cards[1]

    # An exported model whose weights are missing or damaged cannot be exported again.
    (first / "model.weights.h5").write_bytes(b"other weights")
    with pytest.raises(ArtifactError, match="SHA-256"):
        export(first, tmp_path / "third")
    without = export(run, tmp_path / "without", leave_out=["*.h5"])
    with pytest.raises(ArtifactError, match=r"its weights, model\.weights\.h5; they were left out of .*without.tiny"):
        export(without, tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_a_preset_with_weights_is_exported_by_its_name(tmp_path):
    folder = export("paired_resnet_bands_44k", tmp_path, stream=[512], leave_out=["1/*"])
    assert "stream_512.tflite" in json.loads((folder / "metadata.json").read_text())["streaming"]
    assert "CC" in (folder / "MODEL_CARD.md").read_text()


def test_missing_inputs(tmp_path):
    with pytest.raises(ArtifactError, match="none of them"):
        export(tmp_path / "no-run", tmp_path)
    with pytest.raises(UsageError, match="evaluation.json"):
        export(tiny_run(), tmp_path, evaluation=tiny_run() / "history.json")
    with pytest.raises(UsageError, match="UTF-8"):
        export(tiny_run(), tmp_path, attribution=tmp_path / "none.md")
    assert not list(tmp_path.iterdir())


def test_a_model_that_does_not_convert_is_one_error(tmp_path):
    import keras

    run = shutil.copytree(tiny_run(), tmp_path / "run")
    # This network expects two channels instead of one. Keras builds and saves it, but it cannot be exported.
    lossy = keras.Input((None, 2), name="lossy")
    keras.Model(lossy, keras.layers.Dense(1)(lossy)).save(run / "best.keras")
    with pytest.raises(ArtifactError, match="must convert") as caught:
        export(run, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


def test_an_abort_of_the_child_is_one_error(tmp_path, monkeypatch):
    (tmp_path / "python").write_text(
        "#!/bin/sh\necho 'LLVM ERROR: something inside' >&2\necho '#0 stack' >&2\nkill -ABRT $$\n"
    )
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(ArtifactError, match=r"LLVM ERROR: something inside \(signal 6\)"):
        export(tiny_run(), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_nan_weights_are_refused(tmp_path):
    run = write_run(tmp_path, scale=float("nan"))
    with pytest.raises(ArtifactError, match="weights must be finite"):
        export(run, tmp_path / "out")
