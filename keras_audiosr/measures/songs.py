"""Computes all figures of whole songs against their lossless source."""

from collections.abc import Iterator, Mapping

import numpy as np
from keras import ops

from .bands import BANDS_DEFINITION, FRAME_DURATION, FRAMES_OVERLAP, band_edges, frame_distance, frame_errors
from .highs import BAND as HIGH_BAND
from .highs import CREST_DEFINITION, ENVELOPE_DEFINITION, analyze, block_crest_error, line_level
from .metrics import FRAME_LENGTH, FRAME_STEP, LSD_DEFINITION, frame_lsd, log_spectrum, si_sdr, snr
from .ranges import frame_length, judged_band
from .stereo import BAND as STEREO_BAND
from .stereo import STEREO_DEFINITION, CrossSpectrum

__all__ = ["DEFINITIONS", "LEVEL_DEFINITION", "OCTAVES", "below", "limit_definition", "measure", "normalize"]

# Number of frames whose spectra are in memory at a time, so that memory does not grow with the length of the song.
BLOCK_FRAMES = 512

# Edges in Hz of the octaves that have a band bias of their own, by its name. A band belongs to the octave in which its
# geometric middle lies.
OCTAVES = {"band_bias_8k": (8000.0, 16000.0), "band_bias_16k": (16000.0, 32000.0)}

# The callers of `measure` scale the files. A metric of a batch cannot, because it does not know the file's peak.
LEVEL_DEFINITION = (
    "Level: each file is first scaled so that its lossless side peaks at full scale. The floors therefore lie 100 dB"
    " under the file's own peak, however loud the file was mastered. SNR and SI-SDR do not depend on the scale."
)
DEFINITIONS = [LSD_DEFINITION, LEVEL_DEFINITION, BANDS_DEFINITION, ENVELOPE_DEFINITION, CREST_DEFINITION]
DEFINITIONS += [STEREO_DEFINITION]


def limit_definition(limit: float) -> str:
    """Returns the definition of the limit, for figures of songs that are lossless only up to a frequency in Hz."""
    return (
        f"Limit: frequencies above {limit:g} Hz are not judged, because the lossless files are not lossless there. LSD"
        " uses the bins up to the limit. SNR, SI-SDR and the perceptual models compare signals that are low-passed at"
        " the limit. The other bands end at the limit or are left out. Only the envelope line of the unprocessed and"
        " the restored signal, which needs no reference, uses the whole band."
    )


def normalize(lossless: np.ndarray, *signals: np.ndarray) -> tuple[np.ndarray, ...]:
    """Applies one gain to all signals, so that the lossless one peaks at full scale (see `LEVEL_DEFINITION`)."""
    peak = float(np.abs(lossless).max(initial=0.0)) or 1.0
    return tuple(signal / peak for signal in (lossless, *signals))


def below(audio: np.ndarray, sample_rate: int, limit: float | None) -> np.ndarray:
    """Low-passes a signal by setting its spectrum above a frequency to zero.

    Args:
        audio: array `(time, channels)`.
        sample_rate: Hz.
        limit: highest frequency in Hz that is kept; all frequencies when `None`.

    Returns:
        Array of the same shape and dtype.
    """
    if limit is None or limit >= sample_rate / 2:
        return audio
    out = np.empty_like(audio)
    kept = int(limit * len(audio) / sample_rate) + 1
    # Channels are processed one at a time, because the transform takes four times the memory of the signal.
    for index in range(audio.shape[1]):
        spectrum = np.fft.rfft(audio[:, index])
        spectrum[kept:] = 0.0
        out[:, index] = np.fft.irfft(spectrum, len(audio))
    return out


def measure(
    lossless: np.ndarray,
    signals: Mapping[str, np.ndarray],
    sample_rate: int,
    cutoff: float,
    limit: float | None = None,
) -> dict[str, dict]:
    """Measures several signals against one lossless signal.

    Args:
        lossless: array `(time, channels)` in [-1, 1], scaled by `normalize`.
        signals: arrays of the same shape by name, scaled by `normalize`.
        sample_rate: Hz.
        cutoff: Hz above which the lossy input has practically no signal.
        limit: Hz up to which the lossless signal is lossless; half the sample rate when `None`.

    Returns:
        A dict of figures for each name. A figure is `None` if it cannot be judged:

        - `"snr"`, `"si_sdr"`: dB.
        - `"lsd"`, `"lsd_hf"`, `"lsd_lf"`: LSD over all bins, over those above the cutoff, and over those up to it.
        - `"band_distance"`: dB. `"band_bias"`: dB. `"band_bias_8k"`, `"band_bias_16k"`: the band bias in dB of the
          octaves that begin at 8 and at 16 kHz. `"band_biases"`: the bias in dB of each band, by its lower edge in Hz.
        - `"envelope_line"`, `"crest_error"`: dB.
        - `"stereo_error"`, `"stereo_error_lf"`: difference of correlation, from 0 to 2, from 12 to 18 kHz and below the
          cutoff.

        Under `"lossless"` there is a dict with the `"envelope_line"` of the lossless signal.
    """
    stacked = np.stack([lossless, *signals.values()])
    heard = np.stack([below(audio, sample_rate, limit) for audio in stacked])
    y_true = np.broadcast_to(heard[:1], heard[1:].shape)
    ratios = {"snr": snr(y_true, heard[1:]), "si_sdr": si_sdr(y_true, heard[1:])}
    ratios = {name: ops.convert_to_numpy(values) for name, values in ratios.items()}
    distances, bands = _lsd(stacked, sample_rate, cutoff, limit), _bands(stacked, sample_rate, limit)
    found: dict[str, dict] = {}
    for index, name in enumerate(signals):
        found[name] = {key: float(values[index]) for key, values in ratios.items()} | distances[index] | bands[index]

    # If the limit cuts the lossless band, its envelope cannot be compared with that of the whole band.
    whole = limit is None or limit >= HIGH_BAND[1]
    true = analyze(lossless, sample_rate, limit)
    found["lossless"] = {"envelope_line": line_level(true) if whole else None}
    for name, audio in signals.items():
        heard = analyze(audio, sample_rate)
        judged = heard if whole else analyze(audio, sample_rate, limit)
        found[name] |= {"envelope_line": line_level(heard), "crest_error": block_crest_error(true, judged)}
    for name, errors in _stereo_errors(lossless, signals, sample_rate, cutoff, limit).items():
        found[name] |= errors
    return found


