"""Decodes pairs of files to aligned samples, and chooses a decoder for each file.

The three decoders soundfile, tensorflow-io and FFmpeg give the same samples: bit for bit for lossless files, within a
few 1e-6 for MP3 and Vorbis. Each call decodes a whole file, because each decoder lands on a different sample when it
seeks inside a lossy file.
"""

import functools
import os
import struct
from pathlib import Path

import numpy as np
import soundfile

from ..annotations import StrPath
from ..codecs.align import MISSING_ALLOWED
from ..codecs.round_trip import fit_length
from ..errors import AudioFileError, UsageError
from ..files import audio_files, headers
from ..files.encoder_gain import encoder_gain
from ..files.libsndfile import read_open_sound
from ..shelf.manifests import Pair
from ..sound.layouts import USUAL
from ..sound.mid_side import Pairs, layout_pairs, to_mid_side

# soundfile is the default even where tensorflow-io runs (TensorFlow 2.16 and 2.17), because it needs a sixth of the
# processor time: 27 instead of 163 us for a pair of 2,000 samples in FLAC and MP3. On two idle cores tensorflow-io
# reaches only 11,000 pairs a second, which is no margin over the goal of 10,000.
DECODERS = ("soundfile", "tensorflow-io", "ffmpeg")

# Formats that libsndfile decodes at full precision. Opus is left to FFmpeg, because libsndfile decodes it only at 48
# kHz.
_SOUNDFILE_FORMATS = ("FLAC", "WAV", "WAVEX", "AIFF", "MP3", "OGG")
# tensorflow-io's operation and dtype for libsndfile's format and subtype. Samples of 24 bits are left-justified in 32.
# Other widths are left out, because tensorflow-io reads 32-bit integers as if they were floats.
_TENSORFLOW_IO = {
    ("FLAC", "PCM_16"): ("decode_flac", "int16"),
    ("FLAC", "PCM_24"): ("decode_flac", "int32"),
    ("WAV", "PCM_16"): ("decode_wav", "int16"),
    ("WAV", "PCM_24"): ("decode_wav", "int32"),
    ("MP3", "MPEG_LAYER_III"): ("decode_mp3", None),
}


@functools.cache
def tensorflow_io_runs() -> bool:
    """Returns whether tensorflow-io's native operations run with the installed TensorFlow.

    It runs one operation, on a WAV file of one sample. A successful import is no proof: on TensorFlow 2.18 and later
    the import succeeds, and the first operation raises NotImplementedError.
    """
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 38, b"WAVE", b"fmt ", 16, 1, 1, 44100, 88200, 2, 16, b"data", 2)
    try:
        import tensorflow as tf
        import tensorflow_io as tfio

        tfio.audio.decode_wav(tf.constant(header + b"\0\0"), dtype=tf.int16)
    # Any error, such as a missing package, a wrong ABI or a missing kernel, means that the operations do not run.
    except Exception:
        return False
    return True


def choose_decoder(decoder: str | None) -> str:
    """Checks and returns the name of a decoder.

    Args:
        decoder: one of `DECODERS`; `None` for the default, soundfile.

    Raises:
        UsageError: the name is unknown, or it is tensorflow-io and its operations do not run.
    """
    if decoder is None:
        return DECODERS[0]
    if decoder not in DECODERS:
        raise UsageError(
            f"decoder must be one of {', '.join(DECODERS)}; received {decoder!r}; leave it out for the default"
        )
    if decoder == "tensorflow-io" and not tensorflow_io_runs():
        raise UsageError(
            "decoder 'tensorflow-io' needs tensorflow-io's native operations; they do not run here"
            " (they need TensorFlow 2.16 or 2.17); use 'soundfile'"
        )
    return decoder


def _decode_with_tensorflow_io(path: Path, operation: str, dtype: str | None) -> np.ndarray:
    import tensorflow as tf
    import tensorflow_io as tfio

    decode = getattr(tfio.audio, operation)
    try:
        data = tf.io.read_file(os.fsencode(path))
        if dtype is None:  # MP3 is decoded to floats.
            return decode(data).numpy()
        audio = decode(data, dtype=tf.as_dtype(dtype)).numpy()
    except tf.errors.OpError as error:
        # No other decoder is tried, because soundfile would return the intact part of a damaged file.
        raise AudioFileError(
            f"a whole audio file is needed; {path}: tensorflow-io: {error.message.splitlines()[0]}; encode it again"
        ) from error
    return audio.astype("float32") * np.float32(2.0 ** (1 - 8 * audio.itemsize))


