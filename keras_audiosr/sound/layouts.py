"""Channel layouts (the speaker of each channel), as FFmpeg's names and as the masks that WAV, AIFF and FLAC store.

A layout is written as in FFmpeg, either as a name such as `"5.1(side)"` or as a list of speakers such as `"FL+FR+LFE"`.
Two layouts are the same if they have the same speakers. The bits of a mask are those of WAVEFORMATEXTENSIBLE, which
FFmpeg's masks use too.
"""

import functools
import re

from ..processes.ffmpeg import run_ffmpeg

# The speakers of WAVEFORMATEXTENSIBLE's dwChannelMask, beginning with bit 0. FFmpeg uses bits 29 and 30 for a stereo
# downmix.
_BITS = {name: bit for bit, name in enumerate("FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR".split())}
_BITS |= {"DL": 29, "DR": 30}
# The layout assumed for one or two channels when the file does not declare one.
USUAL = {1: "mono", 2: "stereo"}
_USUAL_SPEAKERS = {"mono": ("FC",), "stereo": ("FL", "FR")}
# The layout of an MP3 that changes from mono to stereo. It is decoded to two channels.
TURNED = "mono, then stereo"
LOW_FREQUENCY = ("LFE", "LFE2")
_LISTED = re.compile(r"\d+ channels \((.+)\)")


@functools.cache
def _named() -> dict[str, tuple[str, ...]]:
    """Returns the layouts for which the installed FFmpeg has names, and their speakers."""
    said = run_ffmpeg("-layouts").stdout.decode("utf-8", "replace")
    rows = [line.split() for line in said.partition("Standard channel layouts:")[2].splitlines()]
    return {row[0]: tuple(row[1].split("+")) for row in rows if len(row) == 2 and row[0] != "NAME"}


def speakers(layout: str) -> tuple[str, ...]:
    """Returns the speaker of each channel, such as `("FL", "FR", "LFE")` for `"2.1"`. It is empty if unknown."""
    if layout in _USUAL_SPEAKERS:
        return _USUAL_SPEAKERS[layout]
    listed = _LISTED.fullmatch(layout)
    parts = (listed[1] if listed else layout).split("+")
    if all(part.isupper() for part in parts) and (listed or len(parts) > 1 or layout in _BITS):
        return tuple(parts)
    # Names such as "unknown", "4 channels" and "ambisonic 1" do not give the speaker of a channel.
    return () if not layout or " " in layout or layout == "unknown" else _named().get(layout, ())


def layout_name(names: tuple[str, ...]) -> str:
    """Returns FFmpeg's name for the layout of these speakers, or a list of them if it has no name."""
    for usual, known in _USUAL_SPEAKERS.items():
        if names == known:
            return usual
    return next((name for name, known in _named().items() if known == names), "+".join(names))


def layout_mask(layout: str) -> int:
    """Returns the WAVEFORMATEXTENSIBLE mask of a layout; 0 if it is unknown or cannot be expressed as a mask."""
    names = speakers(layout)
    bits = [_BITS.get(name, -1) for name in names]
    # A mask lists speakers in one order only.
    return sum(1 << bit for bit in bits) if bits and bits[0] >= 0 and bits == sorted(set(bits)) else 0


def mask_layout(mask: int) -> str:
    """Returns the layout of a mask as a list of speakers; empty for 0 and for masks with undefined bits."""
    names = [name for name, bit in _BITS.items() if mask >> bit & 1]
    return "+".join(names) if sum(1 << _BITS[name] for name in names) == mask else ""


def same_layout(one: str, other: str) -> bool:
    """Whether two layouts have the same speakers in the same order; two unknown layouts count as the same."""
    return speakers(one) == speakers(other)


def remixless(channels: int, layout: str) -> list[str]:
    """Returns FFmpeg's arguments for an output or for raw samples that leave the channels of a sound unchanged.

    `-ac` alone selects FFmpeg's default layout for that number of channels, and FFmpeg mixes any other layout into it.
    """
    names = speakers(layout)
    if len(names) == channels:
        return ["-channel_layout", "+".join(names)]
    return ["-ac", str(channels)]