def _spectra_blocks(stacked: np.ndarray, length: int, step: int) -> Iterator[np.ndarray]:
    """Yields blocks that hold whole frames, so that sums over all blocks are those of the whole song."""
    frames = max(0, stacked.shape[1] - length) // step + 1
    for first in range(0, frames, BLOCK_FRAMES):
        last = min(first + BLOCK_FRAMES, frames)
        yield stacked[:, first * step : (last - 1) * step + length]


def _lsd(stacked: np.ndarray, sample_rate: int, cutoff: float, limit: float | None) -> list[dict]:
    bands: dict[str, tuple[float | None, float | None]] = {
        "lsd": (None, limit),
        "lsd_lf": (None, cutoff if limit is None else min(cutoff, limit)),
    }
    if cutoff < min(sample_rate / 2, sample_rate / 2 if limit is None else limit):
        bands["lsd_hf"] = (cutoff, limit)
    sums, frames = {name: np.zeros(len(stacked) - 1) for name in bands}, 0
    for block in _spectra_blocks(stacked, FRAME_LENGTH, FRAME_STEP):
        # The lossless spectrum is computed once for all signals.
        spectra = log_spectrum(block)
        frames += spectra.shape[2]
        for name, band in bands.items():
            distances = ops.convert_to_numpy(frame_lsd(spectra[:1], spectra[1:], *band, sample_rate))
            sums[name] += distances.mean(axis=1, dtype=np.float64).sum(axis=1)
    return [
        {name: float(sums[name][index]) / frames if name in sums else None for name in ("lsd", "lsd_hf", "lsd_lf")}
        for index in range(len(stacked) - 1)
    ]


def _bands(stacked: np.ndarray, sample_rate: int, limit: float | None) -> list[dict]:
    edges = band_edges(sample_rate, limit)
    signals = len(stacked) - 1
    distance, counts, errors = np.zeros(signals), np.zeros(signals), np.zeros((signals, len(edges)))
    length = frame_length(FRAME_DURATION, sample_rate)
    if len(edges):
        for block in _spectra_blocks(stacked, length, length // FRAMES_OVERLAP):
            error, weights, judged = frame_errors(block[:1], block[1:], sample_rate, limit)
            distance += ops.convert_to_numpy(ops.sum(frame_distance(error, judged) * weights, axis=(1, 2)))
            errors += ops.convert_to_numpy(ops.sum(error * weights[..., None], axis=(1, 2)))[:, : len(edges)]
            counts += ops.convert_to_numpy(ops.sum(weights, axis=(1, 2)))
    middles = np.sqrt(edges.prod(axis=1))
    found = []
    for index, count in enumerate(counts):
        biases = errors[index] / count if count else np.zeros(0)
        octaves = {name: (middles >= low) & (middles < high) for name, (low, high) in OCTAVES.items()}
        means = {
            name: float(biases[inside].mean()) if count and inside.any() else None for name, inside in octaves.items()
        }
        found.append(
            {
                "band_distance": float(distance[index] / count) if count else None,
                "band_bias": float(biases.mean()) if count else None,
                **means,
                "band_biases": {
                    f"{low:.0f}": round(float(bias), 3) for (low, _), bias in zip(edges, biases, strict=False)
                },
            }
        )
    return found


def _stereo_errors(
    lossless: np.ndarray, signals: Mapping[str, np.ndarray], sample_rate: int, cutoff: float, limit: float | None
) -> dict[str, dict]:
    bands = {
        "stereo_error": judged_band(*STEREO_BAND, sample_rate, limit),
        "stereo_error_lf": (0.0, cutoff if limit is None else min(cutoff, limit)),
    }
    if lossless.shape[1] != 2:
        return {name: dict.fromkeys(bands) for name in signals}
    true = CrossSpectrum(lossless, sample_rate)
    found = {}
    for name, audio in signals.items():
        pred = CrossSpectrum(audio, sample_rate)
        found[name] = {key: None if band is None else pred.error(true, *band) for key, band in bands.items()}
    return found
