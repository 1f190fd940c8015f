"""Decoding a pair of files to aligned samples, with the decoder that fits.

Three decoders give the same samples (lossless files bit for bit, MP3 and Vorbis
to a few 1e-6): soundfile, tensorflow-io and FFmpeg. Each call decodes a whole
file: seeking inside a lossy file lands at another sample in every decoder.
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

# soundfile is the default, also where tensorflow-io runs (TensorFlow 2.16 and 2.17): it needs a sixth of the
# processor time (27 against 163 us for a pair of 2,000 samples, FLAC and MP3). tensorflow-io would leave two
# idle cores at 11,000 pairs a second in all, no margin over the 10,000 promised.
DECODERS = ("soundfile", "tensorflow-io", "ffmpeg")

# What libsndfile gives at full precision. Opus is left to FFmpeg: libsndfile yields it at 48 kHz only.
_SOUNDFILE_FORMATS = ("FLAC", "WAV", "WAVEX", "AIFF", "MP3", "OGG")
# (format, subtype) in libsndfile's words -> tensorflow-io's operation and type. 24 bits come left-justified
# in 32. Other widths are left out: tensorflow-io reads 32-bit integers as if they were floats.
_TENSORFLOW_IO = {
    ("FLAC", "PCM_16"): ("decode_flac", "int16"),
    ("FLAC", "PCM_24"): ("decode_flac", "int32"),
    ("WAV", "PCM_16"): ("decode_wav", "int16"),
    ("WAV", "PCM_24"): ("decode_wav", "int32"),
    ("MP3", "MPEG_LAYER_III"): ("decode_mp3", None),
}


@functools.cache
def tensorflow_io_runs() -> bool:
    """Whether tensorflow-io's native operations run here.

    Importing it proves nothing: on TensorFlow 2.18 and later the import succeeds and the first
    operation raises NotImplementedError. So one operation is run, on a WAV file of one sample.
    """
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 38, b"WAVE", b"fmt ", 16, 1, 1, 44100, 88200, 2, 16, b"data", 2)
    try:
        import tensorflow as tf
        import tensorflow_io as tfio

        tfio.audio.decode_wav(tf.constant(header + b"\0\0"), dtype=tf.int16)
    # Whatever it fails with (no package, wrong ABI, no kernel), it does not run.
    except Exception:
        return False
    return True


def choose_decoder(decoder: str | None) -> str:
    """Checks a decoder's name.

    Args:
        decoder: one of `DECODERS`; `None` for the default, soundfile.

    Raises:
        UsageError: an unknown name, or tensorflow-io where its operations do not run.
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
        if dtype is None:  # MP3: floats already
            return decode(data).numpy()
        audio = decode(data, dtype=tf.as_dtype(dtype)).numpy()
    except tf.errors.OpError as error:
        # No other decoder steps in: soundfile would return the half of it that is there.
        raise AudioFileError(
            f"a whole audio file is needed; {path}: tensorflow-io: {error.message.splitlines()[0]}; encode it again"
        ) from error
    return audio.astype("float32") * np.float32(2.0 ** (1 - 8 * audio.itemsize))


def decode(path: StrPath, sample_rate: int, decoder: str = "soundfile") -> np.ndarray:
    """Decodes a whole file.

    Args:
        path: any file FFmpeg reads.
        sample_rate: Hz of the result; FFmpeg resamples when the file's own differs.
        decoder: one of `DECODERS`; a format it does not read goes to the next of tensorflow-io, soundfile, FFmpeg.

    Returns:
        Array `(time, channels)` float32.

    Raises:
        AudioFileError: the file is missing or damaged.
    """
    path = Path(path)
    if decoder != "ffmpeg":
        try:
            # A descriptor, not a path: libsndfile opens no name that is not UTF-8. Nor a Python
            # file: it would call back into Python, under the global lock, for every few kilobytes.
            with open(path, "rb") as file, soundfile.SoundFile(file.fileno(), closefd=False) as sound:
                if sound.samplerate == sample_rate:
                    native = _TENSORFLOW_IO.get((sound.format, sound.subtype))
                    if decoder == "tensorflow-io" and native:
                        return _decode_with_tensorflow_io(path, *native)
                    if sound.format in _SOUNDFILE_FORMATS and sound.subtype != "OPUS":
                        return read_open_sound(sound, os.fstat(file.fileno()).st_size)
        except soundfile.LibsndfileError:
            pass  # not a format it knows, or damaged: FFmpeg reads it or says what is wrong
        except OSError as error:
            raise AudioFileError(
                f"the files a manifest names must be readable; {path}: {error.strerror}; restore the file"
            ) from error
    return audio_files.read(path, sample_rate)[0]


