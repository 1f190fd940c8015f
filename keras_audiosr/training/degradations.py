"""Degradations that files have in practice: lossy encoding, low rates, second encodings, wrong gains, rounding.

Arrays `(time, 2)` at 44.1 kHz. FFmpeg encodes and decodes; files on the way lie in a folder that should be in memory.
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

# As tools/release.sh encodes: mostly a plain MP3; its other kinds; the other codecs.
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
# How often a piece takes another way than through one encoder of `CODECS`.
_LOW_CUTOFF, _LOW_RATE, _TWICE = 0.08, 0.06, 0.08
# Encoders that people asked for very little at full rate, and Hz above which those leave nothing.
_THRIFTY = ("mp3@32k", "mp3@40k", "mp3@48k", "aac@24k", "aac@32k", "aac@40k")
_THRIFTY_CUTOFFS = (4000.0, 8000.0)
# Hz of sources that were brought up to 44.1 kHz, and what they had been through before.
_LOW_RATES = (11025, 16000, 22050, 24000)
_LOW_CODECS = (None, None, "mp3@24k", "mp3@32k", "mp3@48k", "mp3@64k", "vorbis@64k")
# First and second encoding of a file that was encoded twice.
_FIRST = ("mp3@64k", "mp3@96k", "mp3@128k", "mp3@128k-stereo", "mp3@192k", "mp3@V2", "aac@96k", "vorbis@96k")
_SECOND = ("mp3@48k", "mp3@64k", "mp3@96k", "mp3@128k", "mp3@192k", "aac@96k")
# Share of the pieces whose gain is undone though nothing was changed, or not undone though it was; LAME's 0.95.
_WRONG_GAIN, _GAIN = 0.1, 0.95
# Share that reaches the model as 16 bits: most players and converters give no more.
_ROUNDED = 0.3
# Of a piece's ends: what the encoder does there is no example of what it does to music.
_ENDS = 4608
# MPEG-1 Layer III has no lower bitrate, and rates of 32 kHz and up.
_MPEG1_LOWEST, _MPEG1_RATE = 32, 32000


def _ffmpeg(*arguments: str, stdin: bytes | None = None) -> bytes:
    """What FFmpeg writes to its output.

    Raises:
        AudioFileError: when it fails.
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
    """What is left of music behind an encoder, aligned.

    Args:
        pcm: int16 `(time, 2)`.
        codec: as in `"mp3@64k"`.
        folder: for the file on the way.
        rate: Hz of `pcm`.
        cutoff: Hz that the encoder is told to leave nothing above; its own choice without.

    Returns:
        Float32 `(time, 2)` at `rate`, and the factor by which the encoder changed the level, as its file says.
    """
    spec = CodecSpec.parse(codec)
    twin = folder / f"twin.{spec.suffix}"
    _encode(pcm, rate, spec, twin, cutoff)
    # These encoders' files say how much of them is padding, so decoders give them without a lag (tests hold it).
    raw = _ffmpeg("-nostdin", *INPUT_LIMITS, "-i", str(twin), "-ar", str(rate), "-f", "f32le", "-")
    return fit_length(np.frombuffer(raw, "<f4").reshape(-1, 2), 0, len(pcm)), encoder_gain(twin)


def _to_pcm(audio: np.ndarray) -> np.ndarray:
    """Rounded and clipped to 16 bits."""
    return np.rint(np.clip(audio * 32768.0, -32768.0, 32767.0)).astype(np.int16)


def _choice(values: Sequence[Any], rng: np.random.Generator) -> Any:
    return values[int(rng.integers(len(values)))]


def _plain_codec(rng: np.random.Generator) -> str:
    chances = [chance for chance, _ in CODECS]
    return _choice(CODECS[int(rng.choice(len(CODECS), p=chances))][1], rng)


def _of_low_rate(pcm: np.ndarray, rng: np.random.Generator, folder: Path) -> tuple[np.ndarray, float, str]:
    """A source of a low rate brought up to 44.1 kHz, sometimes encoded at its own."""
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
    """Music as it may be found, aligned with what it was.

    Args:
        pcm: the lossless side, int16 `(time, 2)` at 44.1 kHz.
        rng: decides what happens to it.
        folder: for files on the way; one in memory.

    Returns:
        The lossy side, float32 `(time, 2)`, and what was done, in words.
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
        cutoffs: `(count,)`, float32, Hz above which the lossless side is no example; 22,050 where it all is one.
    """

    lossy: np.ndarray
    lossless: np.ndarray
    cutoffs: np.ndarray


def cut(
    lossy: np.ndarray, pcm: np.ndarray, cutoff: float, *, length: int, min_level: float | None = -60.0, offset: int = 0
) -> Windows:
    """Windows of mid and side (`sound.mid_side`), one after the other in time.

    Args:
        lossy: float32 `(time, 2)`.
        pcm: the lossless side, int16 `(time, 2)`.
        cutoff: Hz, of the lossless side.
        length: samples a window.
        min_level: dB of full scale that a window's rms must reach; the side of mono music does not. `None` keeps all.
        offset: samples to leave out before the first window.
    """
    stereo = (lossy, pcm.astype(np.float32) / np.float32(32768.0))
    sides = [to_mid_side(audio, channel_pairs(2)) for audio in stereo]
    count = max(0, (len(pcm) - 2 * _ENDS - offset) // length)
    whole = slice(_ENDS + offset, _ENDS + offset + count * length)
    # Mid and side of each window stand next to each other.
    lossy, lossless = (
        np.ascontiguousarray(side[whole].reshape(count, length, 2).transpose(0, 2, 1)).reshape(-1, length)
        for side in sides
    )
    lowest = 0.0 if min_level is None else 10.0 ** (min_level / 10.0)
    loud = np.mean(np.square(lossless), axis=1) >= lowest
    return Windows(lossy[loud], lossless[loud], np.full(int(loud.sum()), cutoff, np.float32))


@dataclasses.dataclass(frozen=True)
class ExampleMaker:
    """Makes windows of music that is varied, degraded and cut.

    Attributes:
        variations: draws the music.
        length: samples a window.
        min_level: dB of full scale that a window's rms must reach; `None` keeps all.
    """

    variations: Variations
    length: int
    min_level: float | None = -60.0

    def __call__(self, rng: np.random.Generator, folder: Path) -> list[tuple[np.ndarray, np.ndarray, float]]:
        """Windows `(lossy, lossless, cutoff)` of one excerpt, in random order.

        Args:
            rng: decides everything.
            folder: for files on the way; one in memory.
        """
        pcm, cutoff = self.variations(rng)
        lossy, _ = degrade(pcm, rng, folder)
        offset = int(rng.integers(self.length))
        found = cut(lossy, pcm, cutoff, length=self.length, min_level=self.min_level, offset=offset)
        order = rng.permutation(len(found.cutoffs))
        return [(found.lossy[at], found.lossless[at], float(found.cutoffs[at])) for at in order]
