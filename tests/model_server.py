"""A stand-in for `tensorflow_model_server`, run by tests as a process that never imports keras_audiosr.

It loads models with `tf.saved_model.load` and serves them through the official stubs (tensorflow-serving-api). Its
message limits, error codes, messages, version policy, labels and REST formats follow the sources of the real server
(predict_util.cc, json_tensor.cc, http_rest_api_util.cc, http_server.cc, server_core.cc, get_model_status_impl.cc). It
reads the configuration files of the bundle, and replays the warm-up records before a version becomes available. Unlike
the real server, it does not combine requests into batches.

    python model_server.py BUNDLE [--grpc PORT] [--rest PORT] [--certificate PEM --key PEM]

This command prints `{"grpc": PORT, "rest": PORT}` once the model is available.
"""

import argparse
import base64
import concurrent.futures
import json
import re
import sys
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format, text_format
from google.protobuf.internal import encoder
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

POLL_SECONDS = 0.1
State = get_model_status_pb2.ModelVersionStatus.State
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "NOT_FOUND": 404, "UNAVAILABLE": 503,
    "RESOURCE_EXHAUSTED": 429, "DEADLINE_EXCEEDED": 504, "UNIMPLEMENTED": 501,
}  # fmt: skip


class StatusError(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Models:
    """The loaded versions of one model. A thread updates them when the folder or the configuration changes."""

    def __init__(self, bundle):
        self.bundle = Path(bundle)
        batching = (self.bundle / "batching.config").read_text()
        self.max_batch = int(re.search(r"max_batch_size \{ value: (\d+) \}", batching)[1])
        self.loaded, self.states, self.labels = {}, {}, {}
        self.update()
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        while True:
            time.sleep(POLL_SECONDS)
            try:
                self.update()
            except Exception:
                traceback.print_exc()

    def update(self):
        config = model_server_config_pb2.ModelServerConfig()
        text_format.Parse((self.bundle / "models.config").read_text(), config)
        (model,) = config.model_config_list.config
        self.name, self.labels = model.name, dict(model.version_labels)
        folder = self.bundle / Path(model.base_path).relative_to("/bundle")
        versions = sorted((int(path.name) for path in folder.iterdir() if path.name.isdecimal()), reverse=True)
        aspired = versions[: model.model_version_policy.latest.num_versions]
        for version in set(aspired) - set(self.loaded):
            self.states[version] = State.LOADING
            loaded = tf.saved_model.load(str(folder / str(version)))
            signatures = dict(loaded.signatures)
            records = folder / str(version) / "assets.extra" / "tf_serving_warmup_requests"
            for record in tf.data.TFRecordDataset(str(records)).as_numpy_iterator():
                log = prediction_log_pb2.PredictionLog.FromString(record)
                run(signatures, log.predict_log.request, self.max_batch)
            self.loaded = self.loaded | {version: (loaded, signatures)}
            self.states[version] = State.AVAILABLE
        for version in set(self.loaded) - set(aspired):
            self.loaded = {key: value for key, value in self.loaded.items() if key != version}
            self.states[version] = State.END

    def find(self, spec):
        """Returns the version that a request asks for, and its signatures, as server_core.cc does."""
        loaded = self.loaded
        which = spec.WhichOneof("version_choice")
        if which == "version_label" and spec.version_label not in self.labels:
            raise StatusError("INVALID_ARGUMENT", f"Unrecognized servable version label: {spec.version_label}")
        if which is None:
            if spec.name != self.name or not loaded:
                raise StatusError("NOT_FOUND", f"Servable not found for request: Latest({spec.name})")
            version = max(loaded)
        else:
            version = self.labels[spec.version_label] if which == "version_label" else spec.version.value
            if spec.name != self.name or version not in loaded:
                raise StatusError("NOT_FOUND", f"Servable not found for request: Specific({spec.name}, {version})")
        return version, loaded[version][1]

    def predict(self, request):
        if not request.HasField("model_spec"):
            raise StatusError("INVALID_ARGUMENT", "Missing ModelSpec")
        version, signatures = self.find(request.model_spec)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        response.model_spec.signature_name = request.model_spec.signature_name or "serving_default"
        for name, value in run(signatures, request, self.max_batch).items():
            as_proto_field(value.numpy(), value.dtype, response.outputs[name])
        return response

    def status(self, request):
        spec = request.model_spec
        if spec.name != self.name:
            raise StatusError("NOT_FOUND", f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, state in sorted(self.states.items(), reverse=True):
            if not spec.HasField("version") or spec.version.value == version:
                response.model_version_status.add(version=version, state=state).status.error_code = 0
        if not response.model_version_status:
            raise StatusError("NOT_FOUND", f"Could not find version {spec.version.value} of model {spec.name}")
        return response


def run(signatures, request, max_batch):
    """Works like RunPredict (predict_util.cc), and enforces the maximum batch size of the batching session."""
    name = request.model_spec.signature_name or "serving_default"
    if name not in signatures:
        raise StatusError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
    wanted = signatures[name].structured_input_signature[1]
    given, known = set(request.inputs), set(wanted)
    if len(given) != len(known):
        raise StatusError(
            "INVALID_ARGUMENT",
            f"input size does not match signature: {len(given)}!={len(known)} len({{{','.join(sorted(given))}}})"
            f" != len({{{','.join(sorted(known))}}}). Sent extra: {{{','.join(sorted(given - known))}}}."
            f" Missing but required: {{{','.join(sorted(known - given))}}}.",
        )
    if given != known:
        raise StatusError("INVALID_ARGUMENT", f"input tensor alias not found in signature: {min(given - known)}.")
    try:
        inputs = {key: tf.constant(tf.make_ndarray(tensor)) for key, tensor in request.inputs.items()}
    except (TypeError, ValueError) as error:
        raise StatusError("INVALID_ARGUMENT", f"tensor parsing error: {error}") from error
    for key, tensor in inputs.items():
        if tensor.dtype != wanted[key].dtype:
            expected, found = wanted[key].dtype.name, tensor.dtype.name
            raise StatusError("INVALID_ARGUMENT", f"Expects arg[0] to be {expected} but {found} is provided")
        if not tensor.shape.rank:
            raise StatusError("INVALID_ARGUMENT", "Batching Run() input tensors must have at least one dimension")
        if tensor.shape[0] > max_batch:
            raise StatusError(
                "INVALID_ARGUMENT", f"Task size {tensor.shape[0]} is larger than maximum input batch size {max_batch}"
            )
    try:
        return signatures[name](**inputs)
    except tf.errors.OpError as error:
        code = next(code.name for code in grpc.StatusCode if code.value[0] == error.error_code)
        raise StatusError(code, error.message) from error
    except (TypeError, ValueError) as error:
        # These checks come from the Python function. The real server runs a session, whose operations fail instead.
        raise StatusError("INVALID_ARGUMENT", str(error)) from error


def as_proto_field(values, dtype, tensor):
    """Works like Tensor::AsProtoField: the server answers in typed fields, not in tensor_content."""
    tensor.dtype = dtype.as_datatype_enum
    for size in values.shape:
        tensor.tensor_shape.dim.add(size=size)
    if dtype == tf.float32:
        # This is the wire format of float_val (field 5, packed). A list of Python floats takes longer than the model.
        content = values.astype("<f4").tobytes()
        tensor.MergeFromString(b"\x2a" + encoder._VarintBytes(len(content)) + content)
        return
    field = {tf.int32: "int_val", tf.int64: "int64_val", tf.string: "string_val"}[dtype]
    getattr(tensor, field).extend(values.ravel().tolist())


class Service:
    def __init__(self, models):
        self.models = models

    def answer(self, method, request, context):
        try:
            return method(request)
        except StatusError as error:
            context.abort(grpc.StatusCode[error.code], str(error))


class PredictionService(Service, prediction_service_pb2_grpc.PredictionServiceServicer):
    def Predict(self, request, context):  # noqa: N802
        return self.answer(self.models.predict, request, context)


class ModelService(Service, model_service_pb2_grpc.ModelServiceServicer):
    def GetModelStatus(self, request, context):  # noqa: N802
        return self.answer(self.models.status, request, context)


PREDICT = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?:predict")
STATUS = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?")


class RestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    models = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        request = get_model_status_pb2.GetModelStatusRequest()
        self.reply(STATUS, request, lambda: json_format.MessageToJson(self.models.status(request), indent=1))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        request = predict_pb2.PredictRequest()
        self.reply(PREDICT, request, lambda: self.predict(request, body))

    def reply(self, pattern, request, answer):
        try:
            match = pattern.fullmatch(self.path)
            if not match:
                raise StatusError("INVALID_ARGUMENT", f"Malformed request: {self.command} {self.path}")
            request.model_spec.name = match[1]
            if match[2]:
                request.model_spec.version.value = int(match[2])
            elif match[3]:
                request.model_spec.version_label = match[3]
            status, text = 200, answer()
        except StatusError as error:
            status, text = HTTP_STATUS.get(error.code, 500), json.dumps({"error": str(error)})
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def predict(self, request, body):
        """Works like FillPredictRequestFromJson, Predict and MakeJsonFromTensors (json_tensor.cc)."""
        try:
            document = json.loads(body)
        except ValueError as error:
            raise StatusError("INVALID_ARGUMENT", f"JSON Parse error: {error}") from error
        if not isinstance(document, dict):
            raise StatusError("INVALID_ARGUMENT", "JSON Value: Is not object")
        name = request.model_spec.signature_name = document.get("signature_name", "serving_default")
        _, signatures = self.models.find(request.model_spec)
        if name not in signatures:
            raise StatusError("INVALID_ARGUMENT", f'Serving signature name: "{name}" not found in signature def')
        wanted = signatures[name].structured_input_signature[1]
        rows = "instances" in document
        if rows == ("inputs" in document):
            raise StatusError("INVALID_ARGUMENT", "Missing 'inputs' or 'instances' key")
        values = document["instances" if rows else "inputs"]
        if isinstance(values, dict) and set(values) != {"b64"}:
            columns = values
        elif rows and isinstance(values[0], dict) and set(values[0]) != {"b64"}:
            columns = {key: [row[key] for row in values] for key in values[0]}
        else:
            columns = {next(iter(wanted)): values}
        for key in wanted:
            if key not in columns:
                raise StatusError("INVALID_ARGUMENT", f"Missing named input: {key} in 'inputs' object.")
            request.inputs[key].CopyFrom(json_tensor(columns[key], wanted[key].dtype))
        outputs = {key: to_json(key, tensor) for key, tensor in self.models.predict(request).outputs.items()}
        if rows:
            parts = [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
            return json.dumps(
                {"predictions": [next(iter(row.values())) for row in parts] if len(outputs) == 1 else parts}
            )
        return json.dumps({"outputs": next(iter(outputs.values())) if len(outputs) == 1 else outputs})


def json_tensor(values, dtype):
    def decode(value):
        return base64.b64decode(value["b64"], validate=True) if isinstance(value, dict) else value

    try:
        if dtype == tf.string:
            return tf.make_tensor_proto([decode(value) for value in values], tf.string)
        array = np.array(values)
        if array.dtype.kind not in ("if" if dtype.is_floating else "i"):
            raise ValueError(f"not of expected type: {dtype.name}")
        return tf.make_tensor_proto(array.astype(dtype.as_numpy_dtype))
    except (ValueError, TypeError, KeyError) as error:
        raise StatusError("INVALID_ARGUMENT", f"JSON Value: {error}") from error


def to_json(name, tensor):
    values = tf.make_ndarray(tensor)
    if values.dtype == object:
        if name.endswith("_bytes"):
            return [{"b64": base64.b64encode(value).decode()} for value in values]
        return [value.decode() for value in values]
    if values.dtype == np.float32:
        # The real server writes more digits.
        return np.round(values.astype(np.float64), 6).tolist()
    return values.tolist()


class HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("--grpc", type=int, default=0)
    parser.add_argument("--rest", type=int, default=0)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    args = parser.parse_args()
    tf.config.threading.set_inter_op_parallelism_threads(2)
    models = Models(args.bundle)
    # The real server sets the same limit: SetMaxMessageSize(INT_MAX) in server.cc.
    unlimited = [(f"grpc.max_{way}_message_length", 2**31 - 1) for way in ("receive", "send")]
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(args.threads), options=[*unlimited, ("grpc.so_reuseport", 0)]
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(models), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models), server)
    if args.certificate:
        pair = (Path(args.key).read_bytes(), Path(args.certificate).read_bytes())
        port = server.add_secure_port(f"localhost:{args.grpc}", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port(f"127.0.0.1:{args.grpc}")
    server.start()
    rest = HttpServer(("127.0.0.1", args.rest), type("Handler", (RestHandler,), {"models": models}))
    if args.certificate:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.certificate, args.key)
        rest.socket = context.wrap_socket(rest.socket, server_side=True)
    assert not any(name.split(".")[0] == "keras_audiosr" for name in sys.modules)
    print(json.dumps({"grpc": port, "rest": rest.server_port}), flush=True)
    rest.serve_forever()


if __name__ == "__main__":
    main()
