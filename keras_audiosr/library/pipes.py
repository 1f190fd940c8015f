"""Replaces standard input and output by temporary files, because FFmpeg and the FLAC writer need to seek.

Nothing is written to standard output before the restored file is complete.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import AudioFileError, UsageError, cause
from .plan import RESTORED

# Name of standard input and output on the command line. A file with this name must be written as `./-`.
PIPE = "-"


@contextlib.contextmanager
def spooled(inputs: list[str], out: str | None, suffix: str) -> Iterator[tuple[list[str], str | None]]:
    """Replaces `-` in the inputs and the output by temporary files, and finally writes the result to standard output.

    If `-` is the only input and no output is given, the song is written to standard output.

    Args:
        inputs: inputs from the command line.
        out: output from the command line, or `None`.
        suffix: format of a song on standard output, as a file suffix such as `".flac"`.

    Yields:
        The inputs and the output, with a path in place of each `-`.

    Raises:
        UsageError: `-` occurs twice among the inputs, the output is `-` but there is not exactly one input, or
            standard output is a terminal.
        AudioFileError: there is no space for the temporary file.
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
            f"a piped song needs space in {folder}; {cause(error)}; set TMPDIR to a folder with more space"
        ) from error
