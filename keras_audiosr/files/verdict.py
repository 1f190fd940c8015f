"""Decides whether a file is lossy and whether restoring it is worthwhile. All thresholds for this are here."""

import dataclasses
from collections.abc import Iterable
from typing import Literal

import numpy as np

from ..sound.bandwidth import SpectrumMeter
from .headers import AudioInfo

# FFmpeg's names of codecs that keep every sample.
_LOSSLESS = {"flac", "alac", "wavpack", "ape", "tta", "tak", "mlp", "truehd", "shorten", "wmalossless", "als"}
_COMPANDED = {"pcm_alaw", "pcm_mulaw", "pcm_vidc"}
# Bitrate in kbit/s per channel up to which restoring was measured to bring a file nearer to its original. SNR of stereo
# MP3 on the test clips, before and after (tools/measure_harm.py): 192 kbit/s 28.0 and 30.8 dB; 256 kbit/s 39.0 and 32.2
# dB.
WORTH_BITRATE = 96
# Hz. A wall above this is not evidence: 44.1 kHz converters, and encoders at their highest bitrates, end there.
WORTH_CUTOFF = 19_800
# Hz. At a lower sample rate a file has no room for the frequencies that a network would restore.
WORTH_SAMPLE_RATE = 44_100


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a file is lossy, and whether restoring it is worthwhile.

    Attributes:
        kind: `"lossy"`; `"lossless"`; or `"unknown"`: a lossless format whose sound is inconclusive.
        reason: the evidence.
        worth: whether restoring is worthwhile: `"yes"`, `"little"`, `"no"` or `"unknown"`.
        advice: what to do with it.
    """

    kind: Literal["lossy", "lossless", "unknown"]
    reason: str
    worth: Literal["yes", "little", "no", "unknown"]
    advice: str


def is_lossless(codec: str) -> bool:
    """Returns whether a codec, by FFmpeg's name, keeps every sample."""
    return codec in _LOSSLESS or codec.startswith("dsd_") or (codec.startswith("pcm_") and codec not in _COMPANDED)


def meter_blocks(blocks: Iterable[np.ndarray], sample_rate: int) -> SpectrumMeter:
    """Measures the long-term spectrum of a signal that comes in blocks `(time, channels)`."""
    meter = SpectrumMeter(sample_rate)
    for block in blocks:
        meter.add(block)
    return meter


def judge(info: AudioInfo, meter: SpectrumMeter | None = None) -> Verdict:
    """Judges a file by its codec and, if that is lossless, by its spectrum.

    Args:
        info: what `files.probe` returned.
        meter: the spectrum of its samples. Only lossless codecs need it.

    Returns:
        The verdict. A wall in the spectrum of a lossless format shows that its source was lossy. A recording that only
        fades out is not judged to be lossy.
    """
    if is_lossless(info.codec):
        return _judge_spectrum(info, meter)
    reason = f"{info.codec} is a lossy codec" + (f", here at {info.bitrate} kbit/s" if info.bitrate else "")
    if info.sample_rate < WORTH_SAMPLE_RATE:
        return Verdict("lossy", reason, "yes", room_advice(info.sample_rate))
    if info.bitrate > WORTH_BITRATE * info.channels:
        return Verdict(
            "lossy",
            reason,
            "no",
            f"nothing to restore above {WORTH_BITRATE} kbit/s per channel",
        )
    return Verdict("lossy", reason, "yes", "restore it")


def room_advice(sample_rate: int) -> str:
    """Returns the advice for a file whose sample rate is too low for the missing frequencies."""
    return f"at {sample_rate} Hz it cannot hold frequencies above {sample_rate / 2000:.1f} kHz; add --min-rate 44100"


def _judge_spectrum(info: AudioInfo, meter: SpectrumMeter | None) -> Verdict:
    if meter is None or not meter.conclusive():
        return Verdict(
            "unknown",
            f"{info.codec} is lossless, but silence or less than a second does not show whether its source was lossy",
            "unknown",
            "decide by its origin",
        )
    wall = meter.brick_wall()
    if wall is None:
        cutoff = meter.cutoff()
        band = "full band" if cutoff >= info.sample_rate / 2 else f"the band fades out by {cutoff / 1000:.1f} kHz"
        reason = f"{info.codec}, {band}, no wall in the spectrum"
        if info.sample_rate < WORTH_SAMPLE_RATE:
            return Verdict("lossless", reason, "little", room_advice(info.sample_rate))
        return Verdict("lossless", reason, "no", "nothing to restore")
    reason = f"{info.codec}, but the spectrum ends at a wall at {wall / 1000:.1f} kHz"
    if wall > WORTH_CUTOFF:
        return Verdict("lossless", f"{reason}: it once had a lower sample rate", "no", "nothing to restore")
    if info.sample_rate < WORTH_SAMPLE_RATE:
        return Verdict("lossy", f"{reason}, as a lossy codec leaves it", "yes", room_advice(info.sample_rate))
    return Verdict("lossy", f"{reason}, as a lossy codec leaves it", "yes", "restore it")
