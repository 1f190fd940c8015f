"""Times the network alone on one LiteRT thread, and the whole commands `restore` and `--help`.

    python tools/benchmark_restore.py [--repetitions N] [--beside MODEL ...] [--checkout FOLDER]

Every value is the median of several repetitions on the bundled clip, which is repeated to the length that is needed.
The machine and its load are printed with the table. `--beside` times the networks of other models too, such as those of
an earlier release. `--checkout` times the commands of an earlier version, in turn with those of this one. Ratios within
one run can be compared. The speed of a shared machine differs from day to day.
"""

import argparse
import os
import platform
import resource
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

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "tests" / "data" / "loop_tabla.flac"
# Seconds and channels of the songs.
SONGS = ((10, 2), (180, 2), (180, 1))
# Seconds of music for the network alone.
SIGNAL = 60


def median_seconds(call, repetitions: int) -> float:
    """Median wall-clock seconds of `call()`, after one call that warms up."""
    call()
    found = []
    for _ in range(repetitions):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def time_commands(arguments: list[str], checkouts: list[Path], repetitions: int) -> list[tuple[float, float]]:
    """Times one command of several checkouts in turn, so that each of them sees the same machine.

    Args:
        arguments: those of `keras-audiosr`.
        checkouts: folders that contain `keras_audiosr`.
        repetitions: how often each checkout runs, after once to warm up.

    Returns:
        For each checkout the median of the wall-clock seconds, and of the CPU seconds, of the whole process.
    """
    # The first run leaves compiled modules for the others, as it does for users.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found: list[list[tuple[float, float]]] = [[] for _ in checkouts]
    for _ in range(repetitions + 1):
        for seconds, checkout in zip(found, checkouts, strict=True):
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "keras_audiosr", *arguments],
                check=True, capture_output=True, cwd=checkout, env=environment,
            )  # fmt: skip
            wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append((wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return [tuple(statistics.median(values) for values in zip(*seconds[1:], strict=True)) for seconds in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--beside", metavar="MODEL", nargs="+", default=[], help="exported models or presets")
    parser.add_argument("--checkout", metavar="FOLDER", type=Path, help="a checkout of an earlier version")
    args = parser.parse_args()
    repetitions = args.repetitions
    clip, sample_rate = read(CLIP)

    rows = []
    song = np.resize(clip[:, :1], (SIGNAL * sample_rate, 1))
    for model in (None, *args.beside):
        runner = load_runner(model)
        seconds = median_seconds(lambda: runner.run(song, sample_rate), repetitions)  # noqa: B023 - called at once
        of = "" if model is None else f" of `{model}`"
        rows.append((f"network{of}, mono, one thread", SIGNAL, seconds))

    checkouts = [ROOT] if args.checkout is None else [ROOT, args.checkout.resolve()]
    commands = []
    with tempfile.TemporaryDirectory() as folder:
        for duration, channels in SONGS:
            kind = ("mono", "stereo")[channels - 1]
            song = Path(folder) / f"{duration}_{kind}.mp3"
            long = Path(folder) / "long.flac"
            write(long, np.resize(clip[:, :channels], (duration * sample_rate, channels)), sample_rate)
            run_ffmpeg("-y", "-i", str(long), "-b:a", f"{32 * channels}k", str(song))
            arguments = ["restore", str(song), "-o", f"{folder}/out.flac", "--overwrite"]
            times = time_commands(arguments, checkouts, repetitions)
            commands.append((f"`restore`, {duration} s {kind} MP3", duration, times))
    commands.append(("`--help`", None, time_commands(["--help"], checkouts, repetitions)))

    print(
        f"Medians of {repetitions}; {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f}\n"
    )
    print("| what | seconds of audio | seconds | times real time |\n|---|---:|---:|---:|")
    for name, duration, seconds in rows:
        print(f"| {name} | {duration:.1f} | {seconds:.3f} | {duration / seconds:.0f} |")
    earlier = "" if args.checkout is None else " earlier version | ratio |"
    print(f"\n| command | seconds (CPU seconds) | times real time |{earlier}")
    print("|---|---:|---:|" + ("---:|---:|" if earlier else ""))
    for name, duration, times in commands:
        cells = [f"{wall:.2f} ({cpu:.2f})" for wall, cpu in times]
        cells.insert(1, "" if duration is None else f"{duration / times[0][0]:.0f}")
        if earlier:
            cells.append(f"{times[0][0] / times[1][0]:.2f}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
