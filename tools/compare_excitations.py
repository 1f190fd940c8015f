"""Compares excitations as replacements of what a codec removed, and prints a table (docs/model/README.md has it).

    python tools/compare_excitations.py CLIP [CLIP ...] [--codec CODEC ...]

Each clip is encoded and decoded. An excitation is made from the decoded clip. Its part above the codec's cutoff
receives the true level in bands of 690 Hz, and replaces that part of the lossless clip. So a row of the table shows
what an excitation can achieve in a network that returns only levels. No network is trained.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from scipy.ndimage import uniform_filter

from keras_audiosr.measures.highs import crest_error, envelope_line
from keras_audiosr.measures.metrics import lsd_hf
from keras_audiosr.sound.bandwidth import estimate_cutoff
from keras_audiosr.training.degradations import round_trip

# Seconds of each clip that are used.
SECONDS = 8
# Name -> frame length and hop length in samples; frames and bins over which the excitation's own level is averaged
# before it is removed; bins that share one true level.
TRANSFORMS = {
    "2048/512": (2048, 512, (5, 17), 32),
    "512/128": (512, 128, (16, 9), 8),
    "512/256": (512, 256, (8, 9), 8),
}


def high_passed(samples):
    """Applies the high-pass filter `x[n] - 0.95 x[n - 1]` twice."""
    for _ in range(2):
        samples = samples - 0.95 * delayed(samples)
    return samples


def delayed(samples):
    """Delays by one sample."""
    return np.concatenate([[0.0], samples[:-1]])


def clipped(samples):
    """Clips each high-passed sample to the magnitude of the one before."""
    high = high_passed(samples)
    ceiling = np.abs(delayed(high))
    return np.clip(high, -ceiling, ceiling)


# Odd excitations turn -x into -y. If the channels of a song are swapped, its side signal changes its sign, and an odd
# excitation still gives the same music with swapped channels.
EXCITATIONS = {
    "rectified: abs(x)": np.abs,
    "high-passed, then rectified: abs(h)": lambda samples: np.abs(high_passed(samples)),
    "h * abs(h), odd": lambda samples: high_passed(samples) * np.abs(high_passed(samples)),
    "h cubed, odd": lambda samples: high_passed(samples) ** 3,
    "signed square root of h, odd": lambda samples: (
        np.sign(high_passed(samples)) * np.sqrt(np.abs(high_passed(samples)))
    ),
    "abs(h) with the sign of the sample before, odd": lambda samples: (
        np.sign(delayed(high_passed(samples))) * np.abs(high_passed(samples))
    ),
    "h clipped to the size of the sample before, odd": clipped,
    "noise": lambda samples: np.random.default_rng(0).standard_normal(len(samples)),
}


def stft(samples, frame_length, hop_length):
    """Computes an STFT with a sine window: an array `(frames, bins)`."""
    more = frame_length - hop_length
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, more), frame_length)[::hop_length]
    return np.fft.rfft(frames * np.sin(np.pi * np.arange(frame_length) / frame_length))


def inverse_stft(spectra, frame_length, hop_length, length):
    """Inverts `stft`; returns `length` samples."""
    window = np.sin(np.pi * np.arange(frame_length) / frame_length) * 2 * hop_length / frame_length
    frames = np.fft.irfft(spectra) * window
    samples = np.zeros(hop_length * len(frames) + frame_length)
    for index, frame in enumerate(frames):
        samples[index * hop_length : index * hop_length + frame_length] += frame
    more = frame_length - hop_length
    return samples[more : more + length]


def filled(lossless, excitation, cutoff, sample_rate, transform):
    """Replaces the highs of a lossless clip by those of the excitation, at the true level.

    Args:
        lossless, excitation: arrays `(time,)`.
        cutoff: Hz; only frequencies from here on are replaced.
        sample_rate: Hz.
        transform: key of `TRANSFORMS`.
    """
    frame_length, hop_length, levelled, bins = TRANSFORMS[transform]
    true = stft(lossless, frame_length, hop_length)
    texture = stft(excitation, frame_length, hop_length)

    def power(spectra, size):
        return np.maximum(uniform_filter(np.square(np.abs(spectra)), size), 0.0) + 1e-20

    texture = texture / np.sqrt(power(texture, levelled))
    level = np.sqrt(power(true, (1, bins)) / power(texture, (1, bins)))
    first = int(cutoff / sample_rate * frame_length)
    true[:, first:] = (level * texture)[:, first:]
    return inverse_stft(true, frame_length, hop_length, len(lossless))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path, help="lossless files at 44.1 kHz")
    parser.add_argument("--codec", action="append", help="such as mp3@64k (default: mp3@48k and mp3@96k)")
    args = parser.parse_args()
    codecs = args.codec or ["mp3@48k", "mp3@96k"]
    found, lossless_lines = {}, []
    for clip in args.clips:
        pcm, rate = soundfile.read(clip, frames=SECONDS * 44100, dtype="int16", always_2d=True)
        pcm = np.repeat(pcm, 2, axis=1) if pcm.shape[1] == 1 else pcm
        lossless = pcm.mean(axis=1) / 32768.0
        peak = np.abs(lossless).max()
        lossless_lines.append(envelope_line(lossless[:, None] / peak, rate))
        for codec in codecs:
            with tempfile.TemporaryDirectory() as folder:
                lossy, gain = round_trip(np.ascontiguousarray(pcm), codec, Path(folder))
            lossy = lossy.mean(axis=1).astype(np.float64) / gain
            cutoff = float(estimate_cutoff(lossy[:, None].astype(np.float32), rate))
            for name, excite in EXCITATIONS.items():
                for transform in TRANSFORMS:
                    restored = filled(lossless, excite(lossy), cutoff, rate, transform)
                    signals = [(signal[:, None] / peak).astype(np.float32) for signal in (lossless, restored)]
                    distance = lsd_hf(*(signal[None] for signal in signals), cutoff, rate)
                    values = envelope_line(signals[1], rate), crest_error(*signals, rate), float(distance[0])
                    found.setdefault((name, transform), {}).setdefault(codec, []).append(values)
    lines = [line for line in lossless_lines if line is not None]
    print(f"{len(args.clips)} clips; envelope line of the lossless clips: {np.mean(lines):.1f} dB\n")
    print(
        "| excitation | transform | " + " | ".join(f"{codec}: line / crest error / LSD-HF" for codec in codecs) + " |"
    )
    print("|---|---|" + "---|" * len(codecs))
    for (name, transform), rows in found.items():
        cells = []
        for codec in codecs:
            line, crest, distance = (
                np.mean([v for v in column if v is not None]) for column in zip(*rows[codec], strict=True)
            )
            cells.append(f"{line:.1f} dB / {crest:+.1f} dB / {distance:.2f}")
        print(f"| {name} | {transform} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
