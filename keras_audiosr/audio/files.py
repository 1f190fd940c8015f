"""Reading and writing audio files, whole or block by block."""

import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ..errors import AudioFileError, OutputExistsError
from .ffmpeg import PROTOCOLS, find_binary, input_argument, last_line

# What libsndfile reads without loss, without FFmpeg's help.
LOSSLESS_SUFFIXES = (".flac", ".wav", ".aif", ".aiff")


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
    if path.is_dir():
        raise AudioFileError(f"an audio file is needed; {path} is a folder; name a file in it")
    if not path.is_file():
        raise AudioFileError(f"an audio file is needed; {path} does not exist; check the path")
    if path.stat().st_size == 0:
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
    command = [find_binary("ffprobe"), "-v", "error", *PROTOCOLS, "-select_streams", "a:0"]
    command += ["-show_entries", entries, "-of", "json", input_argument(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise AudioFileError(
            f"a file that FFmpeg can read is needed; {path}: {last_line(done.stderr)}; check that it is music and whole"
        )
    found = json.loads(done.stdout)
    streams = found.get("streams") or []
    if not streams or not int(streams[0].get("sample_rate") or 0):
        raise AudioFileError(f"a file with a sound track is needed; {path} has none; name another file")
    stream, container = streams[0], found.get("format", {})

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


def read_blocks(path, info: AudioInfo, block_length: int, sample_rate: int | None = None) -> Iterator[np.ndarray]:
    """Decodes a file with FFmpeg, front to back, in flat memory.

    Args:
        path: any file FFmpeg reads.
        info: what `probe(path)` returned.
        block_length: samples a block; the last one is shorter.
        sample_rate: Hz to resample to; the file's own when `None`.

    Yields:
        Arrays `(time, channels)`, float32.

    Raises:
        AudioFileError: FFmpeg stops with an error, or decodes nothing. The message is FFmpeg's.
    """
    command = [find_binary("ffmpeg"), "-nostdin", "-hide_banner", "-v", "error", *PROTOCOLS]
    command += ["-i", input_argument(path), "-map", "0:a:0", "-f", "f32le", "-c:a", "pcm_f32le"]
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
                    yield np.frombuffer(chunk[:whole], dtype="<f4").reshape(-1, info.channels)
                if len(chunk) < block_length * frame_bytes:
                    break
            failed = process.wait() != 0
        finally:
            if process.poll() is None:
                process.kill()
            process.stdout.close()
            process.wait()
        if failed or not decoded:
            log.seek(0)
            raise AudioFileError(
                f"a file that FFmpeg can decode is needed; {path}: {last_line(log.read())};"
                " check that it is whole and not protected"
            )


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
            audio, rate = soundfile.read(file, dtype="float32", always_2d=True)
            if sample_rate in (None, rate):
                return audio, rate
    info = probe(path)
    blocks = list(read_blocks(path, info, 1 << 20, sample_rate))
    return np.concatenate(blocks), sample_rate or info.sample_rate


@contextlib.contextmanager
def atomic_output(path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name only when the block succeeds.

    The file is synced before it is renamed: after a crash there is the old file
    or the whole new one, never a half.

    Raises:
        AudioFileError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    # The suffix stays last: soundfile and FFmpeg choose the format by it.
    # Random, for two threads at work on files of one name; short, where `path` has 255 bytes.
    partial = path.with_name(f".{secrets.token_hex(8)}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioFileError(
            f"the output must be writable; {path}: {error}; check the folder, its rights and the free space"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path, replaces: str | None = None) -> Iterator[Path]:
    """A temporary folder beside `path`, there before long work begins, that takes its name when all is done.

    Args:
        path: the folder to make.
        replaces: name of a file; a folder at `path` that holds it is replaced, once the new one is whole.

    Raises:
        OutputExistsError: `path` is there, neither empty nor what may be replaced.
        AudioFileError: the folder cannot be written, or the disk is full.
    """
    path = Path(path).absolute()
    occupied = path.is_symlink() or path.is_file() or (path.is_dir() and any(path.iterdir()))
    if occupied and replaces is None:
        raise OutputExistsError(f"the output folder must be new or empty; {path} is not; name another, or move it away")
    if occupied and not (path / str(replaces)).is_file():
        raise OutputExistsError(
            f"only a folder that holds {replaces} is replaced; {path} has none; name another, or move it away"
        )
    partial, old = (path.with_name(f".{secrets.token_hex(8)}.partial") for _ in range(2))
    try:
        partial.mkdir(parents=True)
        yield partial
        if occupied:
            os.replace(path, old)
        try:
            os.replace(partial, path)
        except OSError:
            if occupied:
                os.replace(old, path)
            raise
    except OSError as error:
        raise AudioFileError(
            f"the output must be writable; {path}: {error}; check the folder, its rights and the free space"
        ) from error
    finally:
        for folder in (partial, old):
            shutil.rmtree(folder, ignore_errors=True)


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
