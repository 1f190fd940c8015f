"""Tests training windows from a tf.data service: a dispatcher and two workers.

Each of them is a process that imports only TensorFlow.
"""

import dataclasses
import json
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from test_distribution import free_ports
from test_train import _write_pairs

from keras_audiosr import train
from keras_audiosr.datasets import build_training_stream, read_records
from keras_audiosr.datasets.service import build_served_stream, build_window_stream
from keras_audiosr.errors import ManifestError, UsageError
from keras_audiosr.presets import DEFAULT_PRESET, load_preset
from keras_audiosr.presets.settings import WindowSettings
from keras_audiosr.stages.window import window

# The programs of docs/scale_out.md.
DISPATCHER = (
    "import tensorflow as tf; service = tf.data.experimental.service;"
    " service.DispatchServer(service.DispatcherConfig(port={port})).join()"
)
WORKER = (
    "import tensorflow as tf; service = tf.data.experimental.service;"
    " service.WorkerServer(service.WorkerConfig(dispatcher_address='{dispatcher}', worker_address='{worker}',"
    " port={port})).join()"
)
CUT = {"window_length": 4096, "min_level": -60.0, "undo_encoder_gain": True}
PRESET, RATE = WindowSettings(**CUT, batch_size=8), 44100


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return _write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def windows(manifest, tmp_path_factory):
    """A folder of training windows, in shards of 8."""
    folder = tmp_path_factory.mktemp("windows") / "train"
    window(manifest, folder, split="train", shard_size=8, **CUT)
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The dispatcher's address and the processes of its workers, which run in another folder."""
    dispatcher, *workers = free_ports(3)
    codes = [DISPATCHER.format(port=dispatcher)]
    codes += [
        WORKER.format(dispatcher=f"127.0.0.1:{dispatcher}", worker=f"127.0.0.1:{port}", port=port) for port in workers
    ]
    folder = tmp_path_factory.mktemp("elsewhere")
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for code in codes
    ]
    for port in (dispatcher, *workers):
        wait_for(port)
    yield f"grpc://127.0.0.1:{dispatcher}", processes[1:]
    for process in processes:
        process.kill()
        process.wait()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.1)


def keys(lossy: np.ndarray) -> list[bytes]:
    return [each.tobytes() for each in lossy]


def test_one_pass_holds_every_window_once(windows):
    expected = np.concatenate([lossy.numpy() for lossy, _ in read_records(windows, 1)])
    stream = build_window_stream(windows, dataclasses.replace(PRESET, batch_size=1), seed=1)
    found: set[bytes] = set()
    # The shuffle buffer also contains windows of later passes, so one pass is not simply the first windows.
    for lossy, _ in stream.take(40 * len(expected)).as_numpy_iterator():
        assert lossy.shape == (1, 4096, 1)
        found |= set(keys(lossy))
        if len(found) == len(expected):
            break
    assert found == set(keys(expected))


def test_windows_with_nothing_to_restore(windows):
    lossy, lossless = next(
        build_window_stream(windows, WindowSettings(4096, 64, lossless_share=1.0)).as_numpy_iterator()
    )
    np.testing.assert_array_equal(lossy, lossless)


def test_both_sides_get_the_same_gain_and_sign(windows):
    plain = {lossy.tobytes(): lossless for lossy, lossless in read_records(windows, 1).as_numpy_iterator()}
    lossy, lossless = next(
        build_window_stream(windows, WindowSettings(4096, 64, gain=(-6.0, 6.0), polarity=True)).as_numpy_iterator()
    )
    factors = []
    for side, other in zip(lossy, lossless, strict=True):
        # Finds the original of the window, and the factor by which the window was scaled.
        for key, target in plain.items():
            origin = np.frombuffer(key, np.float32).reshape(side.shape)
            factor = float(np.sum(side * origin) / np.sum(origin * origin))
            if np.allclose(side, factor * origin, atol=1e-6):
                assert np.allclose(other, factor * target[0], atol=1e-6)
                factors.append(factor)
                break
    assert len(factors) == 64
    assert 0.5 <= min(map(abs, factors)) < max(map(abs, factors)) <= 2.0
    assert {factor > 0 for factor in factors} == {True, False}


