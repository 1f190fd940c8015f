"""Two ways to send a request to TensorFlow Serving: gRPC, and JSON over HTTP. No TensorFlow is imported.

Both are thread-safe, and tell failures by the same names, gRPC's.
"""

import base64
import json
import ssl
import urllib.parse
from typing import Any, Protocol

import numpy as np

from ..annotations import StrPath
from ..errors import ServerError, UsageError, how_to_install
from .address import ServerAddress, ServerOptions

# http_server.cc of the model server maps its codes to these statuses; what proxies add means the same.
HTTP_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_FIXES = {
    "UNAVAILABLE": "check that it runs, and its address",
    "RESOURCE_EXHAUSTED": "it has too much to do: lower --server-in-flight, or try later",
    "NOT_FOUND": "check the names of model, version and label",
    "DEADLINE_EXCEEDED": "raise --server-deadline, or lower --server-in-flight",
    "OUT_OF_RANGE": "raise the message limit: here by --server-max-message, or on the server",
    "UNAUTHENTICATED": "check --server-header and --server-cert",
    "PERMISSION_DENIED": "check --server-header and --server-cert",
    "INVALID_ARGUMENT": "serve a bundle of 'keras-audiosr serve bundle'",
    "FAILED_PRECONDITION": "serve a bundle of 'keras-audiosr serve bundle'",
}


class Transport(Protocol):
    """Sends one request and waits for its answer."""

    def call(self, address: ServerAddress, signature: str, inputs: dict, timeout: float) -> tuple[dict, int | None]:
        """Runs a signature.

        Args:
            address: model, and version or label.
            signature: name of the signature.
            inputs: arrays or lists of `bytes`, by name.
            timeout: seconds.

        Returns:
            The outputs by name, and the version that answered, where the protocol tells.

        Raises:
            ServerError: with the status in `code`.
        """

    def bytes_per_sample(self, pcm16: bool) -> float:
        """Bytes that a sample takes in a message, at most."""

    def close(self) -> None:
        """Ends the connection."""


def connect(address: ServerAddress, options: ServerOptions) -> Transport:
    """The transport that the address asks for; nothing is sent yet.

    Raises:
        UsageError: certificates for a connection without TLS, certificates that are none, or a package missing.
    """
    if not address.encrypted and (options.ca or options.certificate):
        raise UsageError(f"certificates need TLS; received {address}; use {address.scheme}s://")
    try:
        return (GrpcTransport if address.scheme.startswith("grpc") else HttpTransport)(address, options)
    except ssl.SSLError as error:
        raise UsageError(f"certificates must be PEM; {error.reason or error}; check the files") from error
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{address.scheme}:// needs the Python package {error.name}; it is not installed; {how_to_install('serve')}"
        ) from error


def failure(address: ServerAddress, code: str, details: str) -> ServerError:
    """The `ServerError` of a status, with what to do about it."""
    fix = _FIXES.get(code, "look into the server's log")
    return ServerError(f"a server must answer; {address}: {code} {' '.join(details.split())[:400]}; {fix}", code)


