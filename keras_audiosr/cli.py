"""The command line `keras-audiosr VERB ...`, which has one subcommand for each stage, in working order.

Only the module of the given verb is imported. `--help` therefore responds at once, and no verb waits for the imports
of another.
"""

import argparse
import contextlib
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from .environment import quieten_tensorflow
from .errors import AmbiguousNameWarning, AudioSRError, NewWeightsWarning, TrustWarning, how_to_install

PROGRAM = "keras-audiosr"
_OUR_WARNINGS = (AmbiguousNameWarning, NewWeightsWarning, TrustWarning)

VERBS = {
    "rip": "turn ripped discs or lossless files into FLAC tracks and a manifest",
    "encode": "make lossy copies of the tracks, align them to the sample, and list the pairs in a manifest",
    "window": "cut the pairs into training windows, and store them as TFRecord shards (optional)",
    "train": "train a preset's network on the pairs, and write a checkpoint and the history",
    "evaluate": "compare lossy and restored music with lossless music, and print a table of metrics",
    "export": "convert a checkpoint to SavedModel and TFLite, with metadata and a model card",
    "probe": "examine music files, and say whether it is worth restoring them",
    "restore": "restore a music file or a whole music library",
    "play": "restore music from a file or a pipe block by block, as a player does",
    "serve": "write a bundle of an exported model for TensorFlow Serving",
    "report": "write a page to hear and see the difference between lossy and restored music",
}


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """Builds the parser, with the names of all verbs and the arguments of one of them.

    Args:
        verb: the verb whose module is imported for its arguments. With `None` no module is imported.
    """
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Restores music that lossy compression has damaged.")
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", title="stages, in working order")
    for name, summary in VERBS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        if name == verb:
            module = importlib.import_module(f".stages.{name}", __package__)
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Prints each warning of this package on one line, like its errors. Other warnings are printed as usual."""
    show = warnings.showwarning

    def shown(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, _OUR_WARNINGS):
            print(f"{PROGRAM}: warning: {message}", file=sys.stderr)
        else:
            show(message, category, *rest, **more)

    with warnings.catch_warnings():
        for category in _OUR_WARNINGS:
            warnings.simplefilter("always", category)
        warnings.showwarning = shown
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: arguments without the program's name; `sys.argv[1:]` when `None`.

    Returns:
        The exit code: 0 for success, 1 if something failed, 2 for wrong usage, 3 if the output exists, 130 after
        Ctrl-C, 141 if the program that reads the output ended. SIGTERM ends the process with 143, and a closed
        terminal (SIGHUP) with 129.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    quieten_tensorflow()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A file name that is not UTF-8 must not end the program when it is printed.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        verb = next((argument for argument in arguments if argument in VERBS), None)
        parser = build_parser(verb)
        parsed = parser.parse_args(arguments)
        if parsed.version:
            from .version import __version__

            print(f"{PROGRAM} {__version__}")
            return 0
        if parsed.verb is None:
            parser.print_help(sys.stderr)
            return 2
        # A signal becomes an exception, so that `finally` blocks run and no partial file is left.
        for name in ("SIGTERM", "SIGHUP"):  # SIGHUP means that the terminal was closed; Windows does not have it
            number = getattr(signal, name, None)
            # A signal that nohup ignores stays ignored.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, frame: sys.exit(128 + number))
        with _warnings_in_one_line():
            code = parsed.run(parsed)
        sys.stdout.flush()
        return code
    except AudioSRError as error:
        print(f"{PROGRAM}: error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(__package__):
            raise
        print(
            f"{PROGRAM}: error: {verb} needs the Python package {error.name}, which is not installed;"
            f" {how_to_install('train')}",
            file=sys.stderr,
        )
        return 1
    except MemoryError:
        print(f"{PROGRAM}: error: {verb} needs more memory than is free; close other programs", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The program that read the output has ended. Python would report this again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + getattr(signal, "SIGPIPE", 13)  # Windows has no SIGPIPE
    except OSError as error:
        # An error of a disk or a path that no stage handles. The operating system's message names the path.
        print(
            f"{PROGRAM}: error: {verb} could not access a file; {error}; check the path and the disk", file=sys.stderr
        )
        return 1
