"""Runs functions in a child process, because parts of TensorFlow abort the process instead of raising an exception."""

import os
import subprocess
import sys
from pathlib import Path


class ChildError(Exception):
    """A child process ended with an error or a signal, which the message gives in one line."""


def call_in_child(function: str, *arguments: object) -> str:
    """Calls a function of this package in a child process that sees no GPU.

    Args:
        function: module and name within the package, such as `"exporting.conversion.convert"`.
        *arguments: arguments, which the function receives as text.

    Returns:
        The standard output of the function.

    Raises:
        ChildError: the function raised, or the process died. The message gives the reason and the exit status.
    """
    package = Path(__file__).parents[1]
    module, name = function.rsplit(".", 1)
    code = f"from {package.name}.{module} import {name}; import sys; {name}(*sys.argv[1:])"
    environment = os.environ | {
        # The child must import this same package, whether it is installed or in a source tree.
        "PYTHONPATH": os.pathsep.join([str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # The child does not need a GPU, and the GPU may be busy with training.
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        # An abort names its cause somewhere above the stack dump; an exception names it in its last line.
        reason = next((line for line in lines if "LLVM ERROR" in line or "Check failed" in line), lines[-1])
        raise ChildError(f"{reason.strip()[:400]} ({how})")
    return done.stdout.decode("utf-8", "replace")