def decode(path: StrPath, sample_rate: int, decoder: str = "soundfile") -> np.ndarray:
    """Decodes a whole file.

    Args:
        path: any file that FFmpeg reads.
        sample_rate: Hz; a file with another sample rate is decoded and resampled by FFmpeg.
        decoder: one of `DECODERS`. A format that it does not read is decoded by soundfile or FFmpeg instead.

    Returns:
        Array `(time, channels)` float32, full scale at [-1, 1].

    Raises:
        AudioFileError: the file is missing or damaged.
    """
    path = Path(path)
    if decoder != "ffmpeg":
        try:
            # libsndfile receives a file descriptor. It cannot open a path that is not UTF-8, and with a Python file
            # object it would call back into Python, under the global lock, for every few kilobytes.
            with open(path, "rb") as file, soundfile.SoundFile(file.fileno(), closefd=False) as sound:
                if sound.samplerate == sample_rate:
                    native = _TENSORFLOW_IO.get((sound.format, sound.subtype))
                    if decoder == "tensorflow-io" and native:
                        return _decode_with_tensorflow_io(path, *native)
                    if sound.format in _SOUNDFILE_FORMATS and sound.subtype != "OPUS":
                        return read_open_sound(sound, os.fstat(file.fileno()).st_size)
        except soundfile.LibsndfileError:
            pass  # The format is unknown to libsndfile or the file is damaged. FFmpeg reads it or reports the fault.
        except OSError as error:
            raise AudioFileError(
                f"the files of a manifest must be readable; {path}: {error.strerror}; restore the file"
            ) from error
    return audio_files.read(path, sample_rate)[0]


def decode_pair(
    pair: Pair, folder: StrPath, decoder: str = "soundfile", undo_encoder_gain: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Decodes both files of a pair, aligned to the sample.

    Args:
        pair: a line of a pair manifest.
        folder: the manifest's folder.
        decoder: one of `DECODERS`. The lossy file is decoded with FFmpeg unless `pair.decoder` is `"any"`.
        undo_encoder_gain: whether to undo the gain that the encoder applied to the lossy file
            (`files.encoder_gain.encoder_gain`).

    Returns:
        `(lossless, lossy)`, each an array `(pair.length, pair.channels)` float32.

    Raises:
        AudioFileError: a file is missing or damaged, or its length or channels differ from the manifest's.
    """
    path = Path(folder) / pair.lossless
    lossless = decode(path, pair.sample_rate, decoder)
    expected = (pair.length, pair.channels)
    if lossless.shape != expected:
        raise AudioFileError(
            f"a lossless file must have the length and channels in its manifest, {expected}; {path} has"
            f" {lossless.shape}; rip it again"
        )
    return lossless, decode_twin(pair, folder, decoder, undo_encoder_gain)


def left_right_pairs(pair: Pair, folder: StrPath) -> Pairs:
    """Returns the indices of left and right channels in a pair's lossy file, as `restore` finds them for that file."""
    # The layout of one or two channels is known without reading the file's header.
    layout = "" if pair.channels in USUAL else headers.probe(Path(folder) / pair.lossy).channel_layout
    return layout_pairs(pair.channels, layout)


def decode_mid_side(
    pair: Pair, folder: StrPath, decoder: str = "soundfile", undo_encoder_gain: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Decodes both files of a pair into the signals that a network restores.

    Kim, Ryu and Jeong (2023) train on the left and the right channel. This package uses mid and side instead
    (`sound.mid_side`), for surround sound in the same pairs as `restore`. Every runtime restores mid and side, so a
    network must be trained on them. Encoders with joint stereo also code mid and side where this is cheaper, and the
    damage that they do to the side cannot be seen in the left and right channels. Mono, and channels that belong to no
    pair, are returned unchanged.

    Args:
        pair, folder, decoder, undo_encoder_gain: as for `decode_pair`.

    Returns:
        `(lossless, lossy)`, each an array `(pair.channels, pair.length)` float32. Mid is in the row of each left
        channel and side in the row of each right channel.

    Raises:
        AudioFileError: as for `decode_pair`.
    """
    both = decode_pair(pair, folder, decoder, undo_encoder_gain)
    places = left_right_pairs(pair, folder)
    # The channels become rows first, so that sums read memory in order.
    lossless, lossy = (to_mid_side(np.ascontiguousarray(audio.T).T, places).T for audio in both)
    return lossless, lossy


def decode_twin(pair: Pair, folder: StrPath, decoder: str = "soundfile", undo_encoder_gain: bool = False) -> np.ndarray:
    """Decodes the lossy file of a pair, aligned as by `decode_pair`, which has the same arguments.

    Returns:
        Array `(pair.length, pair.channels)` float32. The first `pair.delay` samples of the file are dropped, and the
        rest is cut, or padded with at most `codecs.align.MISSING_ALLOWED` zeros, to the length of the pair.

    Raises:
        AudioFileError: the file is missing or damaged, or its length or channels differ from the manifest's.
    """
    path = Path(folder) / pair.lossy
    lossy = decode(path, pair.sample_rate, decoder if pair.decoder == "any" else "ffmpeg")
    if lossy.shape[1] != pair.channels:
        raise AudioFileError(
            f"a lossy file must have the {pair.channels} channels of its source; {path} has {lossy.shape[1]};"
            " encode it again"
        )
    present = len(lossy) - pair.delay
    if pair.length - present > MISSING_ALLOWED:
        raise AudioFileError(
            f"a lossy file must be as long as its source; {path} has {present} of {pair.length} samples, so it may be"
            " truncated; encode it again"
        )
    if undo_encoder_gain:
        lossy = lossy / np.float32(encoder_gain(path))
    return fit_length(lossy, pair.delay, pair.length)
