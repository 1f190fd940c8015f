"""Files in the place of standard input and output, because FFmpeg and the FLAC writer need to seek.

Standard output receives the whole song or nothing: it is written when the restored file is complete.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import AudioFileError, UsageError, cause
from .plan import RESTORED

# What stands for standard input and output on the command line; a file of that name is `./-`.
PIPE = "-"


@contextlib.contextmanager
def spooled(inputs: list[str], out: str | None, suffix: str) -> Iterator[tuple[list[str], str | None]]:
    """Replaces `-` among inputs and output by files, and afterwards writes the output file to standard output.

    If `-` is the only input and there is no output, the song goes to standard output.

    Args:
        inputs: as on the command line.
        out: as on the command line.
        suffix: format of the song on standard output.

    Yields:
        The inputs and the output without `-`.

    Raises:
        UsageError: `-` is named twice, there are several inputs for one pipe, or standard output is a terminal.
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
            f"a piped song needs space in {folder}; {cause(error)}; set TMPDIR to a folder with more"
        ) from error
