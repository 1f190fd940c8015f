"""Songs to a model server and back, by a stand-in of the server in a process of its own."""

import asyncio
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from equivalence import agree
from tiny_model import WINDOW, tiny_export

pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, the official stubs")

import grpc
from served import copy_bundle, running
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_audiosr import cli
from keras_audiosr.errors import ServerError, UsageError
from keras_audiosr.runners import load_runner
from keras_audiosr.runners.serving import AsyncServingRunner, ServingRunner
from keras_audiosr.serving import ServerAddress, ServerOptions, ServingClient

SCHEMES = ("grpc", "http")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server that takes requests of up to 512 windows, so that tiny windows reach gRPC's 4 MiB."""
    folder = copy_bundle(tmp_path_factory.mktemp("served") / "bundle")
    batching = folder / "batching.config"
    batching.write_text(batching.read_text().replace("{ value: 8 }", "{ value: 512 }"))
    with running(folder) as server:
        yield server


@pytest.fixture(scope="module")
def local():
    return load_runner(tiny_export())


def in_16_bits(audio):
    return (np.rint(audio * 32768) / 32768).astype(np.float32)


# The whole file, through every door


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_song_comes_back_as_from_here(server, local, make_music, scheme):
    audio = make_music(duration=1.5)
    restored = load_runner(server.url(scheme)).run(audio)
    assert restored.shape == audio.shape
    assert np.abs(restored - audio).max() > 1e-3  # the model does something
    agree(restored, local.run(audio), 1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_16_bit_samples_are_within_one_step(server, local, make_music, scheme):
    audio = in_16_bits(make_music(duration=1.5))
    restored = ServingRunner(server.url(scheme), ServerOptions(pcm16=True)).run(audio)
    np.testing.assert_array_equal(restored, in_16_bits(restored))
    agree(restored, local.run(audio).clip(-1, 1 - 1 / 32768), 1 / 32768)


@pytest.mark.parametrize("length", [0, 1, 512, WINDOW - 1, WINDOW + 1, 9 * WINDOW])
@pytest.mark.parametrize("channels", [1, 9])
def test_any_length_and_more_channels_than_a_request_holds(server, local, length, channels):
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (length, channels)).astype(np.float32)
    restored = ServingRunner(server.url("grpc")).run(audio)
    assert restored.shape == audio.shape
    agree(restored, local.run(audio), 1e-5)


def test_another_sample_rate_goes_through(server, local, make_music):
    audio = make_music(duration=0.5, sample_rate=48000)
    restored = ServingRunner(server.url("grpc")).run(audio, 48000)
    agree(restored, local.run(audio, 48000), 1e-5)


@pytest.mark.parametrize("in_flight", [1, 7])
def test_requests_in_flight_do_not_matter(server, local, make_music, in_flight):
    audio = make_music(duration=1.0)
    restored = ServingRunner(server.url("grpc"), ServerOptions(in_flight=in_flight)).run(audio)
    agree(restored, local.run(audio), 1e-5)


def test_restore_through_a_server(server, tmp_path, make_music, capsys):
    song = tmp_path / "song.wav"
    soundfile.write(song, make_music(duration=1.0), 44100, subtype="PCM_16")
    lines = ["restore", str(song), "--force", "--subtype", "PCM_24", "-o"]
    assert cli.main([*lines, str(tmp_path / "here.wav"), "--model", str(tiny_export())]) == 0
    here, _ = soundfile.read(tmp_path / "here.wav")
    for name, tolerance, options in (
        ("grpc", 1e-5, ["--server-deadline", "30", "--server-in-flight", "2", "--server-header", "x-song: 1"]),
        ("http", 1e-5, ["--server-max-message", "8"]),
        ("grpc", 1 / 32768, ["--server-pcm16"]),
        ("http", 1 / 32768, ["--server-pcm16"]),
    ):
        out = tmp_path / f"{name}.wav"
        assert cli.main([*lines, str(out), "--server", server.url(name), *options, "--overwrite"]) == 0
        served, rate = soundfile.read(out)
        assert (len(served), rate) == (len(here), 44100)
        agree(served, here, tolerance)
    assert "Traceback" not in capsys.readouterr().err


