"""Checks whether a streaming step runs in a microcontroller's interpreter, and measures what it needs there.

    python3.11 -m venv .venv-micro && .venv-micro/bin/pip install numpy --pre tflite-micro
    .venv-micro/bin/python tools/check_micro.py MODEL.tflite [MODEL.tflite ...] [--seconds 1] [-o docs/device/micro.md]

Runs each file in the interpreter of TensorFlow Lite Micro on this machine. The input is decaying chords, and the state
is passed from step to step as on a device. If ai-edge-litert is installed too (`pip install ai-edge-litert`), every
sample is compared with the output of LiteRT. Prints a table with the sizes of file, arena and state, the time of a step
on this machine, the largest difference, and the ops. If a model does not run, its row has the interpreter's error
message. The rest of this package is not needed.
"""

import argparse
import collections
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

# Size of the arena that the interpreter receives, in bytes. The table shows how much of it is used.
MOST_ARENA = 256 << 20
# Largest allowed difference of a sample from LiteRT's: for float32 steps, and for steps with integer ops, whose kernels
# round differently.
TOLERANCE, ROUNDING = 1e-5, 1e-2
SAMPLE_RATE = 44100


class MicroStep:
    """A step in the microcontroller's interpreter.

    This interpreter has no names of tensors. The samples are the tensors with three axes.

    Raises:
        UnsuitedError: the interpreter cannot run the file, or the file is not a step.
    """

    def __init__(self, path: Path):
        from tflite_micro import runtime

        with captured_stderr() as said:
            try:
                self._interpreter = runtime.Interpreter.from_file(str(path), arena_size=MOST_ARENA)
            except RuntimeError as error:
                said.seek(0)
                raise UnsuitedError(" ".join(said.read().decode().split()) or str(error)) from error
        inputs = [tuple(self._interpreter.get_input_details(i)["shape"]) for i in range(self._count("input"))]
        outputs = [tuple(self._interpreter.get_output_details(i)["shape"]) for i in range(self._count("output"))]
        # One channel of samples is (1, hop, 1), a state is (1, values).
        self._lossy = next(i for i, shape in enumerate(inputs) if len(shape) == 3)
        self._restored = next(i for i, shape in enumerate(outputs) if len(shape) == 3)
        if len(inputs) != 2 or len(outputs) != 2:
            raise UnsuitedError(f"a step must have one state; received inputs {inputs} and outputs {outputs}")
        self.hop_length = int(inputs[self._lossy][1])
        self.state = np.zeros(inputs[1 - self._lossy], np.float32)

    def _count(self, side: str) -> int:
        """Returns the number of inputs (`side="input"`) or outputs, which the interpreter does not tell directly."""
        details = getattr(self._interpreter, f"get_{side}_details")
        for index in range(64):
            try:
                with captured_stderr():
                    details(index)
            except (IndexError, RuntimeError, ValueError):
                return index
        raise UnsuitedError(f"a step must have two {side}s; received more than 63")

    def step(self, lossy: np.ndarray) -> np.ndarray:
        """Restores one hop: an array `(hop_length,)`, float32, becomes one of the same shape. Updates the state."""
        self._interpreter.set_input(lossy[None, :, None], self._lossy)
        self._interpreter.set_input(self.state, 1 - self._lossy)
        self._interpreter.invoke()
        self.state = self._interpreter.get_output(1 - self._restored).copy()
        return self._interpreter.get_output(self._restored)[0, :, 0].copy()

    def arena(self) -> int:
        """Returns the size of the used arena in bytes, as the interpreter reports it."""
        with captured_stderr() as said:
            self._interpreter.print_allocations()
        said.seek(0)
        line = next(line for line in said.read().decode().splitlines() if "allocation total" in line)
        return int(line.split("total")[1].split()[0])


class UnsuitedError(Exception):
    """A step cannot run; the message has the interpreter's reason in one line."""


class captured_stderr:  # noqa: N801, used like a function
    """Context manager that captures what C++ code writes to standard error; its value is a file with the output."""

    def __enter__(self):
        self._file = tempfile.TemporaryFile()
        sys.stderr.flush()
        self._kept = os.dup(2)
        os.dup2(self._file.fileno(), 2)
        return self._file

    def __exit__(self, *exception):
        os.dup2(self._kept, 2)
        os.close(self._kept)


