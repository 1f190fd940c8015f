"""How fast restoring is: the network alone on one LiteRT thread, and the command from start to end.

    python tools/benchmark_restore.py [--repetitions N] [--beside MODEL ...]

Medians of several repetitions, on the bundled clip repeated to length; the machine and its load are printed with them.
`--beside` times the networks of other models too, such as an older release: what a shared machine gives differs from
day to day, what it gives one after the other does not.
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

import numpy as np

from keras_audiosr.files.audio_files import read, write
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.runners import load_runner

CLIP = Path(__file__).parents[1] / "tests" / "data" / "loop_tabla.flac"
DURATIONS = (10, 180)


def median_seconds(call, repetitions: int) -> float:
    """Median wall-clock seconds of `call()`, after one that warms up."""
    call()
    found = []
    for _ in range(repetitions):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--beside", metavar="MODEL", nargs="+", default=[], help="exported models or presets")
    args = parser.parse_args()
    repetitions = args.repetitions
    clip, sample_rate = read(CLIP)

    rows = []
    for model in (None, *args.beside):
        runner = load_runner(model)
        window = np.resize(clip[:, 0], runner.window_length)[None, :, None].astype(np.float32)
        seconds = median_seconds(lambda: runner.predict(window), 4 * repetitions)  # noqa: B023 - called at once
        useful = (runner.window_length - 2 * runner.context) / runner.sample_rate
        of = "" if model is None else f" of `{model}`"
        rows.append((f"network{of}, mono, one thread", runner.window_length / runner.sample_rate, seconds))
        rows.append(("the same, without the overlap", useful, seconds))

    command = [sys.executable, "-m", "keras_audiosr"]
    with tempfile.TemporaryDirectory() as folder:
        for duration in DURATIONS:
            song = Path(folder) / f"{duration}.mp3"
            long = Path(folder) / "long.flac"
            write(long, np.resize(clip, (duration * sample_rate, clip.shape[1])), sample_rate)
            run_ffmpeg("-y", "-i", str(long), "-b:a", "64k", str(song))

            def restore(song=song):
                arguments = ["restore", str(song), "-o", f"{folder}/out.flac", "--overwrite"]
                subprocess.run([*command, *arguments], check=True, capture_output=True)

            rows.append((f"`restore`, {duration} s stereo MP3", duration, median_seconds(restore, repetitions)))
        help_seconds = median_seconds(
            lambda: subprocess.run([*command, "--help"], check=True, capture_output=True), repetitions
        )

    print(
        f"Medians of {repetitions}; {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f}\n"
    )
    print("| what | seconds of audio | seconds | times real time |\n|---|---:|---:|---:|")
    for name, duration, seconds in rows:
        print(f"| {name} | {duration:.1f} | {seconds:.3f} | {duration / seconds:.0f} |")
    print(f"| `--help` | | {help_seconds:.2f} | |")


if __name__ == "__main__":
    main()
