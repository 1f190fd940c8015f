"""Tests model servers that fail, answer late or send a wrong answer. They are simulated in this process."""

import concurrent.futures
import http.server
import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import soundfile
from tiny_model import WINDOW

pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, the official stubs")

import grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_audiosr import cli
from keras_audiosr.errors import ArtifactError, AudioSRError, ServerError
from keras_audiosr.runners import load_runner
from keras_audiosr.runners.serving import ServingRunner
from keras_audiosr.serving import Server, ServerOptions, ServingClient


class Scripted(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers each of the first requests with a failure from its script, and all others with unchanged windows."""

    def __init__(self, script=(), seconds=0.0):
        self.script, self.seconds = list(script), seconds
        self.lock, self.seen, self.at_work, self.most, self.headers = threading.Lock(), 0, 0, 0, {}

    def Predict(self, request, context):  # noqa: N802
        if request.model_spec.signature_name == "describe":
            return self.describe()
        with self.lock:
            self.seen += 1
            self.at_work += 1
            self.most = max(self.most, self.at_work)
            self.headers = dict(context.invocation_metadata())
            failure = self.script.pop(0) if self.script else None
        try:
            time.sleep(self.seconds)
            if failure:
                context.abort(grpc.StatusCode[failure], "scripted")
            response = predict_pb2.PredictResponse()
            response.outputs["restored"].CopyFrom(request.inputs["lossy"])
            return response
        finally:
            with self.lock:
                self.at_work -= 1

    def describe(self):
        import tensorflow as tf

        response = predict_pb2.PredictResponse()
        told = {"sample_rate": 44100, "window_length": WINDOW, "context": 512, "hop_length": 256, "version": 4}
        for name, value in {**told, "name": "tiny", "weights": "w"}.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto([value]))
        return response


@pytest.fixture
def scripted():
    started = []

    def start(*arguments, **options):
        servicer = Scripted(*arguments, **options)
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        started.append(server)
        return servicer, f"grpc://127.0.0.1:{port}/tiny"

    yield start
    for server in started:
        server.stop(0)


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_what_may_pass_is_tried_again(scripted, code):
    servicer, url = scripted([code, code])
    started = time.monotonic()
    windows = np.ones((1, WINDOW, 1), np.float32)
    np.testing.assert_array_equal(ServingClient(url).predict(windows), windows)
    assert servicer.seen == 3
    assert time.monotonic() - started > 0.1  # it waits 0.05 to 0.1 s, then 0.1 to 0.2 s


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "INTERNAL", "NOT_FOUND", "FAILED_PRECONDITION", "UNKNOWN"])
def test_what_will_not_pass_is_not_tried_again(scripted, code):
    servicer, url = scripted([code])
    with pytest.raises(ServerError, match="scripted") as caught:
        ServingClient(url).predict(np.ones((1, WINDOW, 1), np.float32))
    assert (caught.value.code, servicer.seen) == (code, 1)


def test_the_deadline_is_for_all_attempts(scripted):
    windows = np.ones((1, WINDOW, 1), np.float32)
    for script, seconds, code in ((["UNAVAILABLE"] * 99, 0.0, "UNAVAILABLE"), ([], 30.0, "DEADLINE_EXCEEDED")):
        servicer, url = scripted(script, seconds=seconds)
        started = time.monotonic()
        with pytest.raises(ServerError) as caught:
            ServingClient(url, ServerOptions(deadline=0.6)).predict(windows)
        assert caught.value.code == code
        assert 0.2 < time.monotonic() - started < 3
        assert 1 <= servicer.seen < 9


def test_requests_in_flight_are_bounded_and_carry_the_headers(scripted):
    servicer, url = scripted(seconds=0.02)
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (20 * WINDOW, 2)).astype(np.float32)
    options = ServerOptions(in_flight=3, headers=(("authorization", "Bearer x"),))
    # The conversion to mid and side rounds the samples once.
    restored = load_runner(Server(url, options)).run(audio)
    np.testing.assert_allclose(restored, audio, rtol=0, atol=2.0**-23)
    assert servicer.most == 3
    assert servicer.headers["authorization"] == "Bearer x"


def test_an_interrupted_restore_ends_at_once(scripted, tmp_path):
    _, url = scripted(seconds=20.0)
    soundfile.write(tmp_path / "a.wav", np.full((44100, 1), 0.1, np.float32), 44100)
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from keras_audiosr import cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "restore", "--force", str(tmp_path / "a.wav"), "--server", url]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".*.partial.flac")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(2)
    started = time.monotonic()
    _, error = process.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert (process.returncode, error.count("\n"), "interrupted" in error) == (130, 1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    ("statuses", "code", "seen"),
    [([503, 429], None, 3), ([404], "NOT_FOUND", 1), ([500], "INTERNAL", 1), ([401], "UNAUTHENTICATED", 1)],
)
def test_http_statuses(statuses, code, seen):
    script, requests = list(statuses), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            requests.append((self.path, self.headers.get("x-song")))
            status = script.pop(0) if script else 200
            answer = {"outputs": body["inputs"]["lossy"]} if status == 200 else {"error": "scripted"}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = ServingClient(f"http://127.0.0.1:{server.server_port}/tiny@7", ServerOptions(headers=(("x-song", "1"),)))
    windows = np.full((1, WINDOW, 1), 0.1, np.float32)
    if code is None:
        np.testing.assert_array_equal(client.predict(windows), windows)
    else:
        with pytest.raises(ServerError, match=r"HTTP \d+\) scripted") as caught:
            client.predict(windows)
        assert caught.value.code == code
    assert requests == [("/v1/models/tiny/versions/7:predict", "1")] * seen
    server.shutdown()


def test_answers_that_do_not_fit_are_refused(scripted, monkeypatch):
    _, url = scripted()
    windows = np.ones((2, WINDOW, 1), np.float32)
    with pytest.raises(ServerError, match="no 16-bit samples"):
        ServingClient(url, ServerOptions(pcm16=True)).predict(windows)
    monkeypatch.setattr(Scripted, "describe", lambda self: predict_pb2.PredictResponse())
    with pytest.raises(ServerError, match="'describe' lacks an entry"):
        ServingRunner(url)


# Invalid answers


def answer(**fields):
    """Returns a `PredictResponse` with one output, `restored`, which has the given fields."""
    response = predict_pb2.PredictResponse()
    tensor = response.outputs["restored"]
    tensor.dtype = fields.pop("dtype", 1)
    for size in fields.pop("shape", ()):
        tensor.tensor_shape.dim.add(size=size)
    for name, value in fields.items():
        if name == "tensor_content":
            tensor.tensor_content = value
        else:
            getattr(tensor, name).extend(value)
    return response


ANSWERS = {
    "nothing": lambda: predict_pb2.PredictResponse(),
    "another shape": lambda: answer(shape=(1, 5, 1), float_val=[0.0] * 5),
    "too few values": lambda: answer(shape=(1, WINDOW, 1), float_val=[0.0] * 5),
    "half a value": lambda: answer(shape=(1, WINDOW, 1), tensor_content=bytes(4 * WINDOW - 1)),
    "a negative length": lambda: answer(shape=(-1, WINDOW, 1), tensor_content=bytes(4 * WINDOW)),
    "a shape beyond all memory": lambda: answer(shape=(1 << 40, 1 << 40), tensor_content=b""),
    "text": lambda: answer(dtype=7, shape=(1,), string_val=[b"x" * 100]),
    "whole numbers": lambda: answer(dtype=3, shape=(2,), int_val=[1, 2]),
    "a type of nobody's": lambda: answer(dtype=99, shape=(1, WINDOW, 1)),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_of_another_kind_is_one_line(scripted, monkeypatch, tmp_path, capsys, what):
    honest = Scripted.Predict

    def predict(self, request, context):
        described = request.model_spec.signature_name == "describe"
        return honest(self, request, context) if described else ANSWERS[what]()

    monkeypatch.setattr(Scripted, "Predict", predict)
    _, url = scripted()
    with pytest.raises(ServerError):
        ServingClient(url).predict(np.ones((1, WINDOW, 1), np.float32))
    soundfile.write(tmp_path / "a.wav", np.full((9000, 1), 0.1, np.float32), 44100)
    assert cli.main(["restore", "--force", str(tmp_path / "a.wav"), "--server", url]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_values_that_are_not_finite_are_refused(scripted, monkeypatch):
    nan = answer(shape=(1, WINDOW, 1), tensor_content=np.full(WINDOW, np.nan, "<f4").tobytes())
    honest = Scripted.Predict

    def predict(self, request, context):
        described = request.model_spec.signature_name == "describe"
        return honest(self, request, context) if described else nan

    monkeypatch.setattr(Scripted, "Predict", predict)
    _, url = scripted()
    runner = ServingRunner(url)
    with pytest.raises(ArtifactError, match="finite"):
        runner.run(np.ones((100, 1), np.float32))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window_length", 1 << 30), ("window_length", 0), ("window_length", -4096), ("hop_length", 0),
        ("sample_rate", 0), ("sample_rate", -44100), ("context", -512), ("context", 1 << 30),
    ],
)  # fmt: skip
def test_a_description_that_cannot_be_is_refused(scripted, monkeypatch, name, value):
    """Impossible lengths are refused before memory is allocated. A window of 2^30 samples would need 4 GiB."""
    _, url = scripted()
    honest = Scripted.describe

    def describe(self):
        response = honest(self)
        tensor = response.outputs[name]
        tensor.ClearField("tensor_content")
        tensor.ClearField("int_val")
        tensor.int_val.append(value)
        return response

    monkeypatch.setattr(Scripted, "describe", describe)
    with pytest.raises(AudioSRError) as caught:
        ServingRunner(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"outputs": {"restored": [[1]]}}', b"\xff", b'{"outputs": "x"}']
)
def test_rest_answers_of_another_kind_are_one_line(content):
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/tiny"
    for options in (ServerOptions(), ServerOptions(pcm16=True)):
        client = ServingClient(url, options)
        for ask in (client.describe, lambda client=client: client.predict(np.ones((1, WINDOW, 1), np.float32))):
            with pytest.raises(ServerError) as caught:
                ask()
            assert "\n" not in str(caught.value)
    server.shutdown()
