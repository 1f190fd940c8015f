"""What the serving tests share: a bundle of the tiny model, and servers for it in processes of their own."""

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
    """The bundle; copy it before changing it."""
    from keras_audiosr.stages.serve import serve

    serve(folder / "bundle", tiny_export(), trust=True)
    return folder / "bundle"


def copy_bundle(target) -> Path:
    return Path(shutil.copytree(tiny_bundle(), target))


class Server:
    """A running model server; `url("grpc")` is the tiny model on it."""

    def __init__(self, bundle, *arguments):
        self.bundle, self.arguments, self.ports = bundle, arguments, {}
        self.start()

    def start(self):
        """Starts it, again on the same ports after `kill`."""
        ports = [part for name, port in self.ports.items() for part in (f"--{name}", str(port))]
        # -P: nothing but what is installed, and -I would hide tensorflow-serving-api of a user's own folder.
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
