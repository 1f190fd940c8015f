"""Channel layouts (the speaker of each channel): FFmpeg's names, and the masks that WAV, AIFF and FLAC store.

A layout is written as in FFmpeg: a name such as `"5.1(side)"`, or speakers such as `"FL+FR+LFE"`. Two layouts are the
same when their speakers are. The bits of a mask are those of WAVEFORMATEXTENSIBLE, which FFmpeg's own masks share.
"""

import functools
import re

from ..processes.ffmpeg import run_ffmpeg

# The speakers of WAVEFORMATEXTENSIBLE's dwChannelMask from bit 0 on; FFmpeg writes a stereo downmix as bits 29 and 30.
_BITS = {name: bit for bit, name in enumerate("FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR".split())}
_BITS |= {"DL": 29, "DR": 30}
# The layout assumed for one or two channels when the file does not declare one.
USUAL = {1: "mono", 2: "stereo"}
_USUAL_SPEAKERS = {"mono": ("FC",), "stereo": ("FL", "FR")}
# The layout of an MP3 that changes from mono to stereo, which is decoded to two channels.
TURNED = "mono, then stereo"
LOW_FREQUENCY = ("LFE", "LFE2")
_LISTED = re.compile(r"\d+ channels \((.+)\)")


@functools.cache
def _named() -> dict[str, tuple[str, ...]]:
    """The layouts that the FFmpeg in use has names for, and their speakers."""
    said = run_ffmpeg("-layouts").stdout.decode("utf-8", "replace")
    rows = [line.split() for line in said.partition("Standard channel layouts:")[2].splitlines()]
    return {row[0]: tuple(row[1].split("+")) for row in rows if len(row) == 2 and row[0] != "NAME"}


def speakers(layout: str) -> tuple[str, ...]:
    """The speaker of each channel, such as `("FL", "FR", "LFE")` of `"2.1"`; empty for a layout that is not known."""
    if layout in _USUAL_SPEAKERS:
        return _USUAL_SPEAKERS[layout]
    listed = _LISTED.fullmatch(layout)
    parts = (listed[1] if listed else layout).split("+")
    if all(part.isupper() for part in parts) and (listed or len(parts) > 1 or layout in _BITS):
        return tuple(parts)
    # "unknown", "4 channels", "ambisonic 1": none of them says where a channel belongs.
    return () if not layout or " " in layout or layout == "unknown" else _named().get(layout, ())


def layout_name(names: tuple[str, ...]) -> str:
    """The layout of these speakers as FFmpeg names it, or a list of them."""
    for usual, known in _USUAL_SPEAKERS.items():
        if names == known:
            return usual
    return next((name for name, known in _named().items() if known == names), "+".join(names))


def layout_mask(layout: str) -> int:
    """The layout as a mask of WAVEFORMATEXTENSIBLE; 0 for an unknown layout or one that a mask cannot express."""
    names = speakers(layout)
    bits = [_BITS.get(name, -1) for name in names]
    # A mask lists speakers in one order only.
    return sum(1 << bit for bit in bits) if bits and bits[0] >= 0 and bits == sorted(set(bits)) else 0


def mask_layout(mask: int) -> str:
    """The layout of a mask as a list of speakers; empty for 0 and for undefined bits."""
    names = [name for name, bit in _BITS.items() if mask >> bit & 1]
    return "+".join(names) if sum(1 << _BITS[name] for name in names) == mask else ""


def same_layout(one: str, other: str) -> bool:
    """Whether two layouts have the same speakers in the same order; two unknown layouts count as the same."""
    return speakers(one) == speakers(other)


def remixless(channels: int, layout: str) -> list[str]:
    """FFmpeg's arguments that keep the channels of a sound as they are, for an output or for raw samples.

    `-ac` alone selects FFmpeg's default layout for that number of channels, and FFmpeg mixes any other layout into it.
    """
    names = speakers(layout)
    if len(names) == channels:
        return ["-channel_layout", "+".join(names)]
    return ["-ac", str(channels)]
