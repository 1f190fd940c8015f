"""Measures the lag of a decoded lossy file behind its source, or explains why the two are not a pair."""

import dataclasses
import itertools

import numpy as np

from ..errors import PairError

# Largest lag in samples that is searched, in both directions. Decoders and encoders stay below 2,500 samples.
MAX_DELAY = 16384

# Length of a window in samples. With the search range on both sides it fills one FFT of 65,536.
_WINDOW_LENGTH = 32768

# Distance between windows in seconds, and their smallest and largest number.
_SPACING, _FEWEST, _MOST = 4.0, 4, 24

# A lag cannot be measured below this number of samples, or below this peak (-80 dBFS).
_SHORTEST, _SILENCE = 512, 1e-4

# Windows this much quieter than the loudest (40 dB) are ignored.
_QUIET = 1e-4

# A window disagrees when its own best lag beats the common one by this much correlation.
_DISAGREES = 0.15

# A window whose best correlation is below this has no reliable lag of its own.
_CLEAR = 0.3

# Peaks within this much of the highest are compared on the unfiltered samples, up to this many of them. Two lags fit
# equally well when their correlations differ by less than codec noise can change them.
_NEARLY, _MOST_CANDIDATES, _TIE = 0.02, 8, 0.002

# The lag is refined within this many samples, on segments of this length. Coherence needs at least this many segments.
_REFINED, _SEGMENT, _FEWEST_SEGMENTS = 16, 2048, 16

# Correlation below which the lossy side counts as other music: over all windows, and in any loud window. Codecs at 24
# kbit/s stay above 0.6 overall, and above 0.2 on single drum hits.
_LOWEST_CORRELATION, _LOWEST_IN_WINDOW = 0.4, 0.1

# Samples that may be missing at the end of a lossy file, for `encode` and every reader of a pair: decoders drop the
# last frames with the encoder's look-ahead. If more is missing, music was lost.
MISSING_ALLOWED = 4608
_TRUNCATED = "a twin must be as long as its source; {:.2f} s are missing at the end (truncated?); use a whole file"


@dataclasses.dataclass(frozen=True)
class Alignment:
    """The measured lag between a lossless file and its decoded twin.

    Attributes:
        delay: samples by which the lossy side lags; negative if it leads.
        correlation: correlation over all windows at that lag, in [0, 1]; 1.0 if nothing was measured.
        num_windows: number of measured windows; 0 if `delay` was assumed, because both sides are silent or too short.
    """

    delay: int
    correlation: float
    num_windows: int


def _emphasize(audio: np.ndarray) -> np.ndarray:
    """Returns the first difference in float64, one sample shorter. Otherwise the broad peak of the bass dominates."""
    return np.diff(audio.astype(np.float64), axis=0)


