"""The address of a served model and the options of the connection, with their command-line arguments."""

import argparse
import dataclasses
import math
import os
import re
import urllib.parse

from ..errors import UsageError

SCHEMES = ("grpc", "grpcs", "http", "https")
_FORM = "grpc://HOST:PORT/MODEL[@VERSION|:LABEL], or grpcs://, http://, https://"
_PATH = re.compile(r"/(?P<model>[^/@:]+)(?:@(?P<version>\d+)|:(?P<label>[^/@:]+))?")


@dataclasses.dataclass(frozen=True)
class ServerAddress:
    """A model on a server.

    Attributes:
        scheme: `"grpc"` or `"http"`, or `"grpcs"` or `"https"` for an encrypted connection.
        host: host name or IP address with the port, such as `"localhost:8500"`.
        model: name of the model on the server.
        version: version number, or `None` for the newest version that is loaded.
        label: label that the operator gave to a version. It replaces the version number.
    """

    scheme: str
    host: str
    model: str
    version: int | None = None
    label: str | None = None

    @classmethod
    def parse(cls, url: str) -> "ServerAddress":
        """Parses `grpc://HOST:PORT/MODEL`, `.../MODEL@VERSION` or `.../MODEL:LABEL`, or one with another scheme.

        Raises:
            UsageError: the URL does not have this form.
        """
        try:
            parts = urllib.parse.urlsplit(url)
            sound = parts.scheme in SCHEMES and parts.hostname and parts.port and not (parts.query or parts.fragment)
        except ValueError:  # the port is not a number
            sound = False
        match = _PATH.fullmatch(parts.path) if sound else None
        if not match or "@" in parts.netloc:
            raise UsageError(
                f"a server must be {_FORM}; received {url!r}; try grpc://localhost:8500/paired_resnet_bands_44k"
            )
        version = match["version"]
        return cls(
            parts.scheme, parts.netloc, match["model"], None if version is None else int(version), match["label"]
        )

    def __str__(self) -> str:
        which = f":{self.label}" if self.label else "" if self.version is None else f"@{self.version}"
        return f"{self.scheme}://{self.host}/{self.model}{which}"

    @property
    def encrypted(self) -> bool:
        """Whether the connection uses TLS."""
        return self.scheme.endswith("s")


def is_server(name: object) -> bool:
    """Returns whether the name of a model is the URL of a server."""
    return isinstance(name, str) and name.split("://")[0] in SCHEMES and "://" in name


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """Options of the connection to a server.

    Attributes:
        pcm16: whether 16-bit samples are sent and received. They take half the bytes over gRPC and a tenth over REST.
            The output of the network is rounded to 16 bits and clipped at full scale.
        in_flight: number of concurrent requests for one signal.
        deadline: time limit in seconds for one request including its retries.
        max_message: size limit of a message in bytes, in both directions.
        headers: pairs `(name, value)` that are sent with each request, as gRPC metadata or HTTP headers.
        ca: file of PEM certificates that are trusted instead of the system's.
        certificate: file with the PEM certificate of the client.
        key: file with the PEM private key of the client.

    Raises:
        UsageError: a number is out of range, a certificate has no key or a key no certificate, or a file cannot be
            read.
    """

    pcm16: bool = False
    in_flight: int = 4
    deadline: float = 60.0
    max_message: int = 64 << 20
    headers: tuple[tuple[str, str], ...] = ()
    ca: str | os.PathLike | None = None
    certificate: str | os.PathLike | None = None
    key: str | os.PathLike | None = None

    def __post_init__(self) -> None:
        if self.in_flight < 1:
            raise UsageError(f"requests in flight must be 1 or more; received {self.in_flight}; try 4")
        if not (math.isfinite(self.deadline) and self.deadline > 0):
            raise UsageError(f"a deadline must be above 0 s; received {self.deadline:g}; try 60")
        if self.max_message < 1:
            raise UsageError(f"the largest message must be above 0 bytes; received {self.max_message}; try 64 MiB")
        if (self.certificate is None) != (self.key is None):
            raise UsageError("a client certificate needs its key; received only one of them; name both")
        for file in (self.ca, self.certificate, self.key):
            if file is None:
                continue
            try:
                open(file, "rb").close()
            except OSError as error:
                raise UsageError(
                    f"a PEM file is needed; {os.fspath(file)}: {error.strerror}; check the path"
                ) from error


@dataclasses.dataclass(frozen=True)
class Server:
    """A model on a server, with the options of the connection. `load_runner` and `restore` accept it as `model`.

    Attributes:
        url: URL of the model, in the form that `ServerAddress.parse` accepts.
        options: options of the connection.
    """

    url: str
    options: ServerOptions = ServerOptions()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--server` and its options to the command line of a verb that can use a server."""
    group = parser.add_argument_group("a model on TensorFlow Serving, instead of --model")
    group.add_argument("--server", metavar="URL", help=f"{_FORM}; the server must run a bundle of 'serve bundle'")
    group.add_argument(
        "--server-pcm16", action="store_true", help="send and receive 16-bit samples, which is faster over REST"
    )
    group.add_argument("--server-in-flight", type=int, default=4, metavar="N", help="concurrent requests (default: 4)")
    group.add_argument(
        "--server-deadline",
        type=float,
        default=60.0,
        metavar="S",
        help="time limit of a request with its retries, in seconds (default: 60)",
    )
    group.add_argument(
        "--server-max-message", type=float, default=64.0, metavar="MIB", help="largest message in MiB (default: 64)"
    )
    group.add_argument(
        "--server-header",
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="gRPC metadata or HTTP header; may be repeated",
    )
    group.add_argument("--server-ca", metavar="PEM", help="file of certificates to trust instead of the system's")
    group.add_argument("--server-cert", metavar="PEM", help="file of the client's certificate; needs --server-key")
    group.add_argument("--server-key", metavar="PEM", help="file of the private key of --server-cert")


def model_from(args: argparse.Namespace) -> "str | Server | None":
    """Returns the model that the command line names: a `Server` for `--server`, otherwise the value of `--model`.

    Raises:
        UsageError: both options are given, a header has no colon or no name, or `ServerOptions` refuses a value.
    """
    if args.server is None:
        return args.model
    if args.model is not None:
        raise UsageError(f"--model excludes --server; received --model {args.model} and --server; leave one out")
    headers = []
    for header in args.server_header:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise UsageError("a header must be NAME:VALUE; received another form; try 'authorization:Bearer ...'")
        headers.append((name.strip().lower(), value.strip()))
    options = ServerOptions(
        pcm16=args.server_pcm16,
        in_flight=args.server_in_flight,
        deadline=args.server_deadline,
        max_message=int(args.server_max_message * (1 << 20)) if math.isfinite(args.server_max_message) else 0,
        headers=tuple(headers),
        ca=args.server_ca,
        certificate=args.server_cert,
        key=args.server_key,
    )
    return Server(args.server, options)
