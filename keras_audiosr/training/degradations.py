"""Degradations as they occur in practice: lossy encoding, low sample rates, repeated encoding, wrong gain, rounding.

Arrays have the shape `(time, 2)` and a sample rate of 44.1 kHz. FFmpeg encodes and decodes. Its temporary files lie in
a folder that should be in memory.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from ..codecs.round_trip import fit_length
from ..codecs.spec import KNOWN_CODECS, CodecSpec
from ..errors import AudioFileError
from ..files.encoder_gain import encoder_gain
from ..processes.ffmpeg import INPUT_LIMITS, find_binary, last_line, run_limited
from ..sound.mid_side import channel_pairs, to_mid_side
from .collection import RATE
from .variations import Variations

# Probabilities of three groups of codecs: the usual MP3 bitrates up to 128 kbit/s, other bitrates and modes of MP3, and
# other codecs. All codecs of a group are equally probable.
CODECS: tuple[tuple[float, tuple[str, ...]], ...] = (
    (0.6, ("mp3@24k", "mp3@32k", "mp3@48k", "mp3@64k", "mp3@96k", "mp3@128k")),
    (
        0.2,
        (
            *("mp3@160k", "mp3@192k", "mp3@192k-stereo", "mp3@256k", "mp3@320k", "mp3@V6", "mp3@V2"),
            *("mp3@48k-stereo", "mp3@64k-stereo", "mp3@96k-stereo", "mp3@128k-stereo"),
        ),
    ),
    (
        0.2,
        (
            *("aac@48k", "aac@64k", "aac@96k", "aac@160k", "vorbis@64k", "vorbis@96k", "vorbis@160k"),
            *("opus@32k", "opus@48k", "opus@64k", "opus@96k"),
        ),
    ),
)
# Probabilities of the degradations that are not a single pass through a codec of `CODECS`.
_LOW_CUTOFF, _LOW_RATE, _TWICE = 0.08, 0.06, 0.08
# Very low bitrates at the full sample rate, and the range of the encoder's cutoff in Hz.
_THRIFTY = ("mp3@32k", "mp3@40k", "mp3@48k", "aac@24k", "aac@32k", "aac@40k")
_THRIFTY_CUTOFFS = (4000.0, 8000.0)
# Sample rates in Hz of sources that are upsampled to 44.1 kHz, and the codecs they pass before (`None`: no codec).
_LOW_RATES = (11025, 16000, 22050, 24000)
_LOW_CODECS = (None, None, "mp3@24k", "mp3@32k", "mp3@48k", "mp3@64k", "vorbis@64k")
# First and second codec of music that is encoded twice.
_FIRST = ("mp3@64k", "mp3@96k", "mp3@128k", "mp3@128k-stereo", "mp3@192k", "mp3@V2", "aac@96k", "vorbis@96k")
_SECOND = ("mp3@48k", "mp3@64k", "mp3@96k", "mp3@128k", "mp3@192k", "aac@96k")
# Probability that the encoder's gain is undone although there was none, or kept although there was one; and the factor
# that LAME applies at low bitrates.
_WRONG_GAIN, _GAIN = 0.1, 0.95
# Probability that the lossy side is rounded to 16 bits, as most players and converters do.
_ROUNDED = 0.3
# Samples that are cut off at each end of a piece, because encoders treat the ends differently from the rest.
_ENDS = 4608
# Lowest bitrate in kbit/s and lowest sample rate in Hz of MPEG-1 Layer III.
_MPEG1_LOWEST, _MPEG1_RATE = 32, 32000


def _ffmpeg(*arguments: str, stdin: bytes | None = None) -> bytes:
    """Runs FFmpeg and returns what it writes to standard output.

    Raises:
        AudioFileError: FFmpeg failed.
    """
    command = [find_binary("ffmpeg"), "-hide_banner", "-v", "error", *arguments]
    done = run_limited(command, input=stdin, capture_output=True)
    if done.returncode:
        raise AudioFileError(f"FFmpeg must encode and decode what it made; {last_line(done.stderr)}")
    return done.stdout


def _encode(pcm: np.ndarray, rate: int, spec: CodecSpec, path: Path, cutoff: float | None) -> None:
    known = KNOWN_CODECS[spec.codec]
    options = [part.format(bitrate=spec.bitrate) for part in known.constant]
    options += ["-q:a", f"{spec.value:g}"] if spec.vbr else ["-b:a", f"{spec.bitrate}k"]
    if not spec.joint:
        options += ["-joint_stereo", "0"]
    if cutoff is not None:
        options += ["-cutoff", f"{cutoff:.0f}"]
    if spec.codec == "mp3" and not spec.vbr and spec.bitrate < _MPEG1_LOWEST and rate >= _MPEG1_RATE:
        options += ["-ar", str(rate // 2)]
    source = ("-f", "s16le", "-ar", str(rate), "-ac", "2", "-i", "pipe:0")
    _ffmpeg("-y", *source, "-c:a", known.encoder, *options, "-f", known.container, str(path), stdin=pcm.tobytes())


def round_trip(
    pcm: np.ndarray, codec: str, folder: Path, *, rate: int = RATE, cutoff: float | None = None
) -> tuple[np.ndarray, float]:
    """Encodes and decodes music, and aligns the result with the input.

    Args:
        pcm: int16 `(time, 2)`.
        codec: a codec such as `"mp3@64k"`.
        folder: folder for the encoded file.
        rate: sample rate of `pcm` in Hz.
        cutoff: frequency in Hz above which the encoder removes everything; the encoder's own choice when `None`.

    Returns:
        Float32 `(time, 2)` at `rate`, and the factor by which the encoder changed the level, as read from its file.
    """
    spec = CodecSpec.parse(codec)
    twin = folder / f"twin.{spec.suffix}"
    _encode(pcm, rate, spec, twin, cutoff)
    # The files of these encoders state their padding, so the decoder removes it and leaves no lag (tests check this).
    raw = _ffmpeg("-nostdin", *INPUT_LIMITS, "-i", str(twin), "-ar", str(rate), "-f", "f32le", "-")
    return fit_length(np.frombuffer(raw, "<f4").reshape(-1, 2), 0, len(pcm)), encoder_gain(twin)


def _to_pcm(audio: np.ndarray) -> np.ndarray:
    """Rounds and clips samples to 16 bits."""
    return np.rint(np.clip(audio * 32768.0, -32768.0, 32767.0)).astype(np.int16)


def _choice(values: Sequence[Any], rng: np.random.Generator) -> Any:
    return values[int(rng.integers(len(values)))]


def _plain_codec(rng: np.random.Generator) -> str:
    chances = [chance for chance, _ in CODECS]
    return _choice(CODECS[int(rng.choice(len(CODECS), p=chances))][1], rng)


def _of_low_rate(pcm: np.ndarray, rng: np.random.Generator, folder: Path) -> tuple[np.ndarray, float, str]:
    """Resamples music to a low sample rate, encodes it there in most cases, and upsamples it to 44.1 kHz."""
    rate = _choice(_LOW_RATES, rng)
    low = _to_pcm(soxr.resample(pcm.astype(np.float32) / 32768.0, RATE, rate, "HQ"))
    codec = _choice(_LOW_CODECS, rng)
    if codec is None:
        audio, gain = low.astype(np.float32) / 32768.0, 1.0
    else:
        audio, gain = round_trip(low, codec, folder, rate=rate)
    audio = soxr.resample(audio, rate, RATE, "HQ").astype(np.float32)
    return fit_length(audio, 0, len(pcm)), gain, f"{codec or 'pcm'} at {rate} Hz"


def degrade(pcm: np.ndarray, rng: np.random.Generator, folder: Path) -> tuple[np.ndarray, str]:
    """Degrades music in a random way that occurs in practice.

    Args:
        pcm: lossless side, int16 `(time, 2)` at 44.1 kHz.
        rng: random generator that decides on the degradation.
        folder: folder for temporary files, preferably in memory.

    Returns:
        The lossy side, float32 `(time, 2)`, aligned with `pcm`, and a description of the degradation.
    """
    way = rng.random()
    if way < _LOW_CUTOFF:
        codec, cutoff = _choice(_THRIFTY, rng), float(rng.uniform(*_THRIFTY_CUTOFFS))
        lossy, gain = round_trip(pcm, codec, folder, cutoff=cutoff)
        done = f"{codec} up to {cutoff:.0f} Hz"
    elif way < _LOW_CUTOFF + _LOW_RATE:
        lossy, gain, done = _of_low_rate(pcm, rng, folder)
    elif way < _LOW_CUTOFF + _LOW_RATE + _TWICE:
        first, codec = _choice(_FIRST, rng), _choice(_SECOND, rng)
        before, _ = round_trip(pcm, first, folder)
        lossy, gain = round_trip(_to_pcm(before), codec, folder)
        done = f"{codec} of {first}"
    else:
        done = _plain_codec(rng)
        lossy, gain = round_trip(pcm, done, folder)
    if rng.random() < _WRONG_GAIN:
        wrong = 1.0 if gain < 1.0 else _GAIN
        done += f", gain {wrong:g} for {gain:g}"
        gain = wrong
    lossy = lossy / np.float32(gain)
    if rng.random() < _ROUNDED:
        lossy = _to_pcm(lossy).astype(np.float32) / 32768.0
        done += ", 16 bits"
    return lossy, done


@dataclasses.dataclass(frozen=True)
class Windows:
    """Single-channel windows of pairs.

    Attributes:
        lossy, lossless: `(count, length)`, float32.
        cutoffs: `(count,)`, float32: frequency in Hz up to which the lossless side is a valid training target; 22,050
            where all of it is.
    """

    lossy: np.ndarray
    lossless: np.ndarray
    cutoffs: np.ndarray


def cut(
    lossy: np.ndarray, pcm: np.ndarray, cutoff: float, *, length: int, min_level: float | None = -60.0, offset: int = 0
) -> Windows:
    """Cuts a pair into consecutive windows of mid and side (`sound.mid_side`).

    Args:
        lossy: lossy side, float32 `(time, 2)`.
        pcm: lossless side, int16 `(time, 2)`.
        cutoff: frequency in Hz up to which the lossless side is a valid training target.
        length: samples in a window.
        min_level: lowest RMS of a lossless window, in dB relative to full scale. Quieter windows, such as the side of
            mono music, are left out. `None` keeps all.
        offset: samples to leave out before the first window, besides those that are always left out at both ends.
    """
    stereo = (lossy, pcm.astype(np.float32) / np.float32(32768.0))
    sides = [to_mid_side(audio, channel_pairs(2)) for audio in stereo]
    count = max(0, (len(pcm) - 2 * _ENDS - offset) // length)
    whole = slice(_ENDS + offset, _ENDS + offset + count * length)
    # The mid and the side of one window follow each other.
    lossy, lossless = (
        np.ascontiguousarray(side[whole].reshape(count, length, 2).transpose(0, 2, 1)).reshape(-1, length)
        for side in sides
    )
    lowest = 0.0 if min_level is None else 10.0 ** (min_level / 10.0)
    loud = np.mean(np.square(lossless), axis=1) >= lowest
    return Windows(lossy[loud], lossless[loud], np.full(int(loud.sum()), cutoff, np.float32))


@dataclasses.dataclass(frozen=True)
class ExampleMaker:
    """Makes training windows: draws varied music, degrades it, and cuts it.

    Attributes:
        variations: draws the music.
        length: samples in a window.
        min_level: lowest RMS of a lossless window, in dB relative to full scale; `None` keeps all.
    """

    variations: Variations
    length: int
    min_level: float | None = -60.0

    def __call__(self, rng: np.random.Generator, folder: Path) -> list[tuple[np.ndarray, np.ndarray, float]]:
        """Returns windows `(lossy, lossless, cutoff)` of one excerpt, in random order.

        Args:
            rng: random generator for all decisions.
            folder: folder for temporary files, preferably in memory.
        """
        pcm, cutoff = self.variations(rng)
        lossy, _ = degrade(pcm, rng, folder)
        offset = int(rng.integers(self.length))
        found = cut(lossy, pcm, cutoff, length=self.length, min_level=self.min_level, offset=offset)
        order = rng.permutation(len(found.cutoffs))
        return [(found.lossy[at], found.lossless[at], float(found.cutoffs[at])) for at in order]