def litert_step(path: Path):
    """Returns a function that runs the same step on LiteRT, or `None` if LiteRT is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        return None
    with captured_stderr():
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    network = interpreter.get_signature_runner()
    state = {
        name: np.zeros(d["shape"], np.float32) for name, d in network.get_input_details().items() if name != "lossy"
    }

    def step(lossy: np.ndarray) -> np.ndarray:
        nonlocal state
        state = network(lossy=lossy[None, :, None], **state)
        return state.pop("restored")[0, :, 0]

    return step


def look_into(path: Path) -> tuple[collections.Counter, bool]:
    """Inspects a file.

    Returns:
        The number of ops by name, and whether the weights are inside the flatbuffer, as this interpreter requires.
    """
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    graph = model.Subgraphs(0)
    used = (codes[graph.Operators(i).OpcodeIndex()] for i in range(graph.OperatorsLength()))
    ops = collections.Counter(names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())] for code in used)
    return ops, all(model.Buffers(i).Size() <= 1 for i in range(model.BuffersLength()))


def music(num_blocks: int, hop_length: int) -> np.ndarray:
    """Synthesizes chords that decay twice a second, with a little noise: an array `(num_blocks, hop_length)`."""
    time_axis = np.arange(num_blocks * hop_length) / SAMPLE_RATE
    partials = np.arange(1, 60)[:, None]
    chord = sum(
        (np.sin(2 * np.pi * root * partials * time_axis) / partials).sum(axis=0) for root in (110.0, 138.6, 164.8)
    )
    noise = 1e-3 * np.random.default_rng(0).standard_normal(time_axis.size)
    return (0.15 * np.exp(-6 * (time_axis % 0.5)) * chord + noise).astype(np.float32).reshape(num_blocks, hop_length)


def check(path: Path, seconds: float) -> dict:
    """Checks one file over so many seconds of music; returns its row of the table."""
    ops, whole = look_into(path)
    row = {"file": path.name, "bytes": path.stat().st_size, "ops": ops}
    if not whole:
        return row | {"error": "its weights are outside the flatbuffer, which this interpreter does not support"}
    try:
        step = MicroStep(path)
    except UnsuitedError as error:
        return row | {"error": str(error)}
    reference = litert_step(path)
    worst, times = (None if reference is None else 0.0), []
    for block in music(max(8, int(seconds * SAMPLE_RATE / step.hop_length)), step.hop_length):
        begun = time.perf_counter()
        restored = step.step(block)
        times.append(time.perf_counter() - begun)
        if reference is not None:
            worst = max(worst, float(np.abs(restored - reference(block)).max()))
    share = 100 * float(np.median(times)) * SAMPLE_RATE / step.hop_length
    return row | {
        "hop": step.hop_length,
        "difference": worst,
        "arena": step.arena(),
        "state": step.state.nbytes,
        "milliseconds": 1000 * float(np.median(times)),
        "share": share,
    }


def tolerance(ops: collections.Counter) -> float:
    """Returns the largest allowed difference of a sample from LiteRT's, for a file with these ops."""
    return ROUNDING if ops["QUANTIZE"] else TOLERANCE


def report(rows: list[dict]) -> str:
    """Returns the page in Markdown."""
    from importlib.metadata import version

    lines = [
        "# Steps on a microcontroller's interpreter",
        "",
        f"`python tools/check_micro.py {' '.join(row['file'] for row in rows)}` made this page, with tflite-micro"
        f" {version('tflite-micro')}, on a computer. Arena and output are the same on a device. The time is not. The"
        " weights stay in the file, which a device keeps in flash. The RAM holds the arena, and one state for each row"
        " of samples.",
        "",
        "| step | file (kB) | arena (kB) | state (kB) | time of a step (ms) | of real time | difference to LiteRT |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        size = f"| `{row['file']}` | {row['bytes'] / 1000:,.0f} "
        if "error" in row:
            lines.append(f"{size}| does not run: {row['error']} | | | | |")
            continue
        difference = "not measured" if row["difference"] is None else f"{row['difference']:.1e}"
        lines.append(
            f"{size}| {row['arena'] / 1000:,.0f} | {row['state'] / 1000:,.0f} | {row['milliseconds']:.1f} |"
            f" {row['share']:.0f} % | {difference} |"
        )
    lines.append("")
    for row in rows:
        named = ", ".join(f"{name} {count}" for name, count in sorted(row["ops"].items()))
        lines.append(f"Ops of `{row['file']}`: {named}.")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds of music (default 1)")
    parser.add_argument("-o", "--out", type=Path, help="Markdown file to write (default: standard output)")
    args = parser.parse_args()
    rows = [check(path, args.seconds) for path in args.models]
    text = report(rows)
    if args.out is None:
        print(text, end="")
    else:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text, "utf-8")
    wrong = [row["file"] for row in rows if (row.get("difference") or 0.0) > tolerance(row["ops"])]
    if wrong:
        print(f"check_micro.py: the output differs from LiteRT's: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
