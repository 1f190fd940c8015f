"""Whether a music file is whole: what it declares, what its frames say, what the decoder found.

Decoders return half of a cut file, or the first of two joined ones, without a word.
"""

from collections.abc import Sequence
from pathlib import Path

from .files import AudioInfo
from .scan_chunks import scan_iff, scan_mp4
from .scan_mpeg import declares_and_holds, scan_mpeg
from .scan_ogg import scan_ogg

# Formats that declare their length exactly, but for what encoders put before and after the music (samples).
_EXACT, _PADDING = ("mp3", "aac", "ogg", "flac", "wav", "aiff", "wv"), 4096
# In others decoded and declared duration may differ by this many seconds; in short files by a quarter.
_TOLERANCE, _SHARE = 0.5, 0.25


def find_faults(path, info: AudioInfo, duration: float, complaints: Sequence[str] = ()) -> str:
    """One line about a file that is not whole; empty for one that is.

    Formats differ in what they tell. FLAC, WAV, AIFF, MP4, Ogg and MP3 with a Xing header declare their length; of
    other MP3 and of ADTS nobody can see that they were cut exactly between two frames.

    Args:
        path: the file.
        info: what `files.probe(path)` returned.
        duration: seconds that were decoded.
        complaints: what `files.read_blocks` added.

    Raises:
        AudioFileError: the file has gone.
    """
    path = Path(path)
    faults: list[str] = []
    declared = info.duration
    if info.container in ("mp3", "aac"):
        # FFmpeg's duration of these may be a guess from the bitrate; what counts is what the frames hold.
        declared, faults = scan_mpeg(path, adts=info.container == "aac")
    elif info.container == "ogg":
        faults = scan_ogg(path)
    elif info.container in ("wav", "aiff"):
        faults = scan_iff(path)
    elif "mp4" in info.container:
        held, faults = scan_mp4(path)
        # A list of edits may leave out some of it; hardly the greater part.
        if not faults and duration < held / 2:
            faults = [declares_and_holds(held, duration)]
        elif not faults and not held and not declared:
            faults = ["does not say how long it is"]
    elif info.container == "flac":
        with open(path, "rb") as file:
            # FFmpeg also decodes FLAC frames without a beginning.
            faults = [] if file.read(4)[:3] in (b"fLa", b"ID3") else ["does not begin with its header"]
    if not any(fault.startswith("declares") for fault in faults) and _differ(declared, duration, info):
        faults.insert(0, declares_and_holds(declared, duration))
    if not faults and complaints:
        faults.append(f"has what FFmpeg cannot decode ({complaints[0]})")
    return f"{path} {' and '.join(faults)}; it may be cut short, joined or damaged" if faults else ""


def _differ(declared: float, duration: float, info: AudioInfo) -> bool:
    tolerance = _PADDING / info.sample_rate
    if info.container not in _EXACT:
        tolerance = max(tolerance, min(_TOLERANCE, _SHARE * declared))
    return declared > 0.0 and abs(duration - declared) > tolerance
