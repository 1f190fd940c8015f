"""Helpers of the serving tests: a bundle of the tiny model, and servers for it in separate processes."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from once import once
from tiny_model import tiny_export

SCHEMES = ("grpc", "http")
SERVER = Path(__file__).with_name("model_server.py")


@once
def tiny_bundle(folder: Path) -> Path:
    """Returns the bundle. Copy it before you change it."""
    from keras_audiosr.stages.serve import serve

    serve(folder / "bundle", tiny_export(), trust=True)
    return folder / "bundle"


def copy_bundle(target) -> Path:
    return Path(shutil.copytree(tiny_bundle(), target))


class Server:
    """A running model server. `url("grpc")` returns the URL of the tiny model on it."""

    def __init__(self, bundle, *arguments):
        self.bundle, self.arguments, self.ports = bundle, arguments, {}
        self.start()

    def start(self):
        """Starts the server. After `kill` it starts again on the same ports."""
        ports = [part for name, port in self.ports.items() for part in (f"--{name}", str(port))]
        # With -P and without PYTHONPATH the server can import only installed packages. -I would also hide packages in
        # the user's own folder, where tensorflow-serving-api may be installed.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(SERVER), str(self.bundle), *ports, *map(str, self.arguments)],
            stdout=subprocess.PIPE,
            env=environment | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        )
        line = self.process.stdout.readline()
        assert line, "the model server did not start"
        self.ports = json.loads(line)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def url(self, scheme, model="tiny", host="127.0.0.1"):
        return f"{scheme}://{host}:{self.ports['grpc' if scheme.startswith('grpc') else 'rest']}/{model}"


@contextlib.contextmanager
def running(bundle, *arguments):
    server = Server(bundle, *arguments)
    try:
        yield server
    finally:
        server.kill()
