"""Work in a process of its own: parts of TensorFlow abort the whole process where others raise."""

import os
import subprocess
import sys
from pathlib import Path


class ChildError(Exception):
    """What a child process raised or died of, as one line."""


def call_in_child(function: str, *arguments: object) -> str:
    """Calls a function of this package in a process without a GPU.

    Args:
        function: module and name within the package, such as `"conversion.convert"`.
        *arguments: handed over as text.

    Returns:
        What it printed.

    Raises:
        ChildError: it raised, or died; the message says what of, and how it ended.
    """
    package = Path(__file__).parent
    module, name = function.rsplit(".", 1)
    code = f"from {package.name}.{module} import {name}; import sys; {name}(*sys.argv[1:])"
    environment = os.environ | {
        # This very package, from a source tree as well as installed.
        "PYTHONPATH": os.pathsep.join([str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # A GPU adds nothing here, and may be busy training.
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        # An abort names its cause somewhere above the stack dump; an exception in its last line.
        reason = next((line for line in lines if "LLVM ERROR" in line or "Check failed" in line), lines[-1])
        raise ChildError(f"{reason.strip()[:400]} ({how})")
    return done.stdout.decode("utf-8", "replace")
