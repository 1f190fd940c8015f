"""Mid/side coding, which replaces a left and a right channel by their mean and half their difference.

    mid = (left + right) / 2      left  = mid + side
    side = (left - right) / 2     right = mid - side

A network of one channel restores mid and side instead of left and right. What it adds to the mid is then the same in
both channels. It does not decorrelate them, so the stereo image of a song keeps its width (joint stereo: Johnston and
Ferreira, "Sum-difference stereo transform coding", ICASSP 1992). In surround sound each pair of a left and a right
channel is coded in this way. Centre and low-frequency channels are processed individually.
"""

from collections.abc import Sequence

import numpy as np

from ..errors import UsageError
from .layouts import speakers

# The indices of the left and the right channel of each pair.
Pairs = Sequence[tuple[int, int]]

# Pairs by number of channels, for FFmpeg's default layout with that number. tools/web/mid_side.js and
# tools/player/player.c contain the same table.
PAIRS: dict[int, Pairs] = {
    2: ((0, 1),),  # stereo
    3: ((0, 1),),  # 2.1: FL FR LFE
    4: ((0, 1),),  # 4.0: FL FR FC BC
    5: ((0, 1), (3, 4)),  # 5.0: FL FR FC BL BR
    6: ((0, 1), (4, 5)),  # 5.1: FL FR FC LFE BL BR
    7: ((0, 1), (5, 6)),  # 6.1: FL FR FC LFE BC SL SR
    8: ((0, 1), (4, 5), (6, 7)),  # 7.1: FL FR FC LFE BL BR SL SR
}
# Left and right speakers with FFmpeg's names: front, back, side, front of centre, wide, stereo downmix, and the pairs
# above, below and around the listener.
_SPEAKERS = [(name, name.replace("L", "R")) for name in "FL BL SL FLC WL DL TFL TBL TSL BFL SDL SSL TTL".split()]


def layout_pairs(channels: int, layout: str) -> Pairs:
    """Returns the pairs of a layout such as `"quad"`, or those of FFmpeg's default layout if it is unknown.

    Args:
        channels: number of audio channels.
        layout: a name or list as in `sound.layouts`; empty when unknown.
    """
    names = speakers(layout)
    if len(names) != channels:
        return channel_pairs(channels)
    return tuple((names.index(left), names.index(right)) for left, right in _SPEAKERS if {left, right} <= set(names))


def channel_pairs(channels: int, pairs: Pairs | None = None) -> Pairs:
    """Checks the pairs of a signal, or returns the usual ones.

    Args:
        channels: number of audio channels.
        pairs: indices of left and right channels, if the layout is known. `None` means those of FFmpeg's default layout
            for this number of channels, or no pairs if there is no such layout.

    Raises:
        UsageError: an index is out of range or occurs twice.
    """
    if pairs is None:
        return PAIRS.get(channels, ())
    places = [place for pair in pairs for place in pair]
    if len(set(places)) < len(places) or not all(0 <= place < channels for place in places):
        raise UsageError(
            f"pairs must be indices of the {channels} channels, each used at most once; received {list(pairs)};"
            " leave pairs out for the usual layout"
        )
    return pairs


def to_mid_side(audio: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Replaces each left channel by the mid, and each right one by the side.

    Args:
        audio: array `(time, channels)` float32.
        pairs: from `channel_pairs`.

    Returns:
        A new array of the same shape. Halving is exact in binary floating point, so the side of two equal channels is
        exactly zero, and their mid equals the channels. If one channel is silent, mid and side are equal except for
        their sign.
    """
    coded = np.array(audio, np.float32)
    for left, right in pairs:
        coded[:, left] = (audio[:, left] + audio[:, right]) * np.float32(0.5)
        coded[:, right] = (audio[:, left] - audio[:, right]) * np.float32(0.5)
    return coded


def to_left_right(coded: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Inverts `to_mid_side`. Music of up to 23 bits is reproduced bit for bit."""
    audio = np.array(coded, np.float32)
    for left, right in pairs:
        audio[:, left] = coded[:, left] + coded[:, right]
        audio[:, right] = coded[:, left] - coded[:, right]
    return audio
