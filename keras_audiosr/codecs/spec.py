"""What degrades a lossless track, as text: `"mp3@64k"`, `"lowpass@8k"`."""

import dataclasses
import re

from ..errors import UsageError

# Constant bitrates of MPEG-1 Layer III, and two of MPEG-2's below them: an MP3 has no others.
MP3_BITRATES = (16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)

# Lowest and highest bitrate in kbit/s of the other codecs, where their encoders still set up at 44.1 and
# 48 kHz (libvorbis: 32 to 192 in mono, 48 to 400 in stereo). Below 24, Opus turns to its speech coder, which
# keeps no waveform to align with.
BITRATE_RANGES = {"aac": (24, 320), "vorbis": (32, 400), "opus": (24, 256)}

# Lowest and highest frequency in kHz of the degradations that use no codec.
FREQUENCY_RANGES = {"lowpass": (1.0, 40.0), "downsample": (4.0, 96.0)}

SUFFIXES = {"mp3": "mp3", "aac": "m4a", "vorbis": "ogg", "opus": "opus", "lowpass": "flac", "downsample": "flac"}

_PATTERN = re.compile(r"\s*([a-z][a-z0-9]*)\s*@\s*(\d+(?:\.\d+)?)\s*k?\s*", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class CodecSpec:
    """One way to degrade a track.

    Attributes:
        codec: `"mp3"`, `"aac"`, `"vorbis"` or `"opus"`; or `"lowpass"`, `"downsample"`, which keep the
            samples in FLAC at the original sample rate.
        value: bitrate in kbit/s of a codec; cutoff in kHz of `lowpass`; sample rate in kHz that
            `downsample` passes through.

    Example:
        >>> spec = CodecSpec.parse("MP3@64")
        >>> str(spec), spec.suffix, spec.bitrate
        ('mp3@64k', 'mp3', 64)
    """

    codec: str
    value: float

    @classmethod
    def parse(cls, text: str) -> "CodecSpec":
        """Reads `"codec@NUMBERk"`; case, spaces and the `k` are free.

        Raises:
            UsageError: not of that form, an unknown codec, or a number the codec cannot have.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise UsageError(f"a codec is written codec@bitrate, as in 'mp3@64k'; received {text!r}; try 'mp3@64k'")
        codec, value = match[1].lower(), float(match[2])
        if codec not in SUFFIXES:
            raise UsageError(f"a codec is one of {', '.join(SUFFIXES)}; received {text!r}; try 'mp3@{match[2]}k'")
        nearest: float
        if codec == "mp3":
            rule = f"bitrates of MP3 are {', '.join(map(str, MP3_BITRATES))} kbit/s"
            nearest = min(MP3_BITRATES, key=lambda valid: abs(valid - value))
        elif codec in BITRATE_RANGES:
            low, high = BITRATE_RANGES[codec]
            rule = f"bitrates of {codec} are whole numbers from {low} to {high} kbit/s"
            nearest = min(max(round(value), low), high)
        else:
            lowest, highest = FREQUENCY_RANGES[codec]
            rule = f"{codec} takes a frequency from {lowest:g} to {highest:g} kHz"
            nearest = min(max(value, lowest), highest)
        if nearest != value:
            raise UsageError(f"{rule}; received {text!r}; the nearest is '{codec}@{nearest:g}k'")
        return cls(codec, value)

    def __str__(self) -> str:
        return f"{self.codec}@{self.value:g}k"

    @property
    def suffix(self) -> str:
        """Suffix of the container, without the dot."""
        return SUFFIXES[self.codec]

    @property
    def bitrate(self) -> int:
        """Bitrate in kbit/s; 0 for `lowpass` and `downsample`, which have none."""
        return int(self.value) if self.suffix != "flac" else 0

    @property
    def frequency(self) -> float:
        """Cutoff of `lowpass` or sample rate of `downsample` in Hz; 0.0 for the codecs."""
        return 1000.0 * self.value if self.suffix == "flac" else 0.0
