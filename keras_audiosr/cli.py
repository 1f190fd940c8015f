"""`keras-audiosr VERB ...`: one subcommand a stage, in working order.

A verb's module is imported only when it is the one asked for, so `--help`
answers at once and no verb pays for another's imports.
"""

import argparse
import contextlib
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence

from .errors import AudioSRError, TrustWarning

PROGRAM = "keras-audiosr"

VERBS = {
    "rip": "lossless discs or files -> FLAC tracks and a manifest",
    "encode": "tracks -> lossy twins, aligned to the sample",
    "window": "pairs -> TFRecord shards of training windows",
    "train": "pairs and a preset -> checkpoint and history",
    "evaluate": "checkpoint, exported model or files -> table of metrics",
    "export": "checkpoint -> SavedModel, TFLite, metadata and model card",
    "probe": "music file -> what it is, and whether restoring it is worth it",
    "restore": "music file, or a library of them -> restored music",
    "play": "music as it comes -> restored music for a pipe, block by block",
    "serve": "exported model -> bundle for TensorFlow Serving",
    "report": "lossy and restored music -> page to hear and see the difference",
}


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The parser with every verb's name, and with the arguments of one of them.

    Args:
        verb: the verb whose module is imported for its arguments; none when `None`.
    """
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Restores music that lossy compression has damaged.")
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", title="stages, in working order")
    for name, summary in VERBS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        if name == verb:
            module = importlib.import_module(f".{name}", __package__)
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser


@contextlib.contextmanager
def _trust_in_one_line() -> Iterator[None]:
    """Lets a `TrustWarning` look like the program's other words, once; other warnings stay as they are."""
    show = warnings.showwarning

    def shown(message, category, *rest, **more) -> None:
        if issubclass(category, TrustWarning):
            print(f"{PROGRAM}: warning: {message}", file=sys.stderr)
        else:
            show(message, category, *rest, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", TrustWarning)
        warnings.showwarning = shown
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: arguments without the program's name; `sys.argv[1:]` when `None`.

    Returns:
        The exit code: 0; 1 something failed; 2 wrong usage; 3 the output exists; 130 Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who called
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
            from . import __version__

            print(f"{PROGRAM} {__version__}")
            return 0
        if parsed.verb is None:
            parser.print_help(sys.stderr)
            return 2
        # So that `finally` blocks run and no half file stays behind.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        with _trust_in_one_line():
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
            f" try: pip install 'keras-audiosr[train]'",
            file=sys.stderr,
        )
        return 1
    except MemoryError:
        print(f"{PROGRAM}: error: {verb} needs more memory than there is; close other programs", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain again while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        # What no stage foresaw of disks and paths; the operating system's word says what it is.
        print(f"{PROGRAM}: error: {verb} needs its files; {error}; check the path and the disk", file=sys.stderr)
        return 1
