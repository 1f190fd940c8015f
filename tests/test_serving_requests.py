"""Tests what a model server serves and refuses: names, versions, labels, options, and wrong or too large requests."""

import subprocess
import time

import numpy as np
import pytest
import soundfile
from equivalence import agree
from tiny_model import WINDOW, tiny_export

pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, the official stubs")

import grpc
from served import SCHEMES
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_audiosr import cli
from keras_audiosr.errors import ServerError, UsageError
from keras_audiosr.runners import load_runner
from keras_audiosr.runners.serving import ServingRunner
from keras_audiosr.serving import ServerAddress, ServerOptions, ServingClient


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
        with pytest.raises(ServerError, match="check that the server runs") as caught:
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
        with client, pytest.raises(ServerError, match="a window does not fit into a message of 8000 bytes"):
            client.predict(windows)


def test_the_4_mib_edge(server, local, make_music):
    """By default, gRPC clients accept messages of up to 4 MiB.

    A message of 255 windows of 16 KiB fits. 256 windows do not fit, because the message also has other fields.
    """
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
    # In a plain gRPC client with default limits, the request passes, but the answer is too large.
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
    # The runner splits its requests so that they fit, here into two windows each.
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
