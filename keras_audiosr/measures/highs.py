"""Fine structure of the highs: whether they buzz (envelope line) and whether they click (crest error).

Neither LSD nor the band distance hears these. Both measures look at the band
from 13 to 19 kHz, which lies above the cutoff of most lossy files, as a complex
signal: its real part is the band, its absolute value the Hilbert envelope.
"""

import dataclasses

import numpy as np

from .ranges import FLOOR, frame_length, judged_band

__all__ = [
    "CREST_DEFINITION",
    "ENVELOPE_DEFINITION",
    "HighBand",
    "analyze",
    "block_crest_error",
    "crest_error",
    "envelope_line",
    "line_level",
    "modulation_frequencies",
]

BAND = (13000.0, 19000.0)
# Taps of the filter that cuts the band out, in seconds: 511 at 44.1 kHz, whose flanks are 170 Hz wide.
_FILTER_DURATION = 511 / 44100
# Samples that are filtered at a time.
_FILTER_BLOCK = 1 << 16

# Seconds of the envelope in a segment: 16,384 samples at 44.1 and 48 kHz, so a bin is 2.7 Hz wide.
_SEGMENT_DURATION = 16384 / 44100
# Fewer segments than this (1.7 s) say nothing: the strongest bin of their noise would look like a line.
_FEWEST_SEGMENTS = 8
# Hz in which a line is looked for: below lies rhythm, above it no frame rate of a codec or of a network.
LINES = (40.0, 700.0)
# Hz on both sides that a line is compared with, and bins next to it that are left out (the window's main lobe).
_NEIGHBOURS = 40.0
_MAIN_LOBE = 2

# Seconds of a block of the crest factor: 256 samples at 44.1 and 48 kHz.
_BLOCK_DURATION = 256 / 44100
_FEWEST_BLOCKS = 16

ENVELOPE_DEFINITION = (
    f"Envelope line: the band from {BAND[0] / 1000:g} to {BAND[1] / 1000:g} kHz, its Hilbert envelope in segments of"
    " 16384 samples at 44.1 and 48 kHz (half overlapping), each divided by its mean, mean removed, Hann window; power"
    " spectrum averaged over all segments and channels; the highest ratio, in dB, of a bin from"
    f" {LINES[0]:g} to {LINES[1]:g} Hz to the median of the bins within {_NEIGHBOURS:g} Hz of it, its {_MAIN_LOBE}"
    f" nearest on each side left out. Segments whose mean envelope lies under {FLOOR:g} dB of full scale do not count;"
    f" fewer than {_FEWEST_SEGMENTS} are not judged. A steady tone in the highs is a line too, so read it beside that"
    " of the lossless file."
)
CREST_DEFINITION = (
    f"Crest error: peak over root mean square, in dB, of blocks of 256 samples at 44.1 and 48 kHz of the band from"
    f" {BAND[0] / 1000:g} to {BAND[1] / 1000:g} kHz; mean over the half of the blocks that is louder in the lossless"
    " file, restored minus lossless. Blocks under"
    f" {FLOOR:g} dB of full scale in either do not count; a file of which half is left out so is not judged."
)


@dataclasses.dataclass(frozen=True)
class HighBand:
    """What both measures need of one signal.

    Attributes:
        modulation: power spectrum of the envelope, relative to its mean, averaged over segments: array `(bins,)`;
            `None` where too little of the band sounds.
        sample_rate: Hz.
        levels: root mean square of each block, all channels in a row: array `(blocks,)`.
        crests: its peak over its root mean square, in dB; 0 for silence.
    """

    modulation: np.ndarray | None
    sample_rate: int
    levels: np.ndarray
    crests: np.ndarray


def _band_filter(low: float, high: float, sample_rate: int) -> np.ndarray:
    """Complex taps of a linear-phase band-pass of gain 2 (a Hann-windowed sinc): a real signal to its analytic band."""
    half = round(_FILTER_DURATION * sample_rate) // 2
    offsets = np.arange(-half, half + 1)
    taps = np.sinc((high - low) / sample_rate * offsets) * np.cos(0.5 * np.pi * offsets / (half + 1)) ** 2
    return 2.0 * taps / taps.sum() * np.exp(1j * np.pi * (low + high) / sample_rate * offsets)


def _analytic(channel: np.ndarray, low: float, high: float, sample_rate: int) -> np.ndarray:
    """The band of one channel as complex samples, where the filter lies within the music: `(time - taps + 1,)`."""
    taps = _band_filter(low, high, sample_rate)
    response = np.fft.fft(taps, _FILTER_BLOCK)
    out = np.zeros(max(0, len(channel) - len(taps) + 1), np.complex64)
    step = _FILTER_BLOCK - len(taps) + 1
    for start in range(0, len(out), step):
        block = np.fft.ifft(np.fft.fft(channel[start : start + _FILTER_BLOCK], _FILTER_BLOCK) * response)
        out[start : start + step] = block[len(taps) - 1 :][: len(out) - start]
    return out


