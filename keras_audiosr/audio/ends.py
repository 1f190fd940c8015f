"""Where played music comes from and goes to: files and pipes alike, block by block."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from ..errors import OutputExistsError, UsageError
from . import files, pcm_stream
from .sound import sound_blocks
from .writers import Writer, open_writer

_FILE_SUFFIXES = (".wav", ".flac", ".aiff", ".aif")
_BITS = {"s16le": 16, "s24le": 24}


@contextlib.contextmanager
def open_source(source, raw: str | None, block_length: int) -> Iterator[tuple[int, int, Iterator[np.ndarray]]]:
    """Opens music.

    Args:
        source: a file, or a binary pipe with WAV or bare samples.
        raw: what the bare samples are, such as `"s16le:44100:2"`; `None` for a file and for WAV.
        block_length: samples a block.

    Yields:
        Hz, number of channels, and an iterator of blocks `(time, channels)` float32, the last one shorter.

    Raises:
        AudioFileError: it cannot be read.
        UsageError: `raw` with a file; a file that needs FFmpeg where there is none.
    """
    if hasattr(source, "read"):
        described, size = (pcm_stream.parse_format(raw), None) if raw else pcm_stream.read_wav_header(source)
        blocks = pcm_stream.read_samples(source, described, block_length, size)
        yield described.sample_rate, described.channels, blocks
        return
    if raw:
        raise UsageError(f"raw samples come through a pipe; received the file {source}; give it to - with <")
    path = files.require_file(source)
    with contextlib.ExitStack() as stack:
        # Through a file object: libsndfile cannot open a path that is not UTF-8.
        file = stack.enter_context(open(path, "rb"))
        try:
            sound = stack.enter_context(soundfile.SoundFile(file))
        except soundfile.LibsndfileError:
            info = files.probe(path)
            yield info.sample_rate, info.channels, files.read_blocks(path, info, block_length)
        else:
            yield sound.samplerate, sound.channels, sound_blocks(sound, block_length)


@contextlib.contextmanager
def open_sink(
    out, sample_rate: int, channels: int, pipe_format: str, overwrite: bool
) -> Iterator[Callable[[np.ndarray], None]]:
    """Opens a place for music.

    Args:
        out: a `.wav`, `.flac` or `.aiff` file, which takes its name when it is whole, or a binary pipe.
        sample_rate: Hz.
        channels: number of audio channels.
        pipe_format: `"wav"` (16 bits, its length left open), `"s16le"`, `"s24le"` or `"f32le"`.
        overwrite: whether a file may be replaced.

    Yields:
        A function that writes a block `(time, channels)` float32; what lies beyond full scale is clamped.

    Raises:
        OutputExistsError: the file is there and `overwrite` is false.
        UsageError: a file of another kind.
        AudioFileError: the file cannot be written.
    """
    if hasattr(out, "write"):
        described = pcm_stream.PcmFormat("s16le" if pipe_format == "wav" else pipe_format, sample_rate, channels)
        if pipe_format == "wav":
            out.write(pcm_stream.wav_header(described))

        def sink(block: np.ndarray) -> None:
            out.write(pcm_stream.to_bytes(block, described.name))
            out.flush()  # who listens shall not wait for a full buffer

        yield Writer(sink, _BITS.get(described.name)).write
        return
    target = Path(out)
    if target.suffix.lower() not in _FILE_SUFFIXES:
        raise UsageError(f"an output file is one of {', '.join(_FILE_SUFFIXES)}; received {target}; name it so")
    if os.path.lexists(target) and not overwrite:
        raise OutputExistsError(
            f"an output is not replaced unasked; {target} is there; add --overwrite or name another"
        )
    info = files.AudioInfo("pcm", "", sample_rate, channels, 0.0, 0)
    with files.atomic_output(target) as partial, open_writer(partial, info, None) as writer:
        yield writer.write