class GrpcTransport:
    """`PredictionService.Predict` over gRPC.

    Args:
        address: host and port.
        options: message size, TLS, metadata.
    """

    def __init__(self, address: ServerAddress, options: ServerOptions):
        import grpc

        from . import protos

        self._grpc, self._protos = grpc, protos
        settings = [
            ("grpc.max_receive_message_length", options.max_message),
            ("grpc.max_send_message_length", options.max_message),
            # A server that restarts is found again within a second; gRPC's own pace goes up to two minutes.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        if address.encrypted:
            files = (options.ca, options.key, options.certificate)
            credentials = grpc.ssl_channel_credentials(*(None if file is None else _read(file) for file in files))
            self._channel = grpc.secure_channel(address.host, credentials, settings)
        else:
            self._channel = grpc.insecure_channel(address.host, settings)
        self._predict = self._channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            request_serializer=protos.PredictRequest.SerializeToString,
            response_deserializer=protos.PredictResponse.FromString,
        )
        self._headers = options.headers

    def call(self, address: ServerAddress, signature: str, inputs: dict, timeout: float) -> tuple[dict, int | None]:
        """Runs a signature."""
        request = self._protos.predict_request(address.model, signature, inputs, address.version, address.label)
        try:
            response = self._predict(request, timeout=timeout, metadata=self._headers)
        except self._grpc.RpcError as error:
            code, details = error.code().name, error.details() or ""
            # gRPC's own limit has the name of a busy server; waiting does not make a message smaller.
            if code == "RESOURCE_EXHAUSTED" and "larger than max" in details:
                code = "OUT_OF_RANGE"
            raise failure(address, code, details) from error
        version = response.model_spec.version.value if response.model_spec.HasField("version") else None
        return self._protos.read_outputs(response), version

    def bytes_per_sample(self, pcm16: bool) -> float:
        """Bytes that a sample takes in a message."""
        return 2 if pcm16 else 4

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()


class HttpTransport:
    """The REST API: JSON in columns, bytes as base64.

    Args:
        address: host and port.
        options: message size, TLS, headers.
    """

    def __init__(self, address: ServerAddress, options: ServerOptions):
        import httpx

        self._httpx = httpx
        verify: ssl.SSLContext | bool = True
        if address.encrypted:
            verify = ssl.create_default_context(cafile=options.ca)
            if options.certificate is not None and options.key is not None:
                verify.load_cert_chain(options.certificate, options.key)
        self._client = httpx.Client(
            base_url=f"{address.scheme}://{address.host}", headers=list(options.headers), verify=verify
        )
        self._max_message = options.max_message

    def call(self, address: ServerAddress, signature: str, inputs: dict, timeout: float) -> tuple[dict, int | None]:
        """Runs a signature."""
        path = f"/v1/models/{urllib.parse.quote(address.model, safe='')}"
        if address.version is not None:
            path += f"/versions/{address.version}"
        elif address.label is not None:
            path += f"/labels/{urllib.parse.quote(address.label, safe='')}"
        columns = {name: _to_json(values) for name, values in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns}, separators=(",", ":")).encode()
        self._require_room(address, len(body))
        httpx = self._httpx
        try:
            response = self._client.post(
                f"{path}:predict", content=body, headers={"content-type": "application/json"}, timeout=timeout
            )
        except (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout) as error:
            raise failure(address, "DEADLINE_EXCEEDED", f"no answer within {timeout:.1f} s") from error
        except httpx.HTTPError as error:
            raise failure(address, "UNAVAILABLE", str(error) or type(error).__name__) from error
        if response.status_code != 200:
            code = HTTP_CODES.get(response.status_code, "UNKNOWN")
            raise failure(address, code, f"(HTTP {response.status_code}) {_error_text(response)}")
        self._require_room(address, len(response.content))
        try:
            outputs = response.json()["outputs"]
        except (ValueError, KeyError, TypeError) as error:
            raise failure(address, "INTERNAL", "the answer is not TensorFlow Serving's") from error
        return {"": outputs} if not isinstance(outputs, dict) else outputs, None

    def _require_room(self, address: ServerAddress, size: int) -> None:
        if size > self._max_message:
            details = f"a message of {size} bytes is larger than max ({self._max_message})"
            raise failure(address, "OUT_OF_RANGE", details)

    def bytes_per_sample(self, pcm16: bool) -> float:
        """Bytes that a sample takes in a message, at most: base64, or a decimal as Python writes it."""
        return 8 / 3 if pcm16 else 26

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()


def _to_json(values: Any) -> list:
    if isinstance(values, np.ndarray):
        return values.tolist()
    return [{"b64": base64.b64encode(value).decode("ascii")} for value in values]


def _error_text(response: Any) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return response.text


def _read(file: StrPath) -> bytes:
    with open(file, "rb") as opened:
        return opened.read()
