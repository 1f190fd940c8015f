"""Measures the fine structure of the highs: whether they buzz (envelope line) and whether they click (crest error).

LSD and the band distance do not detect these faults. Both measures use the band from 13 to 19 kHz, which lies above the
cutoff of most lossy files. They use it as a complex signal, whose real part is the band and whose absolute value is the
Hilbert envelope.
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
# Length in seconds of the band-pass filter: 511 taps at 44.1 kHz, which give transition bands 170 Hz wide.
_FILTER_DURATION = 511 / 44100
# Number of samples that are filtered at a time.
_FILTER_BLOCK = 1 << 16

# Length of a segment of the envelope in seconds: 16,384 samples at 44.1 kHz, so a bin is 2.7 Hz wide.
_SEGMENT_DURATION = 16384 / 44100
# With fewer segments than this, the strongest bin of mere noise would look like a line.
_FEWEST_SEGMENTS = 8
# Range in Hz that is searched for a line. Rhythm lies below it, and no codec or network has a frame rate above it.
LINES = (40.0, 700.0)
# A line is compared with the bins within this many Hz on both sides. This many bins next to it are left out, because
# they belong to the main lobe of the window.
_NEIGHBOURS = 40.0
_MAIN_LOBE = 2

# Length in seconds of a block for the crest factor: 256 samples at 44.1 and 48 kHz.
_BLOCK_DURATION = 256 / 44100
_FEWEST_BLOCKS = 16

ENVELOPE_DEFINITION = (
    f"Envelope line: the Hilbert envelope of the band from {BAND[0] / 1000:g} to {BAND[1] / 1000:g} kHz is cut into"
    " segments of 16384 samples at 44.1 and 48 kHz, which overlap by half. Each segment is divided by its mean, the"
    " mean is removed, and a Hann window is applied. The power spectra are averaged over all segments and channels. The"
    f" envelope line is the highest ratio, in dB, of a bin from {LINES[0]:g} to {LINES[1]:g} Hz to the median of the"
    f" bins within {_NEIGHBOURS:g} Hz of it, without the {_MAIN_LOBE} nearest on each side. Segments whose mean"
    f" envelope lies under {FLOOR:g} dB of full scale do not count. Files with fewer than {_FEWEST_SEGMENTS} segments"
    " are not judged. A steady tone in the highs is a line too, so compare the figure with that of the lossless file."
)
CREST_DEFINITION = (
    f"Crest error: the band from {BAND[0] / 1000:g} to {BAND[1] / 1000:g} kHz is cut into blocks of 256 samples at 44.1"
    " and 48 kHz. The crest factor of a block is its peak over its root mean square, in dB. The crest error is the mean"
    " difference of the crest factors, restored minus lossless, over the half of the blocks that is louder in the"
    f" lossless file. Blocks under {FLOOR:g} dB of full scale in either file do not count. A file is not judged if this"
    " leaves out half of these blocks or more."
)


@dataclasses.dataclass(frozen=True)
class HighBand:
    """The properties of one signal that both measures need.

    Attributes:
        modulation: power spectrum of the envelope relative to its mean, averaged over segments: array `(bins,)`;
            `None` if fewer than 8 segments are above the floor.
        sample_rate: Hz.
        levels: root mean square of each block, one channel after the other: array `(blocks,)`.
        crests: crest factor of each block (peak over root mean square) in dB, 0 for silence: array `(blocks,)`.
    """

    modulation: np.ndarray | None
    sample_rate: int
    levels: np.ndarray
    crests: np.ndarray


def _band_filter(low: float, high: float, sample_rate: int) -> np.ndarray:
    """Returns complex taps that turn a real signal into its analytic band: a Hann-windowed sinc with a gain of 2."""
    half = round(_FILTER_DURATION * sample_rate) // 2
    offsets = np.arange(-half, half + 1)
    taps = np.sinc((high - low) / sample_rate * offsets) * np.cos(0.5 * np.pi * offsets / (half + 1)) ** 2
    return 2.0 * taps / taps.sum() * np.exp(1j * np.pi * (low + high) / sample_rate * offsets)


def _analytic(channel: np.ndarray, low: float, high: float, sample_rate: int) -> np.ndarray:
    """Returns the band of one channel as complex samples `(time - taps + 1,)`, without the filter's transients."""
    taps = _band_filter(low, high, sample_rate)
    response = np.fft.fft(taps, _FILTER_BLOCK)
    out = np.zeros(max(0, len(channel) - len(taps) + 1), np.complex64)
    step = _FILTER_BLOCK - len(taps) + 1
    for start in range(0, len(out), step):
        block = np.fft.ifft(np.fft.fft(channel[start : start + _FILTER_BLOCK], _FILTER_BLOCK) * response)
        out[start : start + step] = block[len(taps) - 1 :][: len(out) - start]
    return out


