"""Reads and writes audio files, whole or block by block."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ..annotations import StrPath
from ..errors import AudioFileError
from ..processes.ffmpeg import INPUT_LIMITS, find_binary, input_argument, last_line, start_limited
from ..processes.partial_files import atomic_output
from ..sound.layouts import TURNED, remixless
from .formats import LOSSLESS_SUFFIXES
from .headers import AudioInfo, probe, require_file
from .libsndfile import read_sound
from .waves import for_ffmpeg, open_wave

# What all versions of FFmpeg log about bytes that they cannot decode and skip (the second one in Matroska), and how
# many bytes of the log are searched.
_DAMAGE = ("Invalid data found when processing input", "exceeds containing master element")
_LOG = 1 << 16


def read_blocks(
    path: StrPath,
    info: AudioInfo,
    block_length: int,
    sample_rate: int | None = None,
    complaints: list[str] | None = None,
    sample_type: str = "f4",
) -> Iterator[np.ndarray]:
    """Decodes a file with FFmpeg, front to back, in constant memory.

    Args:
        path: any file that FFmpeg reads.
        info: what `probe(path)` returned.
        block_length: samples per channel in a block; the last one may be shorter.
        sample_rate: Hz to resample to; the file's own when `None`.
        complaints: list to which FFmpeg's messages about skipped data are added after the last block.
        sample_type: `"f4"` for float32, `"i4"` for int32.

    Yields:
        Arrays `(time, channels)`.

    Raises:
        AudioFileError: FFmpeg stops with an error (the message is FFmpeg's), or there are no samples.
    """
    with for_ffmpeg(Path(path)) as readable:
        yield from _decoded(readable, path, info, block_length, sample_rate, complaints, sample_type)


def _decoded(
    readable: Path,
    path: StrPath,
    info: AudioInfo,
    block_length: int,
    sample_rate: int | None,
    complaints: list[str] | None,
    sample_type: str,
) -> Iterator[np.ndarray]:
    command = [info.ffmpeg or find_binary("ffmpeg"), "-nostdin", "-hide_banner", "-v", "error", *INPUT_LIMITS]
    command += ["-i", input_argument(readable), "-map", f"0:a:{info.track}"]
    layout = info.channel_layout
    if layout == TURNED:
        # A plain conversion would lower mono by 3 dB. Speakers that a frame does not have contribute nothing.
        command += ["-af", "pan=stereo|FL=FL+FC|FR=FR+FC"]
        layout = "stereo"
    encoding = {"f4": "f32le", "i4": "s32le"}[sample_type]
    command += ["-f", encoding, "-c:a", f"pcm_{encoding}"]
    command += [*remixless(info.channels, layout), "-ar", str(sample_rate or info.sample_rate), "pipe:1"]
    frame_bytes = 4 * info.channels
    decoded = 0
    # stderr goes to a file rather than a pipe: a damaged file can cause more messages than a pipe holds, and nobody
    # reads them until all samples are decoded.
    with tempfile.TemporaryFile() as log:
        # A large pipe (Linux; ignored elsewhere), so that FFmpeg keeps decoding while a block is processed.
        process = start_limited(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, pipesize=1 << 20)
        assert process.stdout is not None  # for the type checker
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
                raise AudioFileError(f"music is needed; {path} holds no samples; check that it is the right file")
            reason = last_line(said, readable) if code >= 0 else f"FFmpeg died of signal {-code}"
            raise AudioFileError(
                f"a file that FFmpeg can decode is needed; {path}: {reason}; check that it is whole and not protected"
            )
        if complaints is not None:
            log.seek(0)
            lines = log.read(_LOG).decode("utf-8", "replace").splitlines()
            complaints += [line.strip() for line in lines if any(damage in line for damage in _DAMAGE)]


def read(path: StrPath, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Decodes a whole file.

    Lossless formats go through libsndfile, everything else through FFmpeg.

    Args:
        path: any file that FFmpeg reads.
        sample_rate: Hz; FFmpeg resamples if the file has another rate. When `None`, the file's own rate is kept.

    Returns:
        Array `(time, channels)` float32, and the sample rate in Hz.

    Raises:
        AudioFileError: the file is missing, damaged or has no sound track.
    """
    path = require_file(path)
    if path.suffix.lower() in LOSSLESS_SUFFIXES:
        with open_wave(path) as file, contextlib.suppress(soundfile.LibsndfileError):
            audio, rate = read_sound(file)
            if len(audio) and sample_rate in (None, rate):
                return audio, rate
    info = probe(path)
    blocks = list(read_blocks(path, info, 1 << 20, sample_rate))
    return np.concatenate(blocks), sample_rate or info.sample_rate


def write(path: StrPath, audio: np.ndarray, sample_rate: int, subtype: str | None = None) -> None:
    """Writes a whole file atomically.

    Args:
        path: output path; its suffix chooses the format (libsndfile's).
        audio: array `(time, channels)`, floating point in [-1, 1] or integer PCM.
        sample_rate: Hz.
        subtype: libsndfile's name of the sample format, such as `"PCM_24"`; the format's default when `None`.
    """
    with atomic_output(path) as partial:
        soundfile.write(partial, audio, sample_rate, subtype=subtype)
