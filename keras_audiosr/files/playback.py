"""Where played music comes from and goes to: files and pipes alike, block by block."""

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
    """Opens music.

    Args:
        source: a file, or a binary pipe with WAV or bare samples.
        raw: what the bare samples are, such as `"s16le:44100:2"`; `None` for a file and for WAV.
        block_length: samples a block.

    Yields:
        What the music is, and an iterator of blocks `(time, channels)` float32, the last one shorter.

    Raises:
        AudioFileError: it cannot be read.
        UsageError: `raw` with a file; a file that needs FFmpeg, as all do that have over two channels, where there is
            none.
    """
    if hasattr(source, "read"):
        described, size = (pcm_stream.parse_format(raw), None) if raw else pcm_stream.read_wav_header(source)
        blocks = pcm_stream.read_samples(source, described, block_length, size)
        yield _described(described.sample_rate, described.channels, described.channel_layout), blocks
        return
    if raw:
        raise UsageError(f"raw samples are read from a pipe; received the file {source}; use - and redirect it with <")
    path = headers.require_file(source)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open_wave(path))
        try:
            sound = stack.enter_context(soundfile.SoundFile(file))
        except soundfile.LibsndfileError:
            sound = None
        # libsndfile does not tell which channel is which, and leaves Vorbis' in an order of its own.
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
    """Opens a place for music.

    Args:
        out: a `.wav`, `.flac` or `.aiff` file, which takes its name when it is whole, or a binary pipe.
        info: sample rate, channels and layout of the music.
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
        described = pcm_stream.PcmFormat(
            "s16le" if pipe_format == "wav" else pipe_format, info.sample_rate, info.channels, info.channel_layout
        )
        if pipe_format == "wav":
            out.write(pcm_stream.wav_header(described))

        def sink(block: np.ndarray) -> None:
            out.write(pcm_stream.to_bytes(block, described.name))
            out.flush()  # who listens shall not wait for a full buffer

        yield Writer(sink, _BITS.get(described.name)).write
        return
    target = Path(out)
    if target.suffix.lower() not in LOSSLESS_SUFFIXES:
        raise UsageError(f"an output file is one of {', '.join(LOSSLESS_SUFFIXES)}; received {target}; name it so")
    if os.path.lexists(target) and not overwrite:
        raise OutputExistsError(
            f"an output is not replaced unless asked; {target} is there; add --overwrite or name another"
        )
    held, _ = held_layout(target.suffix, info.channels, info.channel_layout)
    with atomic_output(target) as partial:
        with open_writer(partial, info, None) as writer:
            yield writer.write
        tags = layout_tags(target.suffix, info.channels, held)
        if tags:
            from .tags import write_tags  # mutagen, which a player of stereo does without

            write_tags(partial, tags)
