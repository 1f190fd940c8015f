"""Measures how much a model changes music that needs no restoration, and its effect on level and stereo image.

    python tools/measure_harm.py PAIRS/pairs.jsonl [--model MODEL]

The model restores every lossless clip of the manifest, and the same clip as MP3 at 320, 256, 192 and 128 kbit/s. The
column "in" is the SNR of the output relative to the input (the goal for lossless, 320 and 256 kbit/s is at least
45 dB). "level-matched" is the same SNR after the change of level is removed. "before" and "after" are the SNRs of input
and output relative to the lossless clip.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from keras_audiosr.codecs.round_trip import fit_length
from keras_audiosr.files.audio_files import read
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.runners import load_runner
from keras_audiosr.shelf.manifests import Pair, read_manifest

# kbit/s of the MP3 files; `None` stands for the lossless clip.
BITRATES = (None, 320, 256, 192, 128)


def snr(reference: np.ndarray, signal: np.ndarray) -> float:
    """Returns the SNR in dB."""
    return float(10 * np.log10(np.sum(reference**2.0) / max(np.sum((signal - reference) ** 2.0), 1e-20)))


def gain(reference: np.ndarray, signal: np.ndarray) -> float:
    """Returns the factor of `reference` that is closest to `signal` in the least-squares sense."""
    return float(np.sum(reference * signal) / np.sum(reference**2.0))


def image(audio: np.ndarray) -> tuple[float, float]:
    """Returns the level of the left channel relative to the right in dB, and the correlation of both."""
    left, right = np.mean(audio**2.0, axis=0) + 1e-12
    return float(10 * np.log10(left / right)), float(np.corrcoef(audio.T)[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path, help="pairs.jsonl; its lossless files are used")
    parser.add_argument("--model", help="model as for restore (default: the bundled one)")
    args = parser.parse_args()
    runner = load_runner(args.model)
    clips = sorted({pair.lossless for pair in read_manifest(args.manifest, Pair)})
    print("| input | in, mean (worst) | level-matched | level | before | after | image: level, correlation, at most |")
    print("|---|---|---|---|---|---|---|")
    for bitrate in BITRATES:
        rows, images = [], [(0.0, 0.0)]
        for clip in clips:
            lossless, sample_rate = read(args.manifest.parent / clip)
            if bitrate is None:
                given, restored = lossless, runner.run(lossless, sample_rate)
            else:
                given, restored = through_mp3(args.manifest.parent / clip, bitrate, len(lossless), runner, sample_rate)
            level = gain(given, restored)
            changes = (snr(given, restored), snr(given, restored / level), 20 * np.log10(level))
            rows.append((*changes, snr(lossless, given), snr(lossless, restored)))
            if given.shape[1] == 2:
                images.append(tuple(np.abs(np.subtract(image(restored), image(given)))))
        inside, matched, level, before, after = np.mean(rows, axis=0)
        worst = min(row[0] for row in rows)
        name, before = ("lossless", "") if bitrate is None else (f"mp3@{bitrate}k", f"{before:.1f} dB")
        difference, correlation = np.max(images, axis=0)
        print(
            f"| {name} | {inside:.1f} ({worst:.1f}) dB | {matched:.1f} dB | {level:+.2f} dB | {before} |"
            f" {after:.1f} dB | {difference:.3f} dB, {correlation:.4f} |"
        )


def through_mp3(clip: Path, bitrate: int, length: int, runner, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Encodes a clip as MP3 and restores it; the model receives the path of the file, as in `restore`.

    Returns:
        The decoded MP3 and the restored clip, arrays `(time, channels)`.
    """
    with tempfile.TemporaryDirectory() as folder:
        lossy = f"{folder}/a.mp3"
        run_ffmpeg("-i", str(clip), "-b:a", f"{bitrate}k", lossy)
        given = fit_length(read(lossy)[0], 0, length)
        return given, runner.run(given, sample_rate, lossy)


if __name__ == "__main__":
    main()
