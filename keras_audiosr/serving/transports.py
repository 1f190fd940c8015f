"""Sends requests to TensorFlow Serving, over gRPC or as JSON over HTTP. It does not import TensorFlow.

Both transports are thread-safe, and report failures with gRPC's names of status codes.
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

# gRPC's name for each HTTP status. http_server.cc of the model server has this mapping; proxies add some statuses.
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
    "UNAVAILABLE": "check that the server runs, and check its address",
    "RESOURCE_EXHAUSTED": "the server is overloaded: lower --server-in-flight, or try again later",
    "NOT_FOUND": "check the names of model, version and label",
    "DEADLINE_EXCEEDED": "raise --server-deadline, or lower --server-in-flight",
    "OUT_OF_RANGE": "raise the message limit, here with --server-max-message or on the server",
    "UNAUTHENTICATED": "check --server-header and --server-cert",
    "PERMISSION_DENIED": "check --server-header and --server-cert",
    "INVALID_ARGUMENT": "serve a bundle of 'keras-audiosr serve bundle'",
    "FAILED_PRECONDITION": "serve a bundle of 'keras-audiosr serve bundle'",
}


class Transport(Protocol):
    """The interface of transports, which send a request and wait for its response."""

    def call(self, address: ServerAddress, signature: str, inputs: dict, timeout: float) -> tuple[dict, int | None]:
        """Runs a signature.

        Args:
            address: address with the model, and the version or label.
            signature: name of the signature.
            inputs: arrays or lists of `bytes`, by name.
            timeout: time limit in seconds.

        Returns:
            The outputs by name, and the version that answered (`None` over REST, which does not report it). An output
            that REST returns without a name has the name `""`.

        Raises:
            ServerError: the request failed. Its `code` is the status.
        """

    def bytes_per_sample(self, pcm16: bool) -> float:
        """Returns the largest number of bytes that a sample takes in a message."""

    def close(self) -> None:
        """Closes the connection."""


def connect(address: ServerAddress, options: ServerOptions) -> Transport:
    """Creates the transport for an address. It sends nothing yet.

    Raises:
        UsageError: certificates are given for a connection without TLS or are not valid, or a Python package is
            missing.
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
    """Returns the `ServerError` for a status, with advice on how to fix it."""
    fix = _FIXES.get(code, "read the server's log")
    return ServerError(f"a request must succeed; {address}: {code} {' '.join(details.split())[:400]}; {fix}", code)


class GrpcTransport:
    """Sends `PredictionService.Predict` over gRPC.

    Args:
        address: address with host and port.
        options: options of the connection.
    """

    def __init__(self, address: ServerAddress, options: ServerOptions):
        import grpc

        from . import protos

        self._grpc, self._protos = grpc, protos
        settings = [
            ("grpc.max_receive_message_length", options.max_message),
            ("grpc.max_send_message_length", options.max_message),
            # With these limits a restarted server is found within a second. gRPC's defaults wait up to two minutes.
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
            # gRPC uses the same code for an overloaded server and a message that is too large. A retry helps only in
            # the first case.
            if code == "RESOURCE_EXHAUSTED" and "larger than max" in details:
                code = "OUT_OF_RANGE"
            raise failure(address, code, details) from error
        version = response.model_spec.version.value if response.model_spec.HasField("version") else None
        return self._protos.read_outputs(response), version

    def bytes_per_sample(self, pcm16: bool) -> float:
        """Returns the number of bytes that a sample takes in a message."""
        return 2 if pcm16 else 4

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()


class HttpTransport:
    """Sends requests to the REST API, as JSON in column format with bytes as base64.

    Args:
        address: address with host and port.
        options: options of the connection.
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
            raise failure(address, "INTERNAL", "the response does not come from TensorFlow Serving") from error
        return {"": outputs} if not isinstance(outputs, dict) else outputs, None

    def _require_room(self, address: ServerAddress, size: int) -> None:
        if size > self._max_message:
            details = f"a message of {size} bytes is larger than max ({self._max_message})"
            raise failure(address, "OUT_OF_RANGE", details)

    def bytes_per_sample(self, pcm16: bool) -> float:
        """Returns the largest number of bytes that a sample takes, in base64 or as a decimal that Python writes."""
        return 8 / 3 if pcm16 else 26

    def close(self) -> None:
        """Closes the connection."""
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