def test_the_client_needs_neither_tensorflow_nor_keras(server, tmp_path, make_music):
    soundfile.write(tmp_path / "a.wav", make_music(duration=0.3), 44100)
    code = (
        "import sys; from keras_audiosr import cli; code = 0\n"
        f"for url in {[server.url(scheme) for scheme in SCHEMES]}:\n"
        f"    code |= cli.main(['restore', '--force', {str(tmp_path / 'a.wav')!r}, '--server', url, '--overwrite'])\n"
        "sys.exit(code or repr({'tensorflow', 'keras', 'ai_edge_litert'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == "set()\n"


# What is served: versions, labels, names


def test_the_model_says_what_it_is(server):
    for scheme in SCHEMES:
        runner = ServingRunner(server.url(scheme))
        assert (runner.name, runner.sample_rate, runner.window_length, runner.served_version) == (
            "tiny",
            44100,
            WINDOW,
            1,
        )
        assert runner.version == load_runner(tiny_export() / "1", trust=True).version
    for which in ("@1", ":stable"):
        for scheme in SCHEMES:
            assert ServingRunner(server.url(scheme) + which).served_version == 1


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("model", "code", "fix"),
    [
        ("nothing", "NOT_FOUND", "check the names"),
        ("tiny@9", "NOT_FOUND", "check the names"),
        ("tiny:canary", "INVALID_ARGUMENT", "Unrecognized servable version label: canary"),
    ],
)
def test_names_that_are_not_served(server, scheme, model, code, fix, capsys, tmp_path):
    with pytest.raises(ServerError, match=fix) as caught:
        load_runner(server.url(scheme, model))
    assert caught.value.code == code
    soundfile.write(tmp_path / "a.wav", np.ones((100, 1), np.float32), 44100)
    assert cli.main(["restore", "--force", str(tmp_path / "a.wav"), "--server", server.url(scheme, model)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert model.split("@")[0].split(":")[0] in error
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_port_that_nobody_answers_is_told_soon(tmp_path):
    for url in ("grpc://127.0.0.1:9/tiny", "http://127.0.0.1:9/tiny"):
        started = time.monotonic()
        with pytest.raises(ServerError, match="check that it runs") as caught:
            ServingRunner(url, ServerOptions(deadline=1.0))
        assert caught.value.code == "UNAVAILABLE"
        assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    "url",
    "grpc://host/m grpc://host:1 grpc://host:x/m ftp://host:1/m http://u@h:1/m grpc://h:1/m@one grpc://h:1/a/b"
    " http://h:1/m?x".split(),
)
def test_urls_that_are_none(url):
    with pytest.raises(UsageError, match="HOST:PORT/MODEL"):
        ServingClient(url)


def test_urls():
    assert ServerAddress.parse("grpcs://[::1]:8500/m@3") == ServerAddress("grpcs", "[::1]:8500", "m", 3)
    assert ServerAddress.parse("http://h:1/m.x:next") == ServerAddress("http", "h:1", "m.x", None, "next")
    for url in ("grpc://h:1/m", "https://h:1/m@3", "http://h:1/m:stable"):
        assert str(ServerAddress.parse(url)) == url


def test_options_that_do_not_fit(tmp_path, capsys):
    for options in ({"in_flight": 0}, {"deadline": 0.0}, {"deadline": float("nan")}, {"max_message": 0}, {"key": "k"}):
        with pytest.raises(UsageError):
            ServerOptions(**options)
    with pytest.raises(UsageError, match="PEM file"):
        ServerOptions(ca=tmp_path / "none.pem")
    (tmp_path / "ca.pem").write_text("no certificate")
    for scheme in SCHEMES:
        with pytest.raises(UsageError, match="TLS"):
            ServingClient(f"{scheme}://h:1/m", ServerOptions(ca=tmp_path / "ca.pem"))
    with pytest.raises(UsageError, match="must be PEM"):
        ServingClient("https://h:1/m", ServerOptions(ca=tmp_path / "ca.pem"))
    for arguments in (
        ["--server", "grpc://h:1/m", "--model", "x"],
        ["--server", "grpc://h:1/m", "--server-header", "x"],
    ):
        assert cli.main(["restore", "a.mp3", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_request_too_large_is_told_before_it_is_sent(server):
    windows = np.zeros((1, WINDOW, 1), np.float32)
    for scheme in SCHEMES:
        client = ServingClient(server.url(scheme), ServerOptions(max_message=8000))
        with client, pytest.raises(ServerError, match="a window does not fit a message of 8000 bytes"):
            client.predict(windows)


def test_the_4_mib_edge(server, local, make_music):
    """gRPC clients take 4 MiB unless told otherwise: 255 windows of 16 KiB pass, 256 and their envelope do not."""
    address = ServerAddress.parse(server.url("grpc"))
    windows = np.random.default_rng(0).uniform(-0.5, 0.5, (256, WINDOW, 1)).astype(np.float32)
    expected = local.predict(windows)

    def send(count, limit):
        with ServingClient(str(address), ServerOptions(max_message=limit, deadline=60)) as client:
            return client._transport.call(address, "serving_default", {"lossy": windows[:count]}, 60)[0]["restored"]

    agree(send(255, 4 << 20), expected[:255], 1e-5)
    agree(send(256, 5 << 20), expected, 1e-5)
    with pytest.raises(ServerError, match="raise the message limit") as caught:
        send(256, 4 << 20)
    assert caught.value.code == "OUT_OF_RANGE"
    # A client with the default limits of gRPC, no part of ours: the answer is what does not fit.
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "tiny"
    request.inputs["lossy"].dtype = 1
    for size in windows.shape:
        request.inputs["lossy"].tensor_shape.dim.add(size=size)
    request.inputs["lossy"].tensor_content = windows.tobytes()
    with grpc.insecure_channel(address.host) as channel, pytest.raises(grpc.RpcError) as refused:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in refused.value.details()
    # Ours cuts its requests to what fits: two windows at a time here.
    audio = make_music(duration=0.3, channels=6)
    restored = ServingRunner(str(address), ServerOptions(max_message=40_000)).run(audio)
    agree(restored, local.run(audio), 1e-5)


def test_wrong_requests_get_the_servers_codes(server):
    import tensorflow as tf

    def send(inputs, signature="serving_default"):
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "tiny", signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        return stub.Predict(request, timeout=30)

    good = np.zeros((1, WINDOW, 1), np.float32)
    cases = [
        ({"lossy": good.astype(np.float64)}, "serving_default", "INVALID_ARGUMENT", "to be float"),
        ({"lossy": good[:, :-1]}, "serving_default", "INVALID_ARGUMENT", ""),
        ({"lossy": good[:, :, 0]}, "serving_default", "INVALID_ARGUMENT", ""),
        ({"input_1": good}, "serving_default", "INVALID_ARGUMENT", "input_1"),
        ({"lossy": good, "more": good}, "serving_default", "INVALID_ARGUMENT", "Sent extra: {more}"),
        ({}, "serving_default", "INVALID_ARGUMENT", "Missing but required: {lossy}"),
        ({"lossy": good}, "restored", "FAILED_PRECONDITION", 'key "restored" not found'),
        ({"lossy": [bytes(2 * WINDOW - 2)]}, "restore_pcm16", "INVALID_ARGUMENT", ""),
        ({"lossy": [bytes(2 * WINDOW), bytes(2)]}, "restore_pcm16", "INVALID_ARGUMENT", ""),
        ({"lossy": good}, "restore_pcm16", "INVALID_ARGUMENT", "to be string"),
        (
            {"lossy": np.zeros((513, WINDOW, 1), np.float32)},
            "serving_default",
            "INVALID_ARGUMENT",
            "maximum input batch",
        ),
    ]
    with grpc.insecure_channel(ServerAddress.parse(server.url("grpc")).host) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert send({"lossy": good}).outputs["restored"].tensor_shape.dim[1].size == WINDOW
        for inputs, signature, code, details in cases:
            with pytest.raises(grpc.RpcError) as refused:
                send(inputs, signature)
            assert refused.value.code().name == code
            assert details in refused.value.details()


def test_rest_as_an_operator_would_try_it(server):
    import httpx

    base = server.url("http").replace("/tiny", "/v1/models/tiny")
    status = httpx.get(base).json()["model_version_status"]
    assert [(entry["version"], entry["state"]) for entry in status] == [("1", "AVAILABLE")]
    described = httpx.post(f"{base}:predict", json={"signature_name": "describe", "instances": [0]})
    assert described.json()["predictions"][0]["window_length"] == WINDOW
    for body, code in (
        ({"inputs": [["a"]]}, 400),
        ({"inputs": [[0.5]]}, 400),
        ({}, 400),
        ({"signature_name": "none", "inputs": [[0.5]]}, 400),
    ):
        answer = httpx.post(f"{base}:predict", json=body)
        assert (answer.status_code, list(answer.json())) == (code, ["error"])
    assert httpx.post(f"{base}:predict", content=b"{").status_code == 400
    assert httpx.get(f"{base}s").status_code == 404


def test_ready_asks_the_models_status(server, tmp_path):
    def ready(port, script=server.bundle / "ready.sh"):
        return subprocess.run(["bash", str(script), str(port)], capture_output=True, check=False).returncode

    assert ready(server.ports["rest"]) == 0
    assert ready(9) != 0
    (tmp_path / "ready.sh").write_text(
        (server.bundle / "ready.sh").read_text().replace("/models/tiny", "/models/other")
    )
    assert ready(server.ports["rest"], tmp_path / "ready.sh") != 0


# What happens in the middle of a file


def blocks_of(audio, hook):
    """Blocks of a signal; `hook` runs once the first third has been restored."""
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
        # The next file has the new version, also from the same runner; the label stays where the operator put it.
        agree(runner.run(audio), 0.5 * audio, 1e-6)
        agree(labelled.run(audio), local.run(audio), 1e-5)
        pinned = ServingRunner(server.url("grpc") + "@1")
        models = (bundle / "models.config").read_text()
        (bundle / "models.config").write_text(models.replace('"stable" value: 1', '"stable" value: 2'))
        # With a third, the first is unloaded: a file that began with it fails whole, rather than go on with another.
        with pytest.raises(ServerError, match="ends with the version it began with") as caught:
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
            time.sleep(0.5)  # requests find nobody
            assert not any(file.done() for file in files)
            server.start()
            for file in files:
                agree(np.concatenate(file.result(120)), expected, 1e-5)
        for runner in runners:
            runner.client.close()
        # And one that does not come back: the deadline ends it.
        runner = ServingRunner(server.url("grpc"), ServerOptions(deadline=1.0))
        with pytest.raises(ServerError) as caught:
            list(runner.stream(blocks_of(audio, server.kill), 2))
        assert caught.value.code == "UNAVAILABLE"


# Many at once


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

        def processor(self, channels, sample_rate=None, path=None):
            return super(ServingRunner, self).processor(channels, sample_rate, path)

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


def test_64_signals_of_one_asyncio_runner(server, local, make_music):
    songs = [make_music(duration=0.2, seed=seed) for seed in range(64)]

    async def restore_all(url):
        async with AsyncServingRunner(url, ServerOptions(in_flight=2)) as runner:
            ticks = asyncio.create_task(tick())
            restored = await asyncio.gather(*(runner.run(song) for song in songs))
            ticks.cancel()
            return restored

    longest = 0.0

    async def tick():
        nonlocal longest
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.01)
            longest = max(longest, time.perf_counter() - started)

    for found, song in zip(asyncio.run(restore_all(server.url("grpc"))), songs, strict=True):
        agree(found, local.run(song), 1e-5)
    assert longest < 2.0  # the loop was never blocked for the seconds that the songs took


def test_asyncio_over_rest_and_in_blocks(server, local, make_music):
    audio = make_music(duration=0.5)

    async def blocks():
        for start in range(0, len(audio), 5000):
            yield audio[start : start + 5000]

    async def restore():
        async with AsyncServingRunner(server.url("http"), ServerOptions(pcm16=True)) as runner:
            with pytest.raises(UsageError, match=r"\(time, channels\)"):
                await runner.run(np.zeros(10))
            assert (await runner.run(np.zeros((0, 2)))).shape == (0, 2)
            return [block async for block in runner.stream(blocks(), 2)]

    restored = np.concatenate(asyncio.run(restore()))
    agree(restored, local.run(in_16_bits(audio)), 1 / 32768)


def test_tls_and_its_certificates(tmp_path, local, make_music):
    if not shutil.which("openssl"):
        pytest.skip("needs openssl, which makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    audio = make_music(duration=0.3)
    with running(copy_bundle(tmp_path / "bundle"), "--certificate", certificate, "--key", key) as server:
        for scheme in ("grpcs", "https"):
            url = server.url(scheme, host="localhost")
            restored = ServingRunner(url, ServerOptions(ca=certificate)).run(audio)
            agree(restored, local.run(audio), 1e-5)
            with pytest.raises(ServerError) as caught:
                ServingRunner(url, ServerOptions(deadline=0.5))
            assert caught.value.code == "UNAVAILABLE"


def test_a_real_server():
    """Opt-in: `AUDIOSR_TFS_URL=grpc://HOST:PORT/MODEL` of a bundle of the default preset."""
    url = os.environ.get("AUDIOSR_TFS_URL")
    if not url:
        pytest.skip("needs a model server: AUDIOSR_TFS_URL=grpc://HOST:PORT/MODEL")
    clip, rate = soundfile.read(Path(__file__).parent / "data" / "loop_tabla.flac", dtype="float32", always_2d=True)
    expected = load_runner().run(clip, rate)
    # LiteRT and TensorFlow differ by up to 1e-4, as export found.
    agree(load_runner(url).run(clip, rate), expected, 2e-4)
    restored = ServingRunner(url, ServerOptions(pcm16=True)).run(in_16_bits(clip), rate)
    agree(restored, load_runner().run(in_16_bits(clip), rate), 2e-4 + 1 / 32768)
