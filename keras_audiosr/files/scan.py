"""Checks whether a music file is complete, from its declared length, its frames and the decoder's messages.

Decoders return part of a truncated file, or the first of two joined files, without an error.
"""

from collections.abc import Sequence
from pathlib import Path

from ..annotations import StrPath
from ..errors import AudioFileError
from .flac_header import streaminfo_md5
from .headers import AudioInfo
from .pcm import inspect
from .scan_chunks import scan_iff, scan_mp4
from .scan_mpeg import declares_and_holds, has_tags_behind, scan_mpeg
from .scan_ogg import scan_ogg

# Formats that declare their length exactly, except for the padding in samples that encoders add around the music.
_EXACT, _PADDING = ("mp3", "aac", "ogg", "flac", "wav", "aiff", "wv"), 4096
# In other formats the decoded and declared durations may differ by this many seconds, or by this share in short files.
_TOLERANCE, _SHARE = 0.5, 0.25


def find_faults(path: StrPath, info: AudioInfo, duration: float, complaints: Sequence[str] = ()) -> str:
    """Describes the faults of a file in one line; empty for a file without faults.

    Formats differ in what they show. FLAC, WAV, AIFF, MP4, Ogg and MP3 with a Xing header declare their length. In
    other MP3 and in ADTS a cut exactly between two frames cannot be detected.

    Args:
        path: the file.
        info: what `headers.probe(path)` returned.
        duration: seconds that were decoded.
        complaints: messages that `audio_files.read_blocks` added.

    Raises:
        AudioFileError: the file no longer exists.
    """
    path = Path(path)
    faults: list[str] = []
    declared = info.duration
    if info.container in ("mp3", "aac"):
        # FFmpeg may only estimate the duration of these from the bitrate, so the frames are counted.
        declared, faults = scan_mpeg(path, adts=info.container == "aac")
    elif info.container == "ogg":
        faults = scan_ogg(path)
    elif info.container in ("wav", "aiff"):
        faults = scan_iff(path)
    elif "mp4" in info.container:
        held, faults = scan_mp4(path)
        # An edit list may leave out part of the sound, but hardly more than half.
        if not faults and duration < held / 2:
            faults = [declares_and_holds(held, duration)]
        elif not faults and not held and not declared:
            faults = ["does not say how long it is"]
    elif info.container == "flac":
        with open(path, "rb") as file:
            # FFmpeg also decodes FLAC frames without a beginning.
            faults = [] if file.read(4)[:3] in (b"fLa", b"ID3") else ["does not begin with its header"]
        if not faults and declared > duration and _differ(declared, duration, info) and _proven(path):
            declared = duration  # The declared length is wrong, and nothing is missing.
    if not any(fault.startswith("declares") for fault in faults) and _differ(declared, duration, info):
        faults.insert(0, declares_and_holds(declared, duration))
    if not faults and complaints and info.container == "mp3" and has_tags_behind(path):
        complaints = ()  # FFmpeg complains about the tags. All of the sound was decoded.
    if not faults and complaints:
        faults.append(f"has what FFmpeg cannot decode ({complaints[0]})")
    return f"{path} {' and '.join(faults)}; it may be cut short, joined or damaged" if faults else ""


def _proven(path: Path) -> bool:
    """Returns whether the samples of a FLAC that declares too many of them match the MD5 in its header."""
    try:
        return bool(streaminfo_md5(path)) and inspect(path).own_bits > 0
    except AudioFileError:
        return False


def _differ(declared: float, duration: float, info: AudioInfo) -> bool:
    tolerance = _PADDING / info.sample_rate
    if info.container not in _EXACT:
        tolerance = max(tolerance, min(_TOLERANCE, _SHARE * declared))
    return declared > 0.0 and abs(duration - declared) > tolerance
