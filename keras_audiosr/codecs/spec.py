"""What degrades a lossless track, as text: `"mp3@64k"`, `"mp3@V6"`, `"lowpass@8k"`."""

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

# LAME's settings of variable bitrate: V0 is the best and largest.
_VBR_WORST = 9

_PATTERN = re.compile(r"\s*([a-z][a-z0-9]*)\s*@\s*(v?)(\d{1,9}(?:\.\d{1,9})?)\s*(k?)\s*(-\s*stereo)?\s*", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class CodecSpec:
    """One way to degrade a track.

    Attributes:
        codec: `"mp3"`, `"aac"`, `"vorbis"` or `"opus"`; or `"lowpass"`, `"downsample"`, which keep the
            samples in FLAC at the original sample rate.
        value: bitrate in kbit/s of a codec, or LAME's V of an MP3 with variable bitrate; cutoff in kHz of
            `lowpass`; sample rate in kHz that `downsample` passes through.
        vbr: whether the bitrate of an MP3 varies.
        joint: whether an MP3 may code middle and side, as LAME does where they are cheaper; `False` holds it
            to left and right. Other codecs decide for themselves.

    Example:
        >>> spec = CodecSpec.parse("MP3@64")
        >>> str(spec), spec.suffix, spec.bitrate
        ('mp3@64k', 'mp3', 64)
        >>> spec = CodecSpec.parse("mp3@V6-stereo")
        >>> spec.value, spec.vbr, spec.joint
        (6.0, True, False)
    """

    codec: str
    value: float
    vbr: bool = False
    joint: bool = True

    @classmethod
    def parse(cls, text: str) -> "CodecSpec":
        """Reads `"codec@NUMBERk"`, for MP3 also `"mp3@VNUMBER"`, both with `"-stereo"` for left and right alone.

        Case, spaces and the `k` are free.

        Raises:
            UsageError: not of that form, an unknown codec, or a number or mode the codec cannot have.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise UsageError(f"a codec is written codec@bitrate, as in 'mp3@64k'; received {text!r}; try 'mp3@64k'")
        codec, vbr, value, joint = match[1].lower(), bool(match[2]), float(match[3]), match[5] is None
        if codec not in SUFFIXES:
            raise UsageError(f"a codec is one of {', '.join(SUFFIXES)}; received {text!r}; try 'mp3@{match[3]}k'")
        nearest: float = min(round(value), _VBR_WORST)
        if vbr and (codec != "mp3" or match[4]):
            raise UsageError(f"variable bitrate is MP3's and has no unit; received {text!r}; try 'mp3@V{nearest:g}'")
        if codec != "mp3" and not joint:
            raise UsageError(f"-stereo is a mode of MP3; received {text!r}; try '{codec}@{value:g}k'")
        if vbr:
            rule = f"variable bitrates of MP3 are V0 to V{_VBR_WORST}, whole numbers"
        elif codec == "mp3":
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
            raise UsageError(f"{rule}; received {text!r}; the nearest is '{cls(codec, nearest, vbr, joint)}'")
        return cls(codec, value, vbr, joint)

    def __str__(self) -> str:
        value = f"V{self.value:g}" if self.vbr else f"{self.value:g}k"
        return f"{self.codec}@{value}{'' if self.joint else '-stereo'}"

    @property
    def suffix(self) -> str:
        """Suffix of the container, without the dot."""
        return SUFFIXES[self.codec]

    @property
    def bitrate(self) -> int:
        """Bitrate in kbit/s; 0 where it varies, and for `lowpass` and `downsample`, which have none."""
        return int(self.value) if self.suffix != "flac" and not self.vbr else 0

    @property
    def frequency(self) -> float:
        """Cutoff of `lowpass` or sample rate of `downsample` in Hz; 0.0 for the codecs."""
        return 1000.0 * self.value if self.suffix == "flac" else 0.0