def test_two_workers_share_out_the_windows(service, windows, manifest):
    address, _ = service
    expected = {key for lossy, _ in read_records(windows, 8) for key in keys(lossy.numpy())}
    stream = build_served_stream(address, windows, manifest, PRESET, RATE, seed=1)
    assert stream.element_spec == (tf.TensorSpec((8, 4096, 1)),) * 2
    found: set[bytes] = set()
    for lossy, lossless in stream.take(400):
        assert lossless.shape == (8, 4096, 1)
        found |= set(keys(lossy.numpy()))
        if found == expected:
            break
    assert found == expected


def test_what_decodes_in_python_cannot_be_moved(service, manifest):
    """The service cannot call the Python function that decodes files, so `window` must write the windows first.

    If this test fails one day, the service no longer needs `window`.
    """
    address, _ = service
    stream = build_training_stream(manifest, 4, window_length=4096, batch_size=8)
    policy = tf.data.experimental.service.ShardingPolicy.OFF
    remote = stream.apply(tf.data.experimental.service.distribute(policy, address))
    with pytest.raises(tf.errors.OpError, match="Could not find callback with key=pyfunc"):
        next(iter(remote))


def test_reading_and_training_outlive_a_worker(service, windows, manifest, tmp_path):
    address, workers = service
    stream = iter(build_served_stream(address, windows, manifest, PRESET, RATE))
    next(stream)
    workers[0].kill()
    for _ in range(100):
        assert next(stream)[0].shape == (8, 4096, 1)
    del stream
    small = load_preset("paired_resnet_frame_1024_44k")
    small["name"] = "paired_resnet_small"
    small["model"]["config"] = {"filters": 8, "frame_length": 256, "batch_normalization": False}
    small["data"] |= {**CUT, "batch_size": 8}
    small["training"] |= {"epochs": 3, "steps_per_epoch": 6, "validation_steps": 1}
    small["training"]["loss"] = [{"name": "l1", "weight": 1}]
    preset = tmp_path / "small.json"
    preset.write_text(json.dumps(small), "utf-8")
    history = train(preset, manifest, tmp_path / "run", data_service=address, windows=windows)["history"]
    assert len(history) == 3
    assert history[-1]["val_loss"] < history[0]["val_loss"]


def test_windows_of_something_else_are_refused(service, windows, manifest, tmp_path):
    address, _ = service
    with pytest.raises(ManifestError, match="min_level -60.0, not None"):
        build_served_stream(address, windows, manifest, dataclasses.replace(PRESET, min_level=None), RATE)
    with pytest.raises(ManifestError, match="window_length 4096, not 2048"):
        build_served_stream(address, windows, manifest, dataclasses.replace(PRESET, window_length=2048), RATE)
    other = tmp_path / "pairs.jsonl"
    other.write_text(manifest.read_text("utf-8").splitlines(keepends=True)[0], "utf-8")
    with pytest.raises(ManifestError, match="another than"):
        build_served_stream(address, windows, other, PRESET, RATE)


def test_a_service_that_is_not_there_is_said_at_once(windows, manifest):
    [port] = free_ports(1)
    with pytest.raises(UsageError, match="must listen"):
        build_served_stream(f"grpc://127.0.0.1:{port}", windows, manifest, PRESET, RATE)
    with pytest.raises(UsageError, match="grpc://HOST:PORT"):
        build_served_stream("localhost:5050", windows, manifest, PRESET, RATE)
    with pytest.raises(UsageError, match="needs windows"):
        train(DEFAULT_PRESET, manifest, data_service="grpc://127.0.0.1:1")
