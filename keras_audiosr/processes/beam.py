"""Runs the work of a stage on an Apache Beam pipeline, on this machine or on Dataflow, Flink or Spark.

The work of a stage is a function that takes one item and returns a few results. The function also writes files, whose
names are chosen before the pipeline starts. All workers therefore need this package, and the stage's folders under the
same paths as on this machine.
"""

import argparse
import dataclasses
import importlib
import json
import logging
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..annotations import StrPath
from ..errors import AudioSRError, UsageError, how_to_install

RUNNERS = ("local", "beam")


def _pack(value: object) -> bytes:
    return json.dumps(_plain(value)).encode("ascii")


def _unpack(line: bytes) -> Any:
    return _made(json.loads(line))


def _plain(value: Any) -> Any:
    """Converts a value for JSON. Pickle would be unsafe, because the values are stored in files that others may write.

    Raises:
        TypeError: the value is not one of the types that stages exchange.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, tuple):
        return {"tuple": [_plain(part) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[_plain(key), _plain(part)] for key, part in value.items()]}
    if isinstance(value, Path):
        return {"path": str(value)}
    name = f"{type(value).__module__}:{type(value).__qualname__}"
    if isinstance(value, AudioSRError):
        return {"error": name, "arguments": _plain(list(value.args))}
    if dataclasses.is_dataclass(value):
        return {"of": name, "fields": {field.name: _plain(getattr(value, field.name)) for field in _fields(value)}}
    raise TypeError(f"stages exchange plain values, paths, our errors and dataclasses; received {type(value).__name__}")


def _made(plain: Any) -> Any:
    """Converts a value back from JSON. It only creates dataclasses and errors of this package, no other classes.

    Raises:
        ValueError: the value names another class.
    """
    if isinstance(plain, list):
        return [_made(part) for part in plain]
    if not isinstance(plain, dict):
        return plain
    if "tuple" in plain:
        return tuple(_made(plain["tuple"]))
    if "dict" in plain:
        return {_made(key): _made(part) for key, part in plain["dict"]}
    if "path" in plain:
        return Path(plain["path"])
    module, _, name = str(plain.get("error") or plain.get("of")).partition(":")
    if module.split(".")[0] == __package__.partition(".")[0]:
        made = getattr(importlib.import_module(module), name, None)
        if isinstance(made, type) and "error" in plain and issubclass(made, AudioSRError):
            return made(*_made(plain["arguments"]))
        if isinstance(made, type) and "of" in plain and dataclasses.is_dataclass(made):
            return made(**{key: _made(part) for key, part in plain["fields"].items()})
    raise ValueError(f"a result must be of this package's kinds; received {module}:{name}")


def _fields(value: Any) -> list[dataclasses.Field]:
    return [field for field in dataclasses.fields(value) if field.init]


class _Work:
    """Adapts a function to a pipeline. It takes a numbered item and returns numbered results, as lines of JSON."""

    def __init__(self, function: Callable[[Any], Iterable]):
        self.function = function

    def __call__(self, line: bytes) -> list[bytes]:
        number, item = _unpack(line)
        try:
            return [_pack((number, result, None)) for result in self.function(item)]
        except AudioSRError as error:
            # The error is returned as a result, because a pipeline would repeat the work after an exception.
            return [_pack((number, None, error))]


def check(runner: str, options: str | Sequence[str] = ()) -> list[str]:
    """Checks the runner and Beam's options.

    Args:
        runner: one of `RUNNERS`.
        options: options for Beam, such as `"--runner=FlinkRunner --flink_master=HOST:8081"`.

    Returns:
        Beam's options as a list, which is empty for the local runner.

    Raises:
        UsageError: the runner is unknown, options are given without Beam, or Beam is not installed.
    """
    words = shlex.split(options) if isinstance(options, str) else list(options)
    if runner not in RUNNERS:
        raise UsageError(f"runner must be one of {', '.join(RUNNERS)}; received {runner!r}; leave it out for local")
    if runner == "local":
        if words:
            raise UsageError(f"Beam's options need runner 'beam'; received {words} with the local runner; use 'beam'")
        return []
    try:
        import apache_beam  # noqa: F401 - checks that it is installed
    except ModuleNotFoundError:
        raise UsageError(
            f"runner 'beam' needs the package apache_beam; it is not installed; {how_to_install('beam')}"
        ) from None
    return words


def flat_map(
    function: Callable[[Any], Iterable], items: Iterable, folder: StrPath, options: Sequence[str] = (), jobs: int = 1
) -> list:
    """Calls a function with every item, on the workers of a Beam pipeline.

    A pipeline may call the function twice with the same item, even at the same time, and keep one of the results. Files
    that the function writes must therefore receive their names only when they are complete.

    Args:
        function: a function at the top level of a module, or a `functools.partial` of one. Its items and results are
            plain values, paths, and errors and dataclasses of this package.
        items: arguments of the calls, one for each.
        folder: folder for intermediate results, in a temporary subfolder that is removed at the end. All workers must
            be able to write to it.
        options: options for Beam. They override `jobs`.
        jobs: number of processes of Beam's own runner on this machine.

    Returns:
        All results, in the order of the items.

    Raises:
        UsageError: Beam does not recognise the options.
        AudioSRError: the pipeline failed, or `function` raised this error. If it raised several, the error of the
            earliest item is raised.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    lines = [_pack(numbered) for numbered in enumerate(items)]
    if not lines:
        return []
    # Beam's runner uses processes, because threads would share one interpreter for decoding and FFmpeg's pipes.
    local = ["--runner=DirectRunner", "--direct_running_mode=multi_processing", f"--direct_num_workers={jobs}"]
    # Without this, Beam logs every channel that it opens.
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    results = Path(tempfile.mkdtemp(prefix=".beam-", dir=folder))
    try:
        with beam.Pipeline(options=PipelineOptions([*local, "--default_sdk_harness_log_level=WARNING", *options])) as p:
            (
                p
                | "items" >> beam.Create(lines)
                # Without this, all items would stay on the worker that created them.
                | "deal" >> beam.Reshuffle()
                | "work" >> beam.FlatMap(_Work(function))
                | "results" >> beam.io.WriteToText(str(results / "part"), coder=beam.coders.BytesCoder())
            )
        found = [_unpack(line) for part in results.iterdir() for line in part.read_bytes().splitlines()]
    except SystemExit as error:
        raise UsageError(f"Beam must know its options; received {list(options)}; see docs/scale_out.md") from error
    except (RuntimeError, ValueError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise AudioSRError(f"the pipeline must end well; Beam: {reason}; run it again") from error
    finally:
        shutil.rmtree(results, ignore_errors=True)
    found.sort(key=lambda numbered: numbered[0])
    for _, _, raised in found:
        if raised is not None:
            raise raised
    return [result for _, result, _ in found]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--runner` and `--beam-options` to the command line of a stage."""
    runner_help = "local: threads of this process (default); beam: an Apache Beam pipeline (docs/scale_out.md)"
    parser.add_argument("--runner", choices=RUNNERS, default="local", help=runner_help)
    options_help = "options for Beam in quotes: '--runner=FlinkRunner ...' (default: --jobs processes on this machine)"
    parser.add_argument("--beam-options", default="", metavar="OPTIONS", help=options_help)
