"""The work of a stage on an Apache Beam pipeline: Beam's own runner here, Dataflow, Flink or Spark elsewhere.

A stage's work is a function from one item to a few results; files are written on the way, under names fixed
before. The workers therefore need this package and the stage's folders under the same paths as here.
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
    """What JSON can hold, of values that stages pass around. No pickle: they lie in files, where others may write."""
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
    raise TypeError(f"stages pass plain values, paths, errors and dataclasses of ours; received {type(value).__name__}")


def _made(plain: Any) -> Any:
    """The value again. Only dataclasses and errors of this package are made, never anything that a file names."""
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
    """`function` as a pipeline calls it: a numbered item in, its results with its number out, as lines of text."""

    def __init__(self, function: Callable[[Any], Iterable]):
        self.function = function

    def __call__(self, line: bytes) -> list[bytes]:
        number, item = _unpack(line)
        try:
            return [_pack((number, result, None)) for result in self.function(item)]
        except AudioSRError as error:
            # An answer too: to try again, as pipelines do, would not help.
            return [_pack((number, None, error))]


def check(runner: str, options: str | Sequence[str] = ()) -> list[str]:
    """The options of a pipeline, as a list.

    Args:
        runner: one of `RUNNERS`.
        options: Beam's own, such as `"--runner=FlinkRunner --flink_master=HOST:8081"`.

    Raises:
        UsageError: another runner, options without Beam, or Beam is not installed.
    """
    words = shlex.split(options) if isinstance(options, str) else list(options)
    if runner not in RUNNERS:
        raise UsageError(f"runner must be one of {', '.join(RUNNERS)}; received {runner!r}; leave it out for local")
    if runner == "local":
        if words:
            raise UsageError(f"Beam's options are for Beam; received {words} with the local runner; take runner 'beam'")
        return []
    try:
        import apache_beam  # noqa: F401 - whether it is there
    except ModuleNotFoundError:
        raise UsageError(
            f"runner 'beam' needs the package apache_beam; it is not installed; {how_to_install('beam')}"
        ) from None
    return words


def flat_map(
    function: Callable[[Any], Iterable], items: Iterable, folder: StrPath, options: Sequence[str] = (), jobs: int = 1
) -> list:
    """Calls a function on every item, on a pipeline's workers.

    A pipeline may call it twice on an item, at the same time too, and keep one of the answers: what it writes must
    take its name whole.

    Args:
        function: of a module, or a `functools.partial` of one. Its items and results are plain values, paths, errors
            and dataclasses of this package.
        items: what it is called on.
        folder: where the results pass through, in a folder of their own that is removed.
        options: Beam's own; they win over `jobs`.
        jobs: processes of Beam's runner on this machine.

    Returns:
        All results, in the order of the items.

    Raises:
        UsageError: Beam does not know the options.
        AudioSRError: the first that `function` raised, or the pipeline failed.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    lines = [_pack(numbered) for numbered in enumerate(items)]
    if not lines:
        return []
    # Each process of its own: decoding and FFmpeg's pipes in threads would share one interpreter.
    local = ["--runner=DirectRunner", "--direct_running_mode=multi_processing", f"--direct_num_workers={jobs}"]
    # Beam tells of every channel that it opens.
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    results = Path(tempfile.mkdtemp(prefix=".beam-", dir=folder))
    try:
        with beam.Pipeline(options=PipelineOptions([*local, "--default_sdk_harness_log_level=WARNING", *options])) as p:
            (
                p
                | "items" >> beam.Create(lines)
                # Else all items would stay with the worker that made them.
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
    """Adds `--runner` and `--beam-options` to a stage's command line."""
    runner_help = "local: threads of this process (default); beam: an Apache Beam pipeline (docs/scale_out.md)"
    parser.add_argument("--runner", choices=RUNNERS, default="local", help=runner_help)
    options_help = "options of Beam in quotes: '--runner=FlinkRunner ...' (default: --jobs processes on this machine)"
    parser.add_argument("--beam-options", default="", metavar="OPTIONS", help=options_help)