def _modulation(band: np.ndarray, length: int) -> tuple[np.ndarray, int]:
    """Returns the sum of the power spectra of an envelope's segments above the floor, and their number."""
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
    """Analyzes the band from 13 to 19 kHz of a whole song.

    Args:
        audio: array `(time, channels)`, scaled so that the lossless file peaks at full scale.
        sample_rate: Hz.
        limit: Hz up to which the audio is judged; the band ends there. Half the sample rate when `None`.

    Returns:
        The properties that `line_level` and `block_crest_error` need; `None` if less than half of the band can be
        judged.
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
    """Returns the frequencies of the bins of `band.modulation`: array `(bins,)` in Hz."""
    length = frame_length(_SEGMENT_DURATION, band.sample_rate)
    return np.arange(length // 2 + 1) * (band.sample_rate / length)


def line_level(band: HighBand | None) -> float | None:
    """Returns the `envelope_line` of an analyzed signal in dB, or `None`."""
    if band is None or band.modulation is None:
        return None
    frequencies, power = modulation_frequencies(band), band.modulation
    reach = round(_NEIGHBOURS / frequencies[1])
    near = np.r_[-reach:-_MAIN_LOBE, _MAIN_LOBE + 1 : reach + 1]
    bins = np.flatnonzero((frequencies >= LINES[0]) & (frequencies <= LINES[1]))
    # Bin 0 holds the remainder of the mean, so it is not used.
    neighbours = np.median(power[np.maximum(bins[:, None] + near, 1)], axis=1)
    strongest = np.max(power[bins] / np.maximum(neighbours, 1e-30))
    return float(10.0 * np.log10(max(strongest, 1e-30)))


def envelope_line(audio: np.ndarray, sample_rate: int) -> float | None:
    """Measures how much the highs buzz, without a reference. `ENVELOPE_DEFINITION` gives the exact definition.

    Args:
        audio: array `(time, channels)` in [-1, 1].
        sample_rate: Hz.

    Returns:
        The level in dB. Plain noise has 2 to 3 dB, and most music 3 to 6 dB. `None` if the band is silent, if half the
        sample rate cuts off more than half of it, or if there are fewer than 8 segments (1.7 s of mono).
    """
    return line_level(analyze(audio, sample_rate))


def block_crest_error(true: HighBand | None, pred: HighBand | None) -> float | None:
    """Returns the `crest_error` of two analyzed signals in dB, or `None`."""
    if true is None or pred is None or len(true.levels) < _FEWEST_BLOCKS:
        return None
    louder = true.levels >= np.median(true.levels)
    sounding = louder & (np.minimum(true.levels, pred.levels) > 10.0 ** (FLOOR / 20.0))
    if 2 * sounding.sum() <= louder.sum():
        return None
    return float(np.mean(pred.crests[sounding] - true.crests[sounding]))


def crest_error(y_true: np.ndarray, y_pred: np.ndarray, sample_rate: int, limit: float | None = None) -> float | None:
    """Measures how much more the highs click than in the lossless file. `CREST_DEFINITION` gives the exact definition.

    Args:
        y_true: lossless array `(time, channels)` in [-1, 1].
        y_pred: restored array of the same shape.
        sample_rate: Hz.
        limit: Hz up to which the reference is lossless; half the sample rate when `None`.

    Returns:
        The error in dB, positive if the restored signal has sharper peaks and negative if it has duller ones. `None` if
        the band is silent in either signal, if less than half of it lies below the limit, or if the channels have fewer
        than 16 blocks together.
    """
    return block_crest_error(analyze(y_true, sample_rate, limit), analyze(y_pred, sample_rate, limit))
