"""Tests that untrusted models are refused.

Such a model is damaged, has another format version, contains a program, or refers to files outside its folder.
"""

import hashlib
import io
import json
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import tiny_export, tiny_run, write_run

from keras_audiosr import cli
from keras_audiosr.errors import ArtifactError, TrustWarning, UsageError
from keras_audiosr.runners import load_model, load_runner
from keras_audiosr.runners.artifact import copy_verified, read_metadata, read_verified
from keras_audiosr.runners.checkpoint import write_checksum


@pytest.fixture
def exported(tmp_path):
    return Path(shutil.copytree(tiny_export(), tmp_path / "model"))


@pytest.fixture
def run(tmp_path):
    return Path(shutil.copytree(tiny_run(), tmp_path / "run"))


@pytest.fixture
def song(tmp_path, make_music):
    path = tmp_path / "songs" / "song.wav"
    path.parent.mkdir()
    soundfile.write(path, make_music(0.3), 44100, subtype="PCM_16")
    return path


def sign(exported, name):
    """Updates the hash of a file in metadata.json, as an attacker who has changed the file would do."""
    metadata = json.loads((exported / "metadata.json").read_text())
    content = (exported / name).read_bytes()
    metadata["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (exported / "metadata.json").write_text(json.dumps(metadata))


def change_metadata(exported, **changes):
    metadata = json.loads((exported / "metadata.json").read_text())
    (exported / "metadata.json").write_text(json.dumps(metadata | changes))


def restore(song, model, *options):
    return cli.main(["restore", "--force", str(song), "--model", str(model), *options])


def assert_refused(song, model, capsys, says):
    """Asserts that `restore` exits with code 1, prints one line that contains `says`, and writes nothing."""
    capsys.readouterr()
    assert restore(song, model, "--trust-saved-model") == 1
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if "warning: a SavedModel is a program" not in line]
    assert len(lines) == 1, said.err
    assert lines[0].startswith("keras-audiosr: error: ")
    assert says in lines[0]
    assert [path.name for path in song.parent.iterdir()] == [song.name]


# Damaged, truncated and missing files


SAVED_MODEL_FILES = ["1/saved_model.pb", "1/variables/variables.index", "1/variables/variables.data-00000-of-00001"]


