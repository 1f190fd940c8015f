"""Tests model servers in operation.

Versions change and servers restart in the middle of a file, and 64 clients send requests at the same time.
"""

import asyncio
import concurrent.futures
import json
import threading
import time

import numpy as np
import pytest
from equivalence import agree
from tiny_model import WINDOW

pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, the official stubs")

from served import SCHEMES, copy_bundle, running

from keras_audiosr.errors import ServerError
from keras_audiosr.runners.serving import ServingRunner
from keras_audiosr.serving import ServerOptions, ServingClient


def blocks_of(audio, hook):
    """Yields the blocks of a signal, and calls `hook` after the first third of them."""
    size = len(audio) // 12
    for index, start in enumerate(range(0, len(audio), size)):
        if index == 4:
            hook()
        yield audio[start : start + size]


def test_a_file_keeps_its_version_while_others_are_loaded(tmp_path, local, make_music):
    import tensorflow as tf

    from keras_audiosr.serving.signatures import write_served_model

    class Half(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, WINDOW, 1), tf.float32, name="lossy")])
        def halve(self, lossy):
            return {"restored": 0.5 * lossy}

    half = Half()
    tf.saved_model.save(half, str(tmp_path / "half"), signatures={"serving_default": half.halve})
    bundle = copy_bundle(tmp_path / "bundle")
    facts = {
        "name": "tiny", "sample_rate": 44100, "window_length": WINDOW, "context": 512, "hop_length": 256,
        "overlap": 1024, "weights": "", "undo_encoder_gain": 0,
    }  # fmt: skip
    audio = make_music(duration=2.0)

    def roll_over(version):
        made = tmp_path / f"made{version}"
        write_served_model(tmp_path / "half", made, json.dumps(facts | {"version": version}))
        made.rename(bundle / "tiny" / str(version))
        client = ServingClient(server.url("grpc"))
        deadline = time.monotonic() + 60
        while client.describe().version != version and time.monotonic() < deadline:
            time.sleep(0.1)

    with running(bundle) as server:
        runner = ServingRunner(server.url("grpc"))
        labelled = ServingRunner(server.url("http") + ":stable")
        restored = np.concatenate(list(runner.stream(blocks_of(audio, lambda: roll_over(2)), 2)))
        agree(restored, local.run(audio), 1e-5)
        # The same runner uses the new version for the next file. The label still refers to the first version.
        agree(runner.run(audio), 0.5 * audio, 1e-6)
        agree(labelled.run(audio), local.run(audio), 1e-5)
        pinned = ServingRunner(server.url("grpc") + "@1")
        models = (bundle / "models.config").read_text()
        (bundle / "models.config").write_text(models.replace('"stable" value: 1', '"stable" value: 2'))
        # When the server loads a third version, it unloads the first one. A file that began with the first one fails,
        # because another version must not continue it.
        with pytest.raises(ServerError, match="one version must restore a whole file") as caught:
            list(pinned.stream(blocks_of(audio, lambda: roll_over(3)), 2))
        assert caught.value.code == "NOT_FOUND"
        agree(labelled.run(audio), 0.5 * audio, 1e-5)


def test_a_server_that_is_killed_and_comes_back_in_mid_file(tmp_path, local, make_music):
    audio = make_music(duration=2.0)
    expected = local.run(audio)
    with running(copy_bundle(tmp_path / "bundle")) as server:
        runners = [ServingRunner(server.url(scheme), ServerOptions(deadline=120)) for scheme in SCHEMES]
        paused, going_on = threading.Barrier(3), threading.Event()

        def wait():
            paused.wait(60)
            going_on.wait(60)

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            files = [pool.submit(lambda r: list(r.stream(blocks_of(audio, wait), 2)), runner) for runner in runners]
            paused.wait(60)
            server.kill()
            going_on.set()
            time.sleep(0.5)  # requests now find no server
            assert not any(file.done() for file in files)
            server.start()
            for file in files:
                agree(np.concatenate(file.result(120)), expected, 1e-5)
        for runner in runners:
            runner.client.close()
        # If the server does not come back, the run fails at the deadline.
        runner = ServingRunner(server.url("grpc"), ServerOptions(deadline=1.0))
        with pytest.raises(ServerError) as caught:
            list(runner.stream(blocks_of(audio, server.kill), 2))
        assert caught.value.code == "UNAVAILABLE"


def test_64_clients_lose_nothing(server, local, make_music, record_property, capsys):
    songs = [make_music(duration=0.4, seed=seed) for seed in range(64)]
    expected = [local.run(song) for song in songs]
    latencies, lock = [], threading.Lock()

    class Timed(ServingRunner):
        def predict(self, windows):
            started = time.perf_counter()
            restored = super().predict(windows)
            with lock:
                latencies.append(time.perf_counter() - started)
            return restored

        def processor(self, channels, sample_rate=None, path=None, pairs=None):
            return super(ServingRunner, self).processor(channels, sample_rate, path, pairs)

    together = threading.Barrier(64)

    def client(song):
        runner = Timed(server.url("grpc"), ServerOptions(in_flight=2))
        together.wait(60)
        return runner.run(song)

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        restored = list(pool.map(client, songs))
    for found, wanted in zip(restored, expected, strict=True):
        agree(found, wanted, 1e-5)
    assert len(latencies) == sum(-(-len(song) // (WINDOW - 1024)) for song in songs)
    p50, p99 = (1000 * float(np.quantile(latencies, share)) for share in (0.5, 0.99))
    record_property("p99_ms", p99)
    with capsys.disabled():
        print(f"\n64 clients, {len(latencies)} requests: p50 {p50:.0f} ms, p99 {p99:.0f} ms")


def test_an_asyncio_service_shares_one_client(server, local, make_music):
    """As in docs/serving.md, each song has its own runner in a thread, and all runners share one connection."""
    songs = [make_music(duration=0.2, seed=seed) for seed in range(16)]
    client = ServingClient(server.url("grpc"), ServerOptions(in_flight=2))

    def restore(song):
        return ServingRunner(client).run(song)

    async def restore_all():
        return await asyncio.gather(*(asyncio.to_thread(restore, song) for song in songs))

    for found, song in zip(asyncio.run(restore_all()), songs, strict=True):
        agree(found, local.run(song), 1e-5)
    client.close()