def _starts(lossless: np.ndarray, window_length: int, sample_rate: int) -> list[int]:
    """Returns the starts of the windows: the loudest place in each of equal parts of the file."""
    last = len(lossless) - window_length
    count = int(np.clip(len(lossless) / sample_rate / _SPACING, _FEWEST, _MOST))
    power = np.cumsum(np.concatenate([[0.0], np.einsum("ij,ij->i", lossless, lossless)]), dtype=np.float64)
    edges = np.unique(np.linspace(0, last + 1, count + 1).astype(int))
    loudest = []
    for begin, end in itertools.pairwise(edges):
        places = np.arange(begin, end, max(window_length // 8, 1))
        energies = power[places + window_length] - power[places]
        best = int(np.argmax(energies))
        loudest.append((energies[best], int(places[best])))
    floor = _QUIET * max(energy for energy, _ in loudest)
    return [start for energy, start in loudest if energy > floor]


def _correlate(lossless: np.ndarray, lossy: np.ndarray, max_delay: int) -> np.ndarray:
    """Returns the normalised correlation of one window at every lag from `-max_delay` to `max_delay`.

    Args:
        lossless: array `(window, channels)`.
        lossy: array `(window + 2 * max_delay, channels)` around the same place.
    """
    size = len(lossy)
    spectra = np.conj(np.fft.rfft(lossless, size, axis=0)) * np.fft.rfft(lossy, axis=0)
    # The products are summed over channels, because a mix to mono would lose signals in opposite phase.
    products = np.fft.irfft(spectra.sum(axis=1), size)[: 2 * max_delay + 1]
    power = np.cumsum(np.concatenate([[0.0], np.sum(np.square(lossy), axis=1)]))
    energies = power[len(lossless) :] - power[: size - len(lossless) + 1]
    # The floor prevents windows of rounding noise from counting as a match.
    reference = np.sum(np.square(lossless))
    return products / np.sqrt(reference * np.maximum(energies, 1e-6 * reference))


def _candidates(mean: np.ndarray) -> list[int]:
    """Returns the indices of the highest peaks of a correlation, the best first, further apart than a peak is wide."""
    found: list[int] = []
    tied = np.flatnonzero(mean >= mean.max() - _NEARLY)
    for index in tied[np.argsort(-mean[tied], kind="stable")]:
        if all(abs(index - other) > _REFINED for other in found):
            found.append(int(index))
        if len(found) == _MOST_CANDIDATES:
            break
    return found


def _correlation(lossless: np.ndarray, lossy: np.ndarray) -> float:
    """Returns the correlation coefficient of two arrays, in [-1, 1]."""
    energy = np.sum(np.square(lossless))
    return float(np.sum(lossless * lossy) / np.sqrt(energy * max(np.sum(np.square(lossy)), 1e-12 * energy)))


def _refine(lossless: np.ndarray, lossy: np.ndarray) -> int:
    """Returns a correction in samples for the lag of roughly aligned windows, from a correlation weighted by coherence.

    A codec leaves noise at the frequencies where it saves bits, and this noise can move the plain peak by a sample. The
    weight gamma^2 / (1 - gamma^2) suppresses these frequencies (Knapp & Carter 1976, the Hannan-Thomson processor).

    Args:
        lossless, lossy: arrays `(windows, time, channels)`.
    """
    count = lossless.shape[1] // _SEGMENT
    shape = (-1, _SEGMENT, lossless.shape[2])
    source, target = (
        np.fft.rfft(np.hanning(_SEGMENT)[:, None] * audio[:, : count * _SEGMENT].reshape(shape), axis=1)
        for audio in (lossless, lossy)
    )
    if len(source) < _FEWEST_SEGMENTS:
        return 0
    cross = np.sum(np.conj(source) * target, axis=(0, 2))
    powers = np.sum(np.abs(source) ** 2, axis=(0, 2)) * np.sum(np.abs(target) ** 2, axis=(0, 2))
    magnitude = np.maximum(np.abs(cross), 1e-30)
    coherence = np.clip(magnitude**2 / np.maximum(powers, 1e-60), 0.0, 0.999)
    # Unrelated signals have a coherence of 1 / segments by chance.
    weight = np.where(coherence > 4.0 / len(source), coherence / (1.0 - coherence), 0.0)
    peaks = np.fft.irfft(cross / magnitude * weight, _SEGMENT)
    offsets = np.arange(-_REFINED, _REFINED + 1)
    return int(offsets[np.argmax(peaks[offsets])])


def _explain(lags: np.ndarray, starts: np.ndarray, sample_rate: int) -> str:
    """Describes how the lag differs between windows."""
    if len(lags) >= 4:
        slope, offset = np.polyfit(starts, lags, 1)
        residual = np.abs(lags - slope * starts - offset).max()
        if residual <= max(2.0, 0.1 * np.ptp(lags)):
            return f"drifts from {lags[0]} to {lags[-1]} samples ({1e6 * slope:.0f} ppm: another clock or sample rate)"
    changes = np.flatnonzero(np.abs(np.diff(lags)) > 1)
    if len(changes) == 1:
        at = changes[0]
        return (
            f"jumps from {lags[at]} to {lags[at + 1]} samples between {starts[at] / sample_rate:.1f} and"
            f" {starts[at + 1] / sample_rate:.1f} s (a cut or a splice)"
        )
    return f"differs between windows ({', '.join(map(str, lags[:6]))} samples: other music, or damaged)"


def _check_match(lossless: np.ndarray, lossy: np.ndarray, times: np.ndarray, brought: bool) -> float:
    """Returns the correlation of aligned windows; raises when music, level or channels do not match.

    Args:
        lossless, lossy: arrays `(windows, time, channels)`, float64.
        times: array `(windows,)`: where the windows begin, in seconds.
        brought: whether the lossy file came from the user, so that other music may have been spliced in. A file that
            was encoded from these samples is not checked for that, because at 32 kbit/s a passage of noise may lose its
            waveform (a correlation of 0.07 in one clip).
    """
    energies, lossy_energies = (np.einsum("ijk,ijk->i", audio, audio) for audio in (lossless, lossy))
    products = np.einsum("ijk,ijk->i", lossless, lossy)
    energy, lossy_energy, product = energies.sum(), lossy_energies.sum(), products.sum()
    correlation = _correlation(lossless, lossy)
    if correlation < _LOWEST_CORRELATION:
        raise PairError(
            f"both sides of a pair must be the same recording; at their best lag their correlation is only"
            f" {correlation:.2f} (other music, another speed, or damaged); use the right file"
        )
    foreign = products < _LOWEST_IN_WINDOW * np.sqrt(energies * lossy_energies) + 1e-12 * energies
    foreign &= energies > 0.01 * energies.max()
    if brought and foreign.any():
        raise PairError(
            f"both sides of a pair must be the same recording throughout; near {times[np.argmax(foreign)]:.1f} s"
            " the lossy one holds something else; use a whole, undamaged file"
        )
    # A codec that removes signal lowers the first ratio, and one that adds noise raises the second; neither crosses
    # these limits.
    if product > np.sqrt(2) * energy or lossy_energy < product / np.sqrt(2):
        level = 10 * np.log10(lossy_energy / energy)
        raise PairError(
            f"both sides of a pair must have the same level; the lossy one differs by {level:+.1f} dB;"
            " use a file without gain"
        )
    if lossless.shape[2] == 2 and np.sum(lossless * lossy[:, :, ::-1]) > 1.05 * product:
        raise PairError("both sides of a pair must have one channel order; left and right are swapped; swap them back")
    return correlation


def measure_delay(
    lossless: np.ndarray,
    lossy: np.ndarray,
    sample_rate: int,
    max_delay: int = MAX_DELAY,
    expected: int | None = None,
) -> Alignment:
    """Measures the lag of a decoded lossy file, window by window.

    Each window (the loudest place in each part of the file) is cross-correlated by FFT over every lag.
    The mean of the windows' correlations determines the lag, so that clear passages settle periodic ones. Every window
    must then agree with it.

    Args:
        lossless: array `(time, channels)`.
        lossy: array `(time, channels)` at the same sample rate, of any length.
        sample_rate: Hz.
        max_delay: largest lag in samples, both ways.
        expected: lag in samples to use if nothing can be measured (silence, or fewer than 512 samples), if other lags
            fit no better (periodic music), or if the best lag is within 16 samples of it. Without it the first two
            cases raise an error.

    Returns:
        The `Alignment`.

    Raises:
        PairError: the files have different channels, music or levels; the lag drifts or jumps; the polarity is
            inverted; the channels are swapped; the end is missing; samples are not finite; or nothing can be measured.
    """
    if lossless.shape[1] != lossy.shape[1]:
        raise PairError(
            f"both sides of a pair must have the same channels; the lossless one has {lossless.shape[1]}, the lossy one"
            f" {lossy.shape[1]}; use a file that matches"
        )
    peak, lossy_peak = (float(np.abs(audio).max(initial=0.0)) for audio in (lossless, lossy))
    if not np.isfinite([peak, lossy_peak]).all():
        broken = "lossy" if np.isfinite(peak) else "lossless"
        raise PairError(f"samples must be finite; the {broken} side has NaN or infinity; make that file again")
    if len(lossless) < _SHORTEST or max(peak, lossy_peak) < _SILENCE:
        if expected is None:
            raise PairError(
                f"a lag needs at least {_SHORTEST} samples and a peak above -80 dBFS; received {len(lossless)} samples"
                f" with a peak of {peak:.1g}; leave this track out"
            )
        return Alignment(delay=expected, correlation=1.0, num_windows=0)
    if min(peak, lossy_peak) < _SILENCE:
        silent = "lossless" if peak < _SILENCE else "lossy"
        raise PairError(f"both sides of a pair must hold sound; the {silent} one is silent; use the right file")

    if len(lossless) - len(lossy) > MISSING_ALLOWED + max_delay:
        raise PairError(_TRUNCATED.format((len(lossless) - len(lossy)) / sample_rate))

    window_length = min(_WINDOW_LENGTH, len(lossless))
    starts = np.array(_starts(lossless, window_length, sample_rate))
    # Zeros are added on both sides, so that windows near the ends have samples at every lag.
    tail = max(len(lossless) - len(lossy), 0) + max_delay
    around = np.pad(lossy, ((max_delay, tail), (0, 0)))
    span = window_length + 2 * max_delay
    correlations = np.stack(
        [
            _correlate(
                _emphasize(lossless[start : start + window_length]), _emphasize(around[start : start + span]), max_delay
            )
            for start in starts
        ]
    )
    mean = correlations.mean(axis=0)
    if -mean.min() > max(mean.max() + 0.05, _LOWEST_CORRELATION):
        raise PairError("both sides of a pair must have the same polarity; the lossy one is inverted; invert it back")

    own = np.argmax(correlations, axis=1)
    own_peaks = correlations.max(axis=1)
    best = int(np.argmax(mean))
    disagrees = (own_peaks - correlations[:, best] > _DISAGREES) & (np.abs(own - best) > _REFINED)
    clear = own_peaks > _CLEAR
    if np.any(disagrees & clear):
        raise PairError(
            "the lag of a pair must be constant; it"
            f" {_explain(own[clear] - max_delay, starts[clear], sample_rate)}; use a file from the same master"
        )

    def cut(audio: np.ndarray, offset: int) -> np.ndarray:
        return np.stack([audio[offset + start :][:window_length] for start in starts]).astype(np.float64)

    windows = cut(lossless, 0)
    candidates = _candidates(mean)
    if expected is not None and abs(expected) <= max_delay:
        candidates.append(expected + max_delay)
    scores = np.array([_correlation(windows, cut(around, candidate)) for candidate in candidates])
    alike = np.array(candidates)[scores >= scores.max() - _TIE]
    if expected is not None and np.abs(alike - (expected + max_delay)).min() <= _REFINED:
        # A container declares its delay exactly or is wrong by hundreds of samples, so a small difference is noise.
        best, alike = expected + max_delay, alike[:1]
    else:
        best = int(np.clip(alike[0] + _refine(windows, cut(around, alike[0])), 0, 2 * max_delay))
    delay = best - max_delay
    correlation = _check_match(windows, cut(around, best), starts / sample_rate, brought=expected is None)
    missing = len(lossless) - (len(lossy) - delay)
    if missing > MISSING_ALLOWED:
        raise PairError(_TRUNCATED.format(missing / sample_rate))
    if len(alike) > 1:
        raise PairError(
            f"a pair needs one lag that fits best; the music repeats itself, and lags of {alike[0] - max_delay} and"
            f" {alike[1] - max_delay} samples fit equally well; use a longer or less periodic recording"
        )
    return Alignment(delay=delay, correlation=correlation, num_windows=len(starts))
