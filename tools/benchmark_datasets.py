"""Measures how many pairs of 2,000 samples per second the whole pipeline delivers, compared with decoding alone.

    python tools/benchmark_datasets.py MANIFEST [--decoder soundfile] [--codec mp3@64k] [--repetitions 5]

Both read the same files with the same decoder and the same number of files in parallel. They take turns in one
process, and the medians are printed as a Markdown table. The pipeline also shuffles, changes gain and polarity, and
batches. Other programs on the machine affect wall-clock time, but hardly affect processor time, so both ratios are
printed.
"""

import argparse
import os
import platform
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf

from keras_audiosr.datasets import build_dataset
from keras_audiosr.datasets.decode import DECODERS, decode_pair
from keras_audiosr.datasets.pipeline import _PARALLEL_FILES
from keras_audiosr.datasets.plan import make_plan, settings_of

WINDOW_LENGTH = 2000
BATCH_SIZE = 32


def decode_alone(plan) -> tf.data.Dataset:
    """Returns a dataset that decodes every pair and yields only the number of its samples."""

    def load(index: np.ndarray) -> np.ndarray:
        lossless, _ = decode_pair(plan.pairs[int(index)], plan.folder, plan.decoder)
        return np.int64(lossless.size)

    files = tf.data.Dataset.range(len(plan.pairs))
    return files.map(lambda index: tf.numpy_function(load, [index], tf.int64), num_parallel_calls=_PARALLEL_FILES)


def measure(run) -> tuple[float, float]:
    """Calls `run()`, which returns a number of pairs; returns pairs per second and CPU microseconds per pair."""
    wall, processor = time.perf_counter(), sum(os.times()[:4])
    pairs = run()
    return pairs / (time.perf_counter() - wall), 1e6 * (sum(os.times()[:4]) - processor) / pairs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest")
    parser.add_argument("--decoder", choices=DECODERS, default=DECODERS[0])
    parser.add_argument("--codec", action="append")
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()

    arguments = {
        "window_length": WINDOW_LENGTH,
        "batch_size": BATCH_SIZE,
        "codecs": args.codec,
        "decoder": args.decoder,
    }
    plan = make_plan(args.manifest, *settings_of(None, None, arguments))
    alone = decode_alone(plan)
    pipeline = build_dataset(args.manifest, gain=(-6.0, 0.0), polarity=True, **arguments)
    runs = {
        "decoding alone": lambda: sum(int(size) for size in alone) / WINDOW_LENGTH,
        "whole pipeline": lambda: sum(lossy.shape[0] for lossy, _ in pipeline),
    }
    # The first pass only fills the page cache and TensorFlow's own caches, so it is not counted.
    figures = {name: [] for name in runs}
    for repetition in range(args.repetitions + 1):
        for name, run in runs.items():
            found = measure(run)
            if repetition:
                figures[name].append(found)

    hours = sum(pair.duration * pair.channels for pair in plan.pairs) / 3600
    print(
        f"{plan.total_windows} pairs of {WINDOW_LENGTH} samples from {len(plan.pairs)} files ({hours:.2f}"
        f" channel-hours), decoder {plan.decoder}, {_PARALLEL_FILES} files in parallel, medians of {args.repetitions};"
        f" {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()},"
        f" TensorFlow {tf.__version__}, load {os.getloadavg()[0]:.1f}\n"
    )
    print("| | pairs/s | lowest and highest | processor time per pair (us) |\n|---|---|---|---|")
    medians = {}
    for name, found in figures.items():
        rates, costs = zip(*found, strict=True)
        medians[name] = statistics.median(rates), statistics.median(costs)
        print(f"| {name} | {medians[name][0]:,.0f} | {min(rates):,.0f} to {max(rates):,.0f} | {medians[name][1]:.1f} |")
    speed = medians["whole pipeline"][0] / medians["decoding alone"][0]
    cost = medians["decoding alone"][1] / medians["whole pipeline"][1]
    print(f"| pipeline / decoding alone | {speed:.2f} | | {cost:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
