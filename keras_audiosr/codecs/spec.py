"""Specifies how to degrade a lossless track, in a notation such as `"mp3@64k"`, `"mp3@V6"` or `"lowpass@8k"`."""

import dataclasses
import re
from collections.abc import Sequence

from ..errors import UsageError


@dataclasses.dataclass(frozen=True)
class Codec:
    """The properties of a codec; `KNOWN_CODECS` lists all codecs.

    Attributes:
        suffix: suffix of its files, without the dot.
        bitrates: supported bitrates in kbit/s.
        encoder: FFmpeg's name of the encoder.
        container: FFmpeg's name of the container format.
        constant: FFmpeg's arguments, beside `-b:a`, that keep bitrate and bytes constant.
    """

    suffix: str
    bitrates: Sequence[int]
    encoder: str
    container: str
    constant: tuple[str, ...] = ()


# - mp3: MPEG-1 Layer III has 14 bitrates, and MPEG-2 adds two lower ones. In LAME `-b:a` selects CBR, and `-q:a`
#   selects a VBR quality (V). Both give the same bytes every time.
# - aac (FFmpeg's own): `-b:a` keeps the mean within about 2 %. There is no strict CBR, and on tonal music the bitrate
#   does not fall below about 10 kbit/s per channel.
# - vorbis: `-minrate`/`-maxrate` switch to managed bitrate. The result is 2 to 6 % higher.
# - opus: `-vbr off` is hard CBR. Below 24 kbit/s the encoder switches to its speech coder, which does not keep the
#   waveform that alignment needs.
# The ranges end where the encoders still initialise at 44.1 and 48 kHz (libvorbis: 32 to 192 in mono, 48 to 400 in
# stereo). Ogg also needs `+bitexact`, because its serial number is random otherwise. For other containers `+bitexact`
# would only remove the encoder's version.
KNOWN_CODECS = {
    "mp3": Codec(
        "mp3", (16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
        encoder="libmp3lame", container="mp3",
    ),
    "aac": Codec("m4a", range(24, 321), encoder="aac", container="ipod"),
    "vorbis": Codec(
        "ogg", range(32, 401), encoder="libvorbis", container="ogg",
        constant=("-minrate", "{bitrate}k", "-maxrate", "{bitrate}k", "-fflags", "+bitexact"),
    ),
    "opus": Codec(
        "opus", range(24, 257), encoder="libopus", container="opus", constant=("-vbr", "off", "-fflags", "+bitexact")
    ),
}  # fmt: skip

# Lowest and highest frequency in kHz of the degradations that use no codec; their files are FLAC.
FREQUENCY_RANGES = {"lowpass": (1.0, 40.0), "downsample": (4.0, 96.0)}

# LAME's settings of variable bitrate: V0 is the best and largest.
_VBR_WORST = 9

_PATTERN = re.compile(r"\s*([a-z][a-z0-9]*)\s*@\s*(v?)(\d{1,9}(?:\.\d{1,9})?)\s*(k?)\s*(-\s*stereo)?\s*", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class CodecSpec:
    """One way to degrade a track.

    Attributes:
        codec: a key of `KNOWN_CODECS`, such as `"mp3"`; or `"lowpass"`, `"downsample"`, which keep the
            samples in FLAC at the original sample rate.
        value: bitrate in kbit/s of a codec, or LAME's V of an MP3 with variable bitrate; cutoff in kHz of
            `lowpass`; intermediate sample rate in kHz of `downsample`.
        vbr: whether the bitrate of an MP3 varies.
        joint: whether an MP3 may use mid/side coding, as LAME does where it is cheaper; `False` restricts it to left
            and right. Other codecs decide this themselves.

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
        """Parses `"codec@NUMBERk"` or, for MP3 only, `"mp3@VNUMBER"`.

        For MP3 a final `"-stereo"` sets `joint` to `False`. Case and spaces are ignored, and the `k` may be left out.

        Raises:
            UsageError: the text has another form, the codec is unknown, or it does not have this number or mode.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise UsageError(f"a codec is written codec@bitrate, as in 'mp3@64k'; received {text!r}; try 'mp3@64k'")
        codec, vbr, value, joint = match[1].lower(), bool(match[2]), float(match[3]), match[5] is None
        names = [*KNOWN_CODECS, *FREQUENCY_RANGES]
        if codec not in names:
            raise UsageError(f"a codec must be one of {', '.join(names)}; received {text!r}; try 'mp3@{match[3]}k'")
        nearest: float = min(round(value), _VBR_WORST)
        if vbr and (codec != "mp3" or match[4]):
            raise UsageError(
                f"only MP3 has variable bitrates, which have no unit; received {text!r}; try 'mp3@V{nearest:g}'"
            )
        if codec != "mp3" and not joint:
            raise UsageError(f"only MP3 has the mode -stereo; received {text!r}; try '{codec}@{value:g}k'")
        if vbr:
            rule = f"variable bitrates of MP3 are V0 to V{_VBR_WORST}, whole numbers"
        elif codec in KNOWN_CODECS:
            bitrates = KNOWN_CODECS[codec].bitrates
            nearest = min(bitrates, key=lambda valid: abs(valid - value))
            listed = ", ".join(map(str, bitrates))
            if isinstance(bitrates, range):
                listed = f"whole numbers from {bitrates[0]} to {bitrates[-1]}"
            rule = f"bitrates of {codec} are {listed} kbit/s"
        else:
            lowest, highest = FREQUENCY_RANGES[codec]
            rule = f"{codec} needs a frequency from {lowest:g} to {highest:g} kHz"
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
        return KNOWN_CODECS[self.codec].suffix if self.codec in KNOWN_CODECS else "flac"

    @property
    def bitrate(self) -> int:
        """Bitrate in kbit/s; 0 if it varies, and for `lowpass` and `downsample`, which have none."""
        return int(self.value) if self.codec in KNOWN_CODECS and not self.vbr else 0

    @property
    def frequency(self) -> float:
        """Cutoff of `lowpass` or sample rate of `downsample` in Hz; 0.0 for the codecs."""
        return 1000.0 * self.value if self.codec in FREQUENCY_RANGES else 0.0