def _modulation(band: np.ndarray, length: int) -> tuple[np.ndarray, int]:
    """Sum of the power spectra of the segments of an envelope that sound, and how many there are."""
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)
    total, count = np.zeros(length // 2 + 1), 0
    for start in range(0, len(band) - length + 1, length // 2):
        envelope = np.abs(band[start : start + length]).astype(np.float64)
        mean = envelope.mean()
        if mean > 10.0 ** (FLOOR / 20.0):
            total += np.abs(np.fft.rfft((envelope / mean - 1.0) * window)) ** 2
            count += 1
    return total, count


def analyze(audio: np.ndarray, sample_rate: int, limit: float | None = None) -> HighBand | None:
    """Looks at the band from 13 to 19 kHz of a whole song.

    Args:
        audio: array `(time, channels)`, full scale at the peak of the lossless file.
        sample_rate: Hz.
        limit: Hz up to which the audio is to be judged; the band ends there.

    Returns:
        What `line_level` and `crest_error` need; `None` where less than half of the band can be judged.
    """
    band = judged_band(*BAND, sample_rate, limit)
    if band is None:
        return None
    segment, block = (frame_length(duration, sample_rate) for duration in (_SEGMENT_DURATION, _BLOCK_DURATION))
    total, segments = np.zeros(segment // 2 + 1), 0
    levels, peaks = [], []
    for channel in np.asarray(audio).T:
        analytic = _analytic(channel, *band, sample_rate)
        power, count = _modulation(analytic, segment)
        total, segments = total + power, segments + count
        blocks = analytic.real[: len(analytic) // block * block].reshape(-1, block)
        levels.append(np.sqrt(np.mean(np.square(blocks, dtype=np.float64), axis=1)))
        peaks.append(np.abs(blocks).max(axis=1, initial=0.0))
    level, peak = np.concatenate(levels), np.concatenate(peaks)
    crests = 20.0 * np.log10(np.maximum(peak, 1e-30) / np.maximum(level, 1e-30))
    return HighBand(total / segments if segments >= _FEWEST_SEGMENTS else None, sample_rate, level, crests)


def modulation_frequencies(band: HighBand) -> np.ndarray:
    """Hz of the bins of `band.modulation`."""
    length = frame_length(_SEGMENT_DURATION, band.sample_rate)
    return np.arange(length // 2 + 1) * (band.sample_rate / length)


def line_level(band: HighBand | None) -> float | None:
    """`envelope_line` of a signal that `analyze` looked at."""
    if band is None or band.modulation is None:
        return None
    frequencies, power = modulation_frequencies(band), band.modulation
    reach = round(_NEIGHBOURS / frequencies[1])
    near = np.r_[-reach:-_MAIN_LOBE, _MAIN_LOBE + 1 : reach + 1]
    bins = np.flatnonzero((frequencies >= LINES[0]) & (frequencies <= LINES[1]))
    # Bin 0 is what is left of the mean.
    neighbours = np.median(power[np.maximum(bins[:, None] + near, 1)], axis=1)
    strongest = np.max(power[bins] / np.maximum(neighbours, 1e-30))
    return float(10.0 * np.log10(max(strongest, 1e-30)))


def envelope_line(audio: np.ndarray, sample_rate: int) -> float | None:
    """How far the highs buzz; `ENVELOPE_DEFINITION` says how it is counted. It needs no reference.

    Args:
        audio: array `(time, channels)` in [-1, 1].
        sample_rate: Hz.

    Returns:
        dB. Plain noise has 2 to 3, music mostly 3 to 6; `None` where the band is silent, hardly there at this sample
        rate, or shorter than 1.7 s.
    """
    return line_level(analyze(audio, sample_rate))


def block_crest_error(true: HighBand | None, pred: HighBand | None) -> float | None:
    """`crest_error` of two signals that `analyze` looked at."""
    if true is None or pred is None or len(true.levels) < _FEWEST_BLOCKS:
        return None
    louder = true.levels >= np.median(true.levels)
    sounding = louder & (np.minimum(true.levels, pred.levels) > 10.0 ** (FLOOR / 20.0))
    if 2 * sounding.sum() <= louder.sum():
        return None
    return float(np.mean(pred.crests[sounding] - true.crests[sounding]))


def crest_error(y_true: np.ndarray, y_pred: np.ndarray, sample_rate: int, limit: float | None = None) -> float | None:
    """How much more the highs click than they should; `CREST_DEFINITION` says how it is counted.

    Args:
        y_true: lossless array `(time, channels)` in [-1, 1].
        y_pred: restored array of the same shape.
        sample_rate: Hz.
        limit: Hz up to which the reference is lossless; half the sample rate when `None`.

    Returns:
        dB; positive where the restored signal has sharper peaks, negative where it has duller ones. `None` where the
        band is silent in either, hardly below the limit, or shorter than 16 blocks.
    """
    return block_crest_error(analyze(y_true, sample_rate, limit), analyze(y_pred, sample_rate, limit))
