"""Opens the source and the destination of `play`, which are files or pipes, and reads and writes them in blocks."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ..errors import OutputExistsError, UsageError
from ..processes.partial_files import atomic_output
from ..sound.layouts import USUAL
from . import audio_files, headers, pcm_stream
from .formats import LOSSLESS_SUFFIXES, held_layout, layout_tags
from .libsndfile import ends_as_declared, sound_blocks
from .scan_mpeg import turns_to_stereo
from .waves import open_wave
from .writers import Writer, open_writer

_BITS = {"s16le": 16, "s24le": 24}


@contextlib.contextmanager
def open_source(
    source: Any, raw: str | None, block_length: int
) -> Iterator[tuple[headers.AudioInfo, Iterator[np.ndarray]]]:
    """Opens music for reading.

    Args:
        source: path of a file, or a binary pipe that carries WAV or raw samples.
        raw: format of raw samples, such as `"s16le:44100:2"`; `None` for a file and for WAV.
        block_length: samples per channel in a block.

    Yields:
        The format of the music, and an iterator over blocks `(time, channels)` float32. The last block may be shorter.

    Raises:
        AudioFileError: the music cannot be read.
        UsageError: `raw` is given with a file; or the file needs FFmpeg, as all files with more than two channels do,
            and FFmpeg is not installed.
    """
    if hasattr(source, "read"):
        described, size = (pcm_stream.parse_format(raw), None) if raw else pcm_stream.read_wav_header(source)
        blocks = pcm_stream.read_samples(source, described, block_length, size)
        yield _described(described.sample_rate, described.channels, described.channel_layout), blocks
        return
    if raw:
        raise UsageError(f"--raw needs a pipe; received the file {source}; use - as the input and redirect it with <")
    path = headers.require_file(source)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open_wave(path))
        try:
            sound = stack.enter_context(soundfile.SoundFile(file))
        except soundfile.LibsndfileError:
            sound = None
        # libsndfile does not report the channel layout, and keeps the channel order of Vorbis.
        turning = sound is not None and sound.format == "MP3" and sound.channels == 1 and turns_to_stereo(path)
        if sound is None or sound.channels not in USUAL or turning or not ends_as_declared(sound):
            info = headers.probe(path)
            yield info, audio_files.read_blocks(path, info, block_length)
        else:
            yield _described(sound.samplerate, sound.channels), sound_blocks(sound, block_length)


def _described(sample_rate: int, channels: int, layout: str = "") -> headers.AudioInfo:
    return headers.AudioInfo("pcm", "", sample_rate, channels, 0.0, 0, layout or USUAL.get(channels, ""))


@contextlib.contextmanager
def open_sink(
    out: Any, info: headers.AudioInfo, pipe_format: str, overwrite: bool
) -> Iterator[Callable[[np.ndarray], None]]:
    """Opens a file or a pipe for writing music.

    Args:
        out: path of a `.wav`, `.flac` or `.aiff` file, which gets its name only when it is complete, or a binary pipe.
        info: sample rate, channels and layout of the music.
        pipe_format: format of the music in a pipe: `"wav"` (16 bits, without a length), `"s16le"`, `"s24le"` or
            `"f32le"`. It is not used for a file.
        overwrite: whether a file may be replaced.

    Yields:
        A function that writes a block `(time, channels)` float32. Samples beyond full scale are clamped.

    Raises:
        OutputExistsError: the file exists and `overwrite` is false.
        UsageError: the file has another suffix.
        AudioFileError: the file cannot be written.
    """
    if hasattr(out, "write"):
        described = pcm_stream.PcmFormat(
            "s16le" if pipe_format == "wav" else pipe_format, info.sample_rate, info.channels, info.channel_layout
        )
        if pipe_format == "wav":
            out.write(pcm_stream.wav_header(described))

        def sink(block: np.ndarray) -> None:
            out.write(pcm_stream.to_bytes(block, described.name))
            out.flush()  # The listener must not wait until the buffer is full.

        yield Writer(sink, _BITS.get(described.name)).write
        return
    target = Path(out)
    if target.suffix.lower() not in LOSSLESS_SUFFIXES:
        raise UsageError(
            f"an output file must end in one of {', '.join(LOSSLESS_SUFFIXES)}; received {target}; change its suffix"
        )
    if os.path.lexists(target) and not overwrite:
        raise OutputExistsError(
            f"an output is not replaced unless asked; {target} exists; add --overwrite or choose another name"
        )
    held, _ = held_layout(target.suffix, info.channels, info.channel_layout)
    with atomic_output(target) as partial:
        with open_writer(partial, info, None, target=target) as writer:
            yield writer.write
        tags = layout_tags(target.suffix, info.channels, held)
        if tags:
            from .tags import write_tags  # This imports mutagen, which is not needed for mono and stereo.

            write_tags(partial, tags)