@pytest.mark.parametrize("how", ["missing", "truncated", "one bit", "empty"])
@pytest.mark.parametrize("name", ["model.tflite", "model.weights.h5", *SAVED_MODEL_FILES])
def test_damaged_files_are_one_line(exported, song, capsys, name, how):
    path = exported / name
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "one bit":
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        path.write_bytes(flipped)
    else:
        path.write_bytes(content[: len(content) // 2 if how == "truncated" else 0])
    says = "must be complete" if how == "missing" else "SHA-256"
    if (how, name) == ("missing", "1/saved_model.pb"):
        says = "a model is an exported folder, a SavedModel"
    if name == "model.weights.h5":  # only load_model reads this file
        with pytest.raises(ArtifactError, match=says):
            load_model(exported)
    else:
        assert_refused(song, exported / "1" if name.startswith("1/") else exported, capsys, says)


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_truncated_checkpoint_is_one_line(run, song, capsys, keep):
    (run / "best.keras").write_bytes((run / "best.keras").read_bytes()[:keep])
    assert_refused(song, run, capsys, "Keras can load")


def test_a_checkpoint_is_held_to_the_hash_of_its_run(run, song, capsys):
    write_checksum(run / "best.keras")
    assert restore(song, run) == 0
    (song.parent / "song.restored.flac").unlink()
    done = subprocess.run(["sha256sum", "-c", "best.keras.sha256"], cwd=run, capture_output=True, text=True, check=True)
    assert done.stdout == "best.keras: OK\n"
    shutil.copy(write_run(run.parent, scale=0.5) / "best.keras", run / "best.keras")
    assert_refused(song, run, capsys, "SHA-256 must be the one in best.keras.sha256")


# Files of other versions


def test_a_tflite_file_of_another_schema(exported, song, capsys):
    content = bytearray((exported / "model.tflite").read_bytes())
    table = struct.unpack_from("<I", content)[0]
    vtable = table - struct.unpack_from("<i", content, table)[0]
    version = table + struct.unpack_from("<H", content, vtable + 4)[0]
    assert struct.unpack_from("<I", content, version)[0] == 3
    struct.pack_into("<I", content, version, 99)
    (exported / "model.tflite").write_bytes(content)
    sign(exported, "model.tflite")
    assert_refused(song, exported, capsys, "LiteRT can run")


def test_metadata_of_another_format(exported, song, capsys):
    change_metadata(exported, format=2, version="9.9.0")
    for model in (exported, exported / "1"):
        assert_refused(song, model, capsys, "is of format 2, by keras_audiosr 9.9.0")
    with pytest.raises(ArtifactError, match="format 2"):
        load_model(exported)


def rewrite(checkpoint, change):
    """Replaces the config of a checkpoint by the result of `change`. All other members stay as they are."""
    with zipfile.ZipFile(checkpoint) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    members |= {"config.json": json.dumps(change(config)).encode()}
    with zipfile.ZipFile(checkpoint, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_checkpoint_with_a_layer_that_this_version_does_not_know(run, song, capsys):
    def change(config):
        config["config"]["layers"][1] |= {"class_name": "Tomorrow", "registered_name": "keras_audiosr>Tomorrow"}
        return config

    rewrite(run / "best.keras", change)
    assert_refused(song, run, capsys, "Keras can load")


# Programs


def test_a_lambda_is_refused_and_never_runs(run, song, capsys, tmp_path):
    import keras

    inputs = keras.Input((None, 1), name="lossy")
    target = str(tmp_path / "ran")
    keras.Model(inputs, keras.layers.Lambda(lambda x: (open(target, "w").close(), x)[1])(inputs)).save(
        run / "best.keras"
    )
    Path(target).unlink()  # the lambda ran when the model was made
    assert_refused(song, run, capsys, "Lambda")
    with pytest.raises(ArtifactError, match="Lambda"):
        load_model(run)
    assert cli.main(["export", str(run), str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Lambda" in error
    assert not Path(target).exists()


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("builtins", "eval"), ("subprocess", "run"), ("keras.utils", "get_file")]
)
def test_a_checkpoint_cannot_name_a_function_elsewhere(run, song, capsys, tmp_path, module, name):
    def change(config):
        layer = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Conv1D")
        layer["config"]["activation"] = {
            "module": module, "class_name": "function", "config": name, "registered_name": "function",
        }  # fmt: skip
        return config

    rewrite(run / "best.keras", change)
    assert_refused(song, run, capsys, "Keras can load")


def test_a_saved_model_from_elsewhere_needs_a_word(exported, song, capsys, tmp_path):
    for arguments in (["restore", "--force", str(song), "--model", str(exported / "1")],
                      ["serve", "bundle", str(tmp_path / "bundle"), "--model", str(exported)]):  # fmt: skip
        assert cli.main(arguments) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "a SavedModel is a program" in error
        assert "--trust-saved-model" in error
    assert not (tmp_path / "bundle").exists()
    assert restore(song, exported / "1", "--trust-saved-model") == 0
    error = capsys.readouterr().err.splitlines()
    assert error[0].startswith("keras-audiosr: warning: a SavedModel is a program")
    assert sum("warning" in line for line in error) == 1
    with pytest.raises(ArtifactError, match="trust=True"):
        load_runner(exported / "1")
    with pytest.warns(TrustWarning, match="because you trust it"):
        load_runner(exported / "1", trust=True)


def test_the_refusal_comes_before_tensorflow(exported):
    code = (
        "import sys; from keras_audiosr import cli;"
        f"code = cli.main(['restore', 'x.mp3', '--model', {str(exported / '1')!r}]);"
        "sys.exit(code + 10 * ('tensorflow' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 1


def test_the_packages_own_saved_model_needs_none(tmp_path, recwarn):
    from keras_audiosr.presets import DEFAULT_PRESET, bundled_folder, is_bundled

    assert is_bundled(bundled_folder(DEFAULT_PRESET) / "1")
    load_runner(bundled_folder(DEFAULT_PRESET) / "1")
    assert not [warning for warning in recwarn if warning.category is TrustWarning]
    # A folder elsewhere with the same name does not count as bundled. Neither does a path that leads out of the bundled
    # models again.
    assert not is_bundled(tmp_path / "exported_models" / DEFAULT_PRESET / "1")
    assert not is_bundled(bundled_folder(DEFAULT_PRESET) / ".." / ".." / "x")


def test_only_listed_files_reach_tensorflow(exported, tmp_path):
    (exported / "1" / "assets").mkdir(exist_ok=True)
    (exported / "1" / "assets" / "more.txt").write_text("unlisted")
    copy = copy_verified(exported, read_metadata(exported), "1", tmp_path)
    listed = [name for name in json.loads((exported / "metadata.json").read_text())["files"] if name.startswith("1/")]
    assert sorted(f"1/{path.relative_to(copy)}" for path in copy.rglob("*") if path.is_file()) == sorted(listed)
    change_metadata(exported, files={"model.tflite": {}})
    with pytest.raises(ArtifactError, match="must list 1/"):
        load_runner(exported / "1", trust=True)


@pytest.fixture
def exported_weights(exported):
    """An exported model whose weights belong to the network that its metadata.json describes."""
    from keras_audiosr.models import build_model

    network = {"architecture": "paired_resnet", "config": {"filters": 8, "frame_length": 256}}
    model = build_model(network["architecture"], **network["config"])
    model.save_weights(exported / "model.weights.h5")
    sign(exported, "model.weights.h5")
    change_metadata(exported, preset={"model": network})
    assert len(load_model(exported).weights) == len(model.weights)
    return exported


def test_a_weights_file_cannot_read_another(exported_weights, tmp_path):
    """HDF5 can store the bytes of a dataset in another file. Keras 3.13 and later versions refuse to read it."""
    import h5py

    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.full(1 << 20, 0.25, np.float32).tobytes())
    with h5py.File(exported_weights / "model.weights.h5", "r+") as file:
        found = []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        shape = file[found[-1]].shape
        del file[found[-1]]
        file.create_dataset(found[-1], shape, "<f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        assert (file[found[-1]][()] == 0.25).all()  # h5py does read the other file
    sign(exported_weights, "model.weights.h5")
    with pytest.raises(ArtifactError, match="weights must fit the network") as caught:
        load_model(exported_weights)
    assert "xternal" in str(caught.value)


def test_weights_that_lack_some_are_refused(exported_weights):
    """Keras only warns about missing weights, and leaves them at their random initial values."""
    import h5py

    with h5py.File(exported_weights / "model.weights.h5", "r+") as file:
        layers = file["layers"] if "layers" in file else file["_layer_checkpoint_dependencies"]
        del layers[next(name for name in layers if len(layers[name].get("vars", ())))]
    sign(exported_weights, "model.weights.h5")
    with pytest.raises(ArtifactError, match="weights must fit the network"):
        load_model(exported_weights)


def test_weights_of_another_network_are_refused(exported_weights):
    change_metadata(exported_weights, preset={"model": {"architecture": "vdsr", "config": {}}})
    with pytest.raises(ArtifactError, match="weights must fit the network"):
        load_model(exported_weights)


# NaN


def test_nan_weights_are_refused_with_a_word(tmp_path, song, capsys, exported):
    run = tmp_path / "nan"
    run.mkdir()
    write_run(run, scale=float("nan"))
    assert_refused(song, run, capsys, "weights must be finite")
    with pytest.raises(ArtifactError, match="weights must be finite"):
        load_model(run)
    # The weights of a TFLite file are not checked, but its output is.
    content = bytearray((exported / "model.tflite").read_bytes())
    kernel = np.load(io.BytesIO(_kernel())).tobytes()
    assert content.count(kernel[:64]) == 1
    start = content.index(kernel[:64])
    content[start : start + 4] = np.float32("nan").tobytes()
    (exported / "model.tflite").write_bytes(content)
    sign(exported, "model.tflite")
    assert_refused(song, exported, capsys, "a model must return finite samples")


def _kernel():
    """Returns the bytes of an .npy file with the tiny model's kernel. As in TFLite, its first axis is the outputs."""
    import keras

    (kernel, _) = keras.saving.load_model(tiny_run() / "best.keras").get_weights()
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(kernel.transpose(2, 0, 1)))
    return file.getvalue()


# Files outside the folder


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "{absolute}"])
def test_a_listed_name_cannot_leave_the_folder(exported, tmp_path, name):
    (tmp_path / "secret").write_bytes(b"mine")
    name = name.format(absolute=tmp_path / "secret")
    entry = {"bytes": 4, "sha256": hashlib.sha256(b"mine").hexdigest()}
    change_metadata(exported, files={name: entry})
    with pytest.raises(ArtifactError, match="must list"):
        read_verified(exported, read_metadata(exported), name)


def test_a_saved_model_cannot_be_bundled_from_outside(exported, tmp_path):
    from keras_audiosr.stages.serve import serve

    content = (exported / "1" / "saved_model.pb").read_bytes()
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    for name in ("../model/1/saved_model.pb", f"{exported}/1/saved_model.pb"):
        change_metadata(exported, files={name: entry})
        with pytest.raises(ArtifactError, match="must list"):
            serve(tmp_path / "out", exported, trust=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "..", ".", "a/b", ""])
def test_a_presets_name_cannot_leave_the_folder(run, tmp_path, name):
    preset = json.loads((run / "preset.json").read_text())
    (run / "preset.json").write_text(json.dumps(preset | {"name": name}))
    with pytest.raises((ArtifactError, UsageError), match="name has letters"):
        from keras_audiosr.stages.export import export

        export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "outside").exists()


@pytest.mark.filterwarnings("ignore:Skipping invalid path")  # Keras warns about members that it skips
def test_members_of_a_checkpoint_stay_in_it(run, song, tmp_path):
    with zipfile.ZipFile(run / "best.keras", "a") as archive:
        for name in ("../../outside", str(tmp_path / "outside"), "assets/../../outside"):
            archive.writestr(name, b"written")
    restore(song, run)  # it may be refused or read, but nothing is written elsewhere
    assert not list(tmp_path.rglob("outside"))
