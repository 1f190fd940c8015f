"""Standard input and output as files: FFmpeg has to seek in some formats, and so has a FLAC writer.

A pipe gets the whole song or nothing: it is written once the restored file is complete.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import AudioFileError, UsageError
from .plan import RESTORED

# What stands for standard input and output on the command line; a file of that name is `./-`.
PIPE = "-"


@contextlib.contextmanager
def spooled(inputs: list[str], out: str | None, suffix: str) -> Iterator[tuple[list[str], str | None]]:
    """Puts files in the place of `-` among inputs and output; afterwards sends the output on.

    `-` alone, without an output, goes to standard output.

    Args:
        inputs: as on the command line.
        out: as on the command line.
        suffix: format of what goes to standard output.

    Yields:
        The inputs and the output without `-`.

    Raises:
        UsageError: `-` twice, several inputs for one pipe, or music for a terminal.
    """
    if inputs == [PIPE] and out is None:
        out = PIPE
    if PIPE not in inputs and out != PIPE:
        yield inputs, out
        return
    if inputs.count(PIPE) > 1 or (out == PIPE and len(inputs) != 1):
        raise UsageError(f"a pipe carries one song; received {' '.join(inputs)}; name one input")
    if out == PIPE and sys.stdout.isatty():
        raise UsageError("music is not written to a terminal; add -o FILE, or pipe it into a player")
    with tempfile.TemporaryDirectory(prefix="keras-audiosr-") as folder:
        if PIPE in inputs:
            song = Path(folder, "stdin")
            with _disk(folder), open(song, "wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
            inputs = [str(song) if given == PIPE else given for given in inputs]
        if out != PIPE:
            yield inputs, out
            return
        restored = Path(folder, f"stdout{RESTORED}{suffix}")
        yield inputs, str(restored)
        if restored.is_file():
            with open(restored, "rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
            sys.stdout.buffer.flush()


@contextlib.contextmanager
def _disk(folder: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AudioFileError(
            f"a piped song needs room in {folder}; {error}; set TMPDIR to a folder that has it"
        ) from error
