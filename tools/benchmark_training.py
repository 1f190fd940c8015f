"""Times the training steps of `train`, and measures its memory, for this version and an earlier one in turn.

    python tools/benchmark_training.py PAIRS/pairs.jsonl PRESET [PRESET ...] [--checkout FOLDER] [--steps N]

Each preset is trained from random weights for one epoch and for three epochs of N steps. The difference between the two
runs is the time of two epochs, which contains no start and no compiling. The memory is the peak of the longer run. With
`--checkout`, an earlier version does the same in turn, so that both see the same machine. Only ratios within one run
can be compared.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def train(checkout: Path, arguments: list[str], epochs: int) -> tuple[float, float]:
    """Trains into a temporary folder with one checkout; returns wall-clock seconds and peak memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "keras_audiosr", "train", *arguments]
        command += ["-o", f"{folder}/run", "--epochs", str(epochs)]
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=checkout, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # The usage of this one process; `subprocess` would wait without reporting it.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"'{' '.join(command)}' failed in {checkout}; run it there to see why")
        return seconds, usage.ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path, help="pairs.jsonl, written by 'keras-audiosr encode'")
    parser.add_argument("presets", nargs="+", metavar="PRESET", help="presets that both versions have")
    parser.add_argument("--checkout", metavar="FOLDER", type=Path, help="a checkout of an earlier version")
    parser.add_argument("--steps", type=int, default=50, metavar="N", help="steps in an epoch (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="default: %(default)s")
    args = parser.parse_args()

    checkouts = [ROOT] if args.checkout is None else [ROOT, args.checkout.resolve()]
    rows = []
    for preset in args.presets:
        arguments = [preset, str(args.pairs.resolve()), "--steps-per-epoch", str(args.steps)]
        found: list[list[tuple[float, float]]] = [[] for _ in checkouts]
        for checkout in checkouts:
            # The first run of a checkout compiles its modules and fills the disk's cache, so it is not counted.
            train(checkout, arguments, 1)
        for _ in range(args.repetitions):
            for values, checkout in zip(found, checkouts, strict=True):
                short, _ = train(checkout, arguments, 1)
                long, memory = train(checkout, arguments, 3)
                values.append((2 * args.steps / (long - short), memory))
        rows.append((preset, [[statistics.median(column) for column in zip(*values, strict=True)] for values in found]))

    print(
        f"Medians of {args.repetitions}; {os.cpu_count()} cores, {platform.machine()},"
        f" Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}\n"
    )
    earlier = "" if args.checkout is None else " earlier: steps a second | earlier: memory (MB) | ratio of speeds |"
    print(f"| preset | steps a second | peak memory (MB) |{earlier}")
    print("|---|---:|---:|" + ("---:|---:|---:|" if earlier else ""))
    for preset, values in rows:
        cells = [text for speed, memory in values for text in (f"{speed:.2f}", f"{memory:.0f}")]
        if earlier:
            cells.append(f"{values[0][0] / values[1][0]:.2f}")
        print(f"| `{preset}` | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
