"""Reading and writing audio files, whole or block by block."""

import contextlib
import dataclasses
import json
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ..errors import AudioFileError
from .ffmpeg import INPUT_LIMITS, find_binary, input_argument, last_line
from .partials import atomic_output
from .sound import read_sound

# What libsndfile reads without loss, without FFmpeg's help.
LOSSLESS_SUFFIXES = (".flac", ".wav", ".aif", ".aiff")
# Hz: from below the worst telephone to DSD512 as FFmpeg counts it.
_RATES = (1000, 6_000_000)
# What FFmpeg itself takes for sane. A header that says 32,770 would take memory by it.
_MOST_CHANNELS = 512
# How FFmpeg, in all versions, calls bytes that it cannot use, and leaves out, also in Matroska; and how much of its log
# is looked at.
_DAMAGE = ("Invalid data found when processing input", "exceeds containing master element")
_LOG = 1 << 16


@dataclasses.dataclass(frozen=True)
class AudioInfo:
    """What a file says of itself.

    Attributes:
        codec: FFmpeg's codec name, such as `"mp3"`, `"aac"`, `"pcm_s16le"`.
        container: FFmpeg's format name, such as `"mp3"`, `"flac"`.
        sample_rate: Hz.
        channels: number of audio channels.
        duration: seconds, as declared by the container; 0.0 when it does not say.
        bitrate: kbit/s of the audio stream; 0 when unknown.
        channel_layout: FFmpeg's name, such as `"stereo"` or `"5.1(side)"`; empty when unknown.
    """

    codec: str
    container: str
    sample_rate: int
    channels: int
    duration: float
    bitrate: int
    channel_layout: str = ""