def decode_pair(
    pair: Pair, folder: StrPath, decoder: str = "soundfile", undo_encoder_gain: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Decodes both files of a pair, aligned to the sample.

    Args:
        pair: a line of a pair manifest.
        folder: the manifest's folder.
        decoder: one of `DECODERS`, used where `pair.decoder` allows any.
        undo_encoder_gain: whether the gain that the lossy file's encoder gave it (`encoder_gain`) is undone.

    Returns:
        `(lossless, lossy)`, each `(pair.length, pair.channels)` float32.

    Raises:
        AudioFileError: a file is missing, damaged, or not the one the manifest was made from.
    """
    path = Path(folder) / pair.lossless
    lossless = decode(path, pair.sample_rate, decoder)
    expected = (pair.length, pair.channels)
    if lossless.shape != expected:
        raise AudioFileError(
            f"a lossless file has the length and channels of its manifest; {path} has {lossless.shape}, the manifest"
            f" says {expected}; rip it again"
        )
    return lossless, decode_twin(pair, folder, decoder, undo_encoder_gain)


def left_right_pairs(pair: Pair, folder: StrPath) -> Pairs:
    """The indices of left and right channels in the lossy file of a pair, as `restore` finds them for the same file."""
    # The layout of one or two channels is known without reading the file's header.
    layout = "" if pair.channels in USUAL else headers.probe(Path(folder) / pair.lossy).channel_layout
    return layout_pairs(pair.channels, layout)


def decode_mid_side(
    pair: Pair, folder: StrPath, decoder: str = "soundfile", undo_encoder_gain: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Decodes both files of a pair into the signals that a network restores.

    Kim, Ryu and Jeong (2023) train on the left and on the right channel. Here these are mid and side
    (`sound.mid_side`), of surround pair by pair as `restore` pairs the lossy file's channels. Every runtime restores
    mid and side, so a network must have heard them. Encoders also code mid and side wherever this is cheaper (joint
    stereo), so what a codec does to a side is not found in the left and the right channel. All other channels, and
    mono, are taken as they are.

    Args:
        pair, folder, decoder, undo_encoder_gain: as for `decode_pair`.

    Returns:
        `(lossless, lossy)`, each `(pair.channels, pair.length)` float32, C-contiguous: mid in the place of each left
        channel and side in the place of each right one.

    Raises:
        AudioFileError: as `decode_pair`.
    """
    both = decode_pair(pair, folder, decoder, undo_encoder_gain)
    places = left_right_pairs(pair, folder)
    # Channels are made rows first, so that sums read memory in order.
    lossless, lossy = (to_mid_side(np.ascontiguousarray(audio.T).T, places).T for audio in both)
    return lossless, lossy


def decode_twin(pair: Pair, folder: StrPath, decoder: str = "soundfile", undo_encoder_gain: bool = False) -> np.ndarray:
    """The lossy side of a pair, as `decode_pair` gives it.

    Returns:
        Array `(pair.length, pair.channels)` float32: the file without its first `pair.delay` samples, cut or
        padded with zeros (`codecs.align.MISSING_ALLOWED` at most) to the length.

    Raises:
        AudioFileError: the file is missing, damaged, or not the one the manifest was made from.
    """
    path = Path(folder) / pair.lossy
    lossy = decode(path, pair.sample_rate, decoder if pair.decoder == "any" else "ffmpeg")
    if lossy.shape[1] != pair.channels:
        raise AudioFileError(
            f"a lossy twin has its source's channels; {path} has {lossy.shape[1]}, not {pair.channels}; encode it again"
        )
    present = len(lossy) - pair.delay
    if pair.length - present > MISSING_ALLOWED:
        raise AudioFileError(
            f"a lossy twin is as long as its source; {path} decodes to {present} of {pair.length} samples, it may be"
            " truncated; encode it again"
        )
    if undo_encoder_gain:
        lossy = lossy / np.float32(encoder_gain(path))
    return fit_length(lossy, pair.delay, pair.length)
