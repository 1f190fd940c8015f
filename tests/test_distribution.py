"""Tests that training on two devices, or in two processes of which one is killed, gives the losses of one device."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_train import _write_pairs

from keras_audiosr import train
from keras_audiosr.errors import UsageError
from keras_audiosr.presets import load_preset
from keras_audiosr.training.distribution import is_chief, own_folder

ROOT = Path(__file__).parents[1]
# Relative tolerances of the losses after the first and the second epoch. Adding float32 values in another order changes
# the loss by 4e-5 after the first epoch and by up to 3e-4 after the second, because Adam turns small differences into
# whole steps. The tolerances are low enough to detect two faults. If each replica clips its gradients alone, the loss
# changes by 3e-4 after the first epoch. If the optimizer's state is lost when the run resumes, the loss changes by 2e-3
# after the second epoch.
TOLERANCES = 1e-4, 8e-4


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return _write_pairs(tmp_path_factory.mktemp("pairs"))


def write_preset(folder: Path, optimizer: dict) -> Path:
    """Writes a preset and returns its path: a small network, batches of 8, and steps that change every loss."""
    small = load_preset("paired_resnet_frame_1024_44k")
    small["name"] = "paired_resnet_small"
    small["model"]["config"] = {"filters": 8, "frame_length": 256, "batch_normalization": False}
    small["data"] |= {"window_length": 4096, "batch_size": 8}
    small["training"] |= {"epochs": 2, "steps_per_epoch": 4, "validation_steps": 1, "patience": 10}
    rates = {"learning_rate": 1e-2, "final_learning_rate": 1e-3, "ema_momentum": 0.5}
    small["training"]["optimizer"] = rates | optimizer
    # Tracing one resolution takes a third of the time of three.
    small["training"]["loss"][0]["config"] = {"frame_lengths": [512], "convergence_weight": 0.5}
    path = folder / "small.json"
    path.write_text(json.dumps(small), "utf-8")
    return path


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """Returns a preset with Adam. It clips so much that the norm of all gradients together affects every step."""
    adam = {"name": "adam", "clip_norm": 0.05, "learning_rate": 3e-3, "final_learning_rate": 3e-4}
    return write_preset(tmp_path_factory.mktemp("adam"), adam)


@pytest.fixture(scope="module")
def preset_sgd(tmp_path_factory):
    """Returns a preset with SGD. Its steps are proportional to the gradients, whose values are clipped one by one."""
    sgd = {"name": "sgd", "momentum": 0.9, "adjustable_clip": 1e-3}
    return write_preset(tmp_path_factory.mktemp("sgd"), sgd)


def same_curve(history: list[dict], expected: list[dict]) -> None:
    assert [entry.keys() for entry in history] == [entry.keys() for entry in expected]
    for entry, other, tolerance in zip(history, expected, TOLERANCES, strict=True):
        for name, value in other.items():
            assert entry[name] == pytest.approx(value, rel=tolerance), name


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def start(arguments: list, config: dict | None = None, code: str = "") -> subprocess.Popen:
    """Starts a process that runs `code` and then `keras-audiosr train`."""
    main = f"{code}\nimport sys; from keras_audiosr.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    # oneDNN uses other convolutions for slices than for whole batches. On some processors their sums differ by 2e-4.
    environment["TF_ENABLE_ONEDNN_OPTS"] = "0"
    environment.pop("TF_CONFIG", None)
    if config is not None:
        environment["TF_CONFIG"] = json.dumps(config)
    command = [sys.executable, "-c", main, "train", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def start_workers(arguments: list, count: int = 2) -> list[subprocess.Popen]:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(count)]}
    return [
        start([*arguments, "--strategy", "multi_worker"], {"cluster": cluster, "task": {"type": "worker", "index": i}})
        for i in range(count)
    ]


def finish(processes: list[subprocess.Popen], timeout: float = 120.0) -> list[str]:
    """Waits for all processes and returns what each one printed. A process that runs longer is killed."""
    try:
        return [process.communicate(timeout=timeout)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()


def history(out: Path) -> list[dict]:
    return json.loads((out / "history.json").read_text("utf-8"))


def finished_epochs(out: Path) -> int:
    """Returns the number of finished epochs in the saved state of a run."""
    state = out / "state" / "state.json"
    return json.loads(state.read_text("utf-8"))["epoch"] if state.is_file() else 0


def train_alone(preset: Path, manifest: Path, out: Path) -> list[dict]:
    """Trains on one device, in a new process like the runs that it is compared with, and returns the history."""
    process = start([preset, manifest, "-o", out, "--seed", 3])
    [printed] = finish([process])
    assert process.returncode == 0, printed
    return history(out)


def test_two_devices_train_as_one(manifest, preset_sgd, tmp_path):
    code = (
        "import tensorflow as tf; cpu = tf.config.list_physical_devices('CPU')[0];"
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)"
    )
    process = start([preset_sgd, manifest, "-o", tmp_path / "run", "--seed", 3, "--strategy", "mirrored"], code=code)
    [printed] = finish([process])
    assert process.returncode == 0, printed
    same_curve(history(tmp_path / "run"), train_alone(preset_sgd, manifest, tmp_path / "alone"))


def test_two_workers_train_as_one_and_a_killed_one_resumes(manifest, preset, tmp_path):
    out = tmp_path / "run"
    arguments = [preset, manifest, "-o", out, "--seed", 3]
    workers = start_workers(arguments)
    deadline = time.monotonic() + 120
    while not finished_epochs(out):
        assert time.monotonic() < deadline, "no epoch was finished"
        assert all(worker.poll() is None for worker in workers), finish(workers, 5)
        time.sleep(0.01)
    workers[1].send_signal(signal.SIGKILL)
    printed = finish(workers)
    # The remaining worker does not wait forever. It fails, and its message says what to do.
    assert workers[0].returncode == 1
    # TensorFlow logs from a thread of its own, so its lines may follow the command's last line.
    said = [line for line in printed[0].splitlines() if line.startswith("keras-audiosr: ")]
    assert said and "start every worker again" in said[-1]
    assert finished_epochs(out) == 1

    workers = start_workers(arguments)
    printed = finish(workers)
    assert [worker.returncode for worker in workers] == [0, 0], printed
    same_curve(history(out), train_alone(preset, manifest, tmp_path / "alone"))


def test_what_cannot_be_distributed_is_said(manifest, preset, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="'mirrorred'"):
        train(preset, manifest, tmp_path / "run", strategy="mirrorred")
    for config in ("", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}'):
        monkeypatch.setenv("TF_CONFIG", config)
        with pytest.raises(UsageError, match="TF_CONFIG"):
            train(preset, manifest, tmp_path / "run", strategy="multi_worker")
    assert not (tmp_path / "run").exists()


def test_one_worker_keeps_the_folder(tmp_path, monkeypatch):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.json").write_text("{}")
    cluster = {"worker": ["a:1", "b:1"]}
    for index, chief in enumerate((True, False)):
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}))
        assert is_chief("multi_worker") == chief
        with own_folder("multi_worker", tmp_path) as folder:
            assert (folder == tmp_path) == chief
            assert (folder / "state" / "state.json").read_text() == "{}"
        assert folder.exists() == chief
