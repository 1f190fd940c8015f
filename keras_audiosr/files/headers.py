"""Reads the header of a music file with ffprobe: codec, sample rate, channels, duration, chapters and tags."""

import contextlib
import dataclasses
import json
import re
import stat
import subprocess
from pathlib import Path

from ..annotations import StrPath
from ..errors import AudioFileError
from ..processes.ffmpeg import INPUT_LIMITS, find_binary, input_argument, last_line, other_binaries, run_limited
from ..sound.layouts import TURNED
from .scan_mpeg import is_free_format, turns_to_stereo
from .scan_ogg import late_start
from .waves import for_ffmpeg

# Plausible sample rates in Hz: from below telephone quality to DSD512 as FFmpeg counts it.
_RATES = (1000, 6_000_000)
# FFmpeg's own limit. A damaged header that declares 32,770 channels would need too much memory.
_MOST_CHANNELS = 512
_ENTRIES = (
    "stream=codec_name,sample_rate,channels,channel_layout,start_time,duration,bit_rate:stream_disposition=default:stream_tags"
    ":format=format_name,start_time,duration,bit_rate:format_tags:chapter=start_time,end_time:chapter_tags"
)


@dataclasses.dataclass(frozen=True)
class AudioInfo:
    """The contents of a file's header.

    Attributes:
        codec: FFmpeg's codec name, such as `"mp3"`, `"aac"`, `"pcm_s16le"`.
        container: FFmpeg's format name, such as `"mp3"`, `"flac"`.
        sample_rate: Hz.
        channels: number of audio channels.
        duration: seconds, as declared by the container; 0.0 when unknown.
        bitrate: kbit/s of the audio stream; 0 when unknown.
        channel_layout: FFmpeg's name, such as `"stereo"` or `"5.1(side)"`; empty when unknown.
        track: index of the sound track to use, from 0: the default one.
        tracks: number of sound tracks.
        chapters: start and end in seconds, and title, of each chapter.
        tags: names and values as FFmpeg found them.
        ffmpeg: path of the FFmpeg that can read the file, if it is not the usual one.
    """

    codec: str
    container: str
    sample_rate: int
    channels: int
    duration: float
    bitrate: int
    channel_layout: str = ""
    track: int = 0
    tracks: int = 1
    chapters: tuple[tuple[float, float, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    ffmpeg: str = ""


def require_file(path: StrPath) -> Path:
    """Checks that `path` is a regular file and not empty; returns it as a `Path`.

    Raises:
        AudioFileError: it is a folder, is missing or is empty.
    """
    path = Path(path)
    try:
        found = path.stat()
    except FileNotFoundError as error:
        # A `Path` that was made from a URL has lost one slash.
        if url := re.match(r"([a-z]{2,6}):/+(?=[^/])", str(path)):
            address = f"{url[1]}://{str(path)[url.end() :]}"
            raise AudioFileError(f"music is read from files; {address} is a URL; download it first") from error
        raise AudioFileError(f"an audio file is needed; {path} does not exist; check the path") from error
    except OSError as error:  # a name that is too long, links in a circle, a folder that may not be searched
        raise AudioFileError(f"an audio file is needed; {path}: {error.strerror}; check the path") from error
    if stat.S_ISDIR(found.st_mode):
        raise AudioFileError(f"an audio file is needed; {path} is a folder; choose a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise AudioFileError(f"an audio file is needed; {path} is not a regular file; check the path")
    if found.st_size == 0:
        raise AudioFileError(f"an audio file is needed; {path} is empty (0 bytes); fetch it again")
    return path


def probe(path: StrPath) -> AudioInfo:
    """Reads a file's header with ffprobe.

    Raises:
        AudioFileError: the file does not exist, or has no audio stream that FFmpeg can read.
    """
    path = require_file(path)
    found, ffmpeg = _ffprobe(path)
    streams = found.get("streams") or []
    # The default track is used, as in a player, or the first one if none is marked.
    track = next((n for n, one in enumerate(streams) if (one.get("disposition") or {}).get("default")), 0)
    if not streams or not int(streams[track].get("sample_rate") or 0):
        raise _unreadable(path, f"a file with a sound track is needed; {path} has none; choose another file")
    stream, container = streams[track], found.get("format", {})
    if not 1 <= int(stream.get("channels") or 0) <= _MOST_CHANNELS:
        raise AudioFileError(
            f"a file must have 1 to {_MOST_CHANNELS} channels; {path} declares {stream.get('channels') or 'none'}, so"
            " its header is damaged; fetch it again"
        )
    if not _RATES[0] <= int(stream["sample_rate"]) <= _RATES[1]:
        raise AudioFileError(
            f"a sample rate must be {_RATES[0]} to {_RATES[1]} Hz; {path} declares {stream['sample_rate']} Hz, so its"
            " header is damaged; fetch it again"
        )

    def number(key: str) -> float:
        for source in (stream, container):
            with contextlib.suppress(KeyError, ValueError):
                return float(source[key])
        return 0.0

    codec, channels = stream.get("codec_name", "unknown"), int(stream["channels"])
    layout = stream.get("channel_layout", "")
    if codec == "mp3" and channels == 1 and turns_to_stereo(path):
        channels, layout = 2, TURNED
    duration, start = number("duration"), number("start_time")
    return AudioInfo(
        codec=codec,
        container=container.get("format_name", "unknown"),
        sample_rate=int(stream["sample_rate"]),
        channels=channels,
        duration=duration - late_start(path, container.get("format_name", ""), codec, start, duration),
        bitrate=round(number("bit_rate") / 1000),
        channel_layout=layout,
        track=track,
        tracks=len(streams),
        chapters=tuple(
            (float(part["start_time"]), float(part["end_time"]), (part.get("tags") or {}).get("title", ""))
            for part in found.get("chapters") or []
        ),
        ffmpeg=ffmpeg,
        tags=tuple(((stream.get("tags") or {}) | (container.get("tags") or {})).items()),
    )


def _ffprobe(path: Path) -> tuple[dict, str]:
    """Runs ffprobe; returns its output, and the path of the FFmpeg beside it if that is not the usual one."""
    reason = ""
    usual = find_binary("ffprobe")
    # Pinned builds crash on some formats (MPEG-TS) that another one on PATH reads.
    for number, program in enumerate([usual, *other_binaries("ffprobe")]):
        command = [program, "-v", "error", *INPUT_LIMITS, "-select_streams", "a", "-show_entries", _ENTRIES]
        with for_ffmpeg(path) as readable:
            command += ["-of", "json", input_argument(readable)]
            done = run_limited(command, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode == 0:
            ffmpeg = str(Path(program).with_name("ffmpeg")) if number else ""
            return json.loads(done.stdout.decode("utf-8", "replace")), ffmpeg
        if done.returncode > 0:
            reason = reason or last_line(done.stderr, readable)
            break
        reason = f"{program} died of signal {-done.returncode}; another FFmpeg on PATH may read it"
    raise _unreadable(
        path, f"a file that FFmpeg can read is needed; {path}: {reason}; check that it is music and whole"
    )


def _unreadable(path: Path, message: str) -> AudioFileError:
    if is_free_format(path):
        message = (
            f"FFmpeg needs MP3 files that declare their bitrate; {path} is a free-format MP3, which does not; decode it"
            " first, for instance with 'lame --decode'"
        )
    return AudioFileError(message)