def require_file(path) -> Path:
    """`path` as a `Path`, once it is known to be a file with something in it.

    Raises:
        AudioFileError: it is a folder, is missing or is empty.
    """
    path = Path(path)
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise AudioFileError(f"an audio file is needed; {path} does not exist; check the path") from error
    except OSError as error:  # a name that is too long, links in a circle, a folder that may not be searched
        raise AudioFileError(f"an audio file is needed; {path}: {error.strerror}; check the path") from error
    if stat.S_ISDIR(found.st_mode):
        raise AudioFileError(f"an audio file is needed; {path} is a folder; name a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise AudioFileError(f"an audio file is needed; {path} is no regular file; check the path")
    if found.st_size == 0:
        raise AudioFileError(f"an audio file is needed; {path} is empty (0 bytes); fetch it again")
    return path


def probe(path) -> AudioInfo:
    """Reads a file's header with ffprobe.

    Raises:
        AudioFileError: no such file, or no audio stream that FFmpeg knows.
    """
    path = require_file(path)
    entries = (
        "stream=codec_name,sample_rate,channels,channel_layout,duration,bit_rate:format=format_name,duration,bit_rate"
    )
    command = [find_binary("ffprobe"), "-v", "error", *INPUT_LIMITS, "-select_streams", "a:0"]
    command += ["-show_entries", entries, "-of", "json", input_argument(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        reason = last_line(done.stderr) if done.returncode > 0 else f"ffprobe died of signal {-done.returncode}"
        raise AudioFileError(
            f"a file that FFmpeg can read is needed; {path}: {reason}; check that it is music and whole"
        )
    found = json.loads(done.stdout)
    streams = found.get("streams") or []
    if not streams or not int(streams[0].get("sample_rate") or 0):
        raise AudioFileError(f"a file with a sound track is needed; {path} has none; name another file")
    stream, container = streams[0], found.get("format", {})
    if not 1 <= int(stream.get("channels") or 0) <= _MOST_CHANNELS:
        raise AudioFileError(
            f"sound has 1 to {_MOST_CHANNELS} channels; {path} declares {stream.get('channels') or 'none'};"
            " its header is damaged, fetch it again"
        )
    if not _RATES[0] <= int(stream["sample_rate"]) <= _RATES[1]:
        raise AudioFileError(
            f"music has {_RATES[0]} to {_RATES[1]} samples a second; {path} declares {stream['sample_rate']};"
            " its header is damaged, fetch it again"
        )

    def number(key: str) -> float:
        for source in (stream, container):
            with contextlib.suppress(KeyError, ValueError):
                return float(source[key])
        return 0.0

    return AudioInfo(
        codec=stream.get("codec_name", "unknown"),
        container=container.get("format_name", "unknown"),
        sample_rate=int(stream["sample_rate"]),
        channels=int(stream["channels"]),
        duration=number("duration"),
        bitrate=round(number("bit_rate") / 1000),
        channel_layout=stream.get("channel_layout", ""),
    )


def read_blocks(
    path,
    info: AudioInfo,
    block_length: int,
    sample_rate: int | None = None,
    complaints: list[str] | None = None,
    sample_type: str = "f4",
) -> Iterator[np.ndarray]:
    """Decodes a file with FFmpeg, front to back, in flat memory.

    Args:
        path: any file FFmpeg reads.
        info: what `probe(path)` returned.
        block_length: samples a block; the last one is shorter.
        sample_rate: Hz to resample to; the file's own when `None`.
        complaints: receives what FFmpeg says of places that it left out, once the last block is through.
        sample_type: `"f4"` for float32, `"i4"` for int32.

    Yields:
        Arrays `(time, channels)`.

    Raises:
        AudioFileError: FFmpeg stops with an error (the message is FFmpeg's), or there are no samples.
    """
    command = [find_binary("ffmpeg"), "-nostdin", "-hide_banner", "-v", "error", *INPUT_LIMITS]
    command += ["-i", input_argument(path), "-map", "0:a:0"]
    encoding = {"f4": "f32le", "i4": "s32le"}[sample_type]
    command += ["-f", encoding, "-c:a", f"pcm_{encoding}"]
    command += ["-ac", str(info.channels), "-ar", str(sample_rate or info.sample_rate), "pipe:1"]
    frame_bytes = 4 * info.channels
    decoded = 0
    # A file, not a pipe, for stderr: a damaged file can write more than a pipe
    # holds, and nobody reads it until the samples are through.
    with tempfile.TemporaryFile() as log:
        # A large pipe (Linux; ignored elsewhere), so that FFmpeg decodes on while we work on a block.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, pipesize=1 << 20
        )
        assert process.stdout is not None  # as asked for; for the type checker
        try:
            while True:
                chunk = process.stdout.read(block_length * frame_bytes)
                whole = len(chunk) - len(chunk) % frame_bytes
                if whole:
                    decoded += whole // frame_bytes
                    yield np.frombuffer(chunk[:whole], dtype=f"<{sample_type}").reshape(-1, info.channels)
                if len(chunk) < block_length * frame_bytes:
                    break
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
            process.stdout.close()
            process.wait()
        if code or not decoded:
            log.seek(0)
            said = log.read()
            if not code and not said:
                raise AudioFileError(f"music is needed; {path} holds no samples; check that it is the file you mean")
            reason = last_line(said) if code >= 0 else f"FFmpeg died of signal {-code}"
            raise AudioFileError(
                f"a file that FFmpeg can decode is needed; {path}: {reason}; check that it is whole and not protected"
            )
        if complaints is not None:
            log.seek(0)
            lines = log.read(_LOG).decode("utf-8", "replace").splitlines()
            complaints += [line.strip() for line in lines if any(damage in line for damage in _DAMAGE)]


def read(path, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Decodes a whole file.

    Lossless formats go through libsndfile, everything else through FFmpeg.

    Args:
        path: any file FFmpeg reads.
        sample_rate: Hz; FFmpeg resamples when the file's own differs. The file's own when `None`.

    Returns:
        Array `(time, channels)` float32, and the sample rate in Hz.

    Raises:
        AudioFileError: the file is missing, damaged or has no sound track.
    """
    path = require_file(path)
    if path.suffix.lower() in LOSSLESS_SUFFIXES:
        # Through a file object: libsndfile cannot open a path that is not UTF-8.
        with open(path, "rb") as file, contextlib.suppress(soundfile.LibsndfileError):
            audio, rate = read_sound(file)
            if len(audio) and sample_rate in (None, rate):
                return audio, rate
    info = probe(path)
    blocks = list(read_blocks(path, info, 1 << 20, sample_rate))
    return np.concatenate(blocks), sample_rate or info.sample_rate


def write(path, audio: np.ndarray, sample_rate: int, subtype: str | None = None) -> None:
    """Writes a whole file atomically.

    Args:
        path: output path; its suffix chooses the format (libsndfile's).
        audio: array `(time, channels)`, floating point in [-1, 1] or integer PCM.
        sample_rate: Hz.
        subtype: libsndfile's, such as `"PCM_24"`; the format's default when `None`.
    """
    with atomic_output(path) as partial:
        soundfile.write(partial, audio, sample_rate, subtype=subtype)
