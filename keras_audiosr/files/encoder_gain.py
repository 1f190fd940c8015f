"""Reads the gain that an encoder applied to the music before encoding, from the tag in an MP3's first frame.

LAME lowers the level of music that it encodes coarsely, so that less of it clips: by 5 % up to 160 kbit/s. It does so
at constant and average bitrates, but not at variable ones. The decoded samples do not show the gain, but the tag does.
"""

import os
import re

import numpy as np

from ..sound.framing import BlockProcessor
from .mpeg_frames import HEAD, info_tag, mpeg_frame, tag_length

# Bitrates in kbit/s from which on each factor applies: column `scale` of LAME's `abr_switch_map` (presets.c), the same
# from 3.97 (2006) to 3.100, where `tests/test_encoder_gain.py` measures it. LAME uses the nearest row.
_SCALES = ((0, 0.95), (176, 0.97), (208, 0.98), (240, 1.0))
# FFmpeg encodes MP3 with LAME, unless it was built with another encoder, and writes its own tag.
_FFMPEG = b"Lavc"
_OLDEST_LAME = (3, 97)
# The low four bits of the byte after the encoder's name give the bitrate mode. FFmpeg leaves them 0, even if it copies
# a song and the encoder's name with it.
_UNSAID, _NOT_VARIABLE = 0, (1, 2, 8, 9)
# Largest number of tags before the music that are skipped.
_MOST_TAGS = 8


def encoder_gain(path: str | os.PathLike[str]) -> float:
    """Returns the factor by which a file's encoder scaled the music, as far as it is known.

    Args:
        path: a music file of any kind.

    Returns:
        0.95 to 1.0 for an MP3 whose Xing or Info tag names LAME 3.97 or later, or FFmpeg; 1.0 for all other files. Only
        LAME's own tag distinguishes an average bitrate from a variable one; with FFmpeg's tag it counts as variable.
        Scaling that the user requested from LAME (`--scale`, and `--preset 128`, which applies the factor twice) is not
        in the tag.
    """
    with open(path, "rb") as file:
        position = 0
        for _ in range(_MOST_TAGS):
            file.seek(position)
            head = file.read(HEAD)
            length = tag_length(head)
            if not length:
                break
            position += length
        frame = mpeg_frame(head)
        at = None if frame is None else info_tag(head, frame)
        if frame is None or at is None:
            return 1.0
        file.seek(position + at)
        tag = file.read(max(0, frame.length - at))
        file.seek(position + frame.length)
        following = mpeg_frame(file.read(HEAD))
    bitrate = _bitrate(tag, 0 if following is None else following.bitrate)
    return 1.0 if bitrate is None else max(scale for least, scale in _SCALES if bitrate >= least)


def _bitrate(tag: bytes, of_frames: int) -> int | None:
    """Returns LAME's target bitrate in kbit/s; `None` for a variable bitrate or another encoder."""
    # The flags say which fields are present: number of frames, number of bytes, table of contents, quality.
    flags = tag[7] if len(tag) > 7 else 0
    at = 8 + sum(size for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
    encoder, about = tag[at : at + 9], tag[at + 9 : at + 28]
    lame = re.match(rb"LAME(\d+)\.(\d+)", encoder)
    known = encoder.startswith(_FFMPEG) or (lame is not None and (int(lame[1]), int(lame[2])) >= _OLDEST_LAME)
    if not known or len(about) < 19:
        return None
    method = about[0] & 15
    if method == _UNSAID:
        return of_frames or None if tag.startswith(b"Info") else None
    # Its presets below 320 are bitrates, and `-b 128` is one of them.
    return int.from_bytes(about[17:19], "big") & 0x7FF if method in _NOT_VARIABLE else None


class GainUndone:
    """A `BlockProcessor` that undoes a gain before another one processes the signal.

    Args:
        processor: the other `BlockProcessor`.
        gain: factor to divide the samples by.
    """

    def __init__(self, processor: BlockProcessor, gain: float):
        self._processor = processor
        self._factor = np.float32(1.0 / gain)

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples `(time, channels)`; returns those that are ready."""
        return self._processor.push(block * self._factor)

    def finish(self) -> np.ndarray:
        """Ends the signal; returns the rest."""
        return self._processor.finish()
