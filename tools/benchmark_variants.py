"""Measures size, speed, memory and quality of every TFLite file of an exported model.

    python tools/benchmark_variants.py MODEL_DIR PAIRS/pairs.jsonl [--files N] [--visqol] [--out docs/device]

It prints two tables and writes them as variants.md and variants.json. The first table has the files that process whole
windows. It shows their speed on one LiteRT thread, and SNR, LSD and ViSQOL on pairs of the manifest. It also shows the
level of the changes that the float model makes, relative to the noise of each variant (the variant is "fit" from 20 dB
on). The second table has the steps for players. It compares the CPU time and the wall-clock time of a stereo step with
the duration of its hop. Variants and steps are made by `export --variant ... --stream ...`.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from keras_audiosr.datasets.decode import decode_pair
from keras_audiosr.processes.partial_files import atomic_output
from keras_audiosr.runners import Runner, load_runner
from keras_audiosr.runners.streaming import StreamingRunner
from keras_audiosr.shelf.manifests import Pair, read_manifest
from keras_audiosr.sound.bandwidth import estimate_cutoff
from keras_audiosr.stages.export import FIT

# This program runs in its own process, so that its peak memory is that of one network. LiteRT does not report the size
# of its arena.
MEMORY = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
def highest():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = highest()
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
network = interpreter.get_signature_runner()
inputs = {name: np.zeros(detail["shape"], np.float32) for name, detail in network.get_input_details().items()}
network(**inputs)
delegates = [op for op in interpreter._get_ops_details() if op["op_name"] == "DELEGATE"]
outputs = {detail["index"] for detail in interpreter.get_output_details()}
whole = len(delegates) == 1 and set(delegates[0]["outputs"]) == outputs
print(1024 * (highest() - before), len(delegates), int(whole))
"""


def in_a_process(path: Path) -> dict:
    """Runs a file in its own process.

    Returns:
        `memory`: bytes that the network adds to the peak memory. `delegates`: number of parts of the graph that XNNPACK
        runs. `whole`: whether XNNPACK runs the whole graph.
    """
    done = subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True)
    memory, delegates, whole = map(int, done.stdout.split())
    return {"memory": memory, "delegates": delegates, "whole": bool(whole)}


def seconds_of(call, least: float = 2.0, most: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Returns the wall-clock and CPU seconds of each of many calls, after two calls that warm up.

    Args:
        call: function to time.
        least: seconds after which no more calls are timed (at least five are).
        most: most calls to time.
    """
    call(), call()
    wall, work = [], []
    while len(wall) < 5 or (sum(wall) < least and len(wall) < most):
        started, began = time.perf_counter(), time.thread_time()
        call()
        wall.append(time.perf_counter() - started)
        work.append(time.thread_time() - began)
    return np.array(wall), np.array(work)


def db(signal: float, noise: float) -> float:
    """Returns the ratio of two energies in dB."""
    return float(10 * np.log10(signal / max(noise, 1e-20)))


def quality(runners: dict[str, Runner], pairs: list[Pair], folder: Path, visqol: bool) -> dict[str, dict]:
    """Returns the mean measures over the pairs, for `"unprocessed"` and for each runner.

    The first runner is the reference: the noise of the others is their difference from its output.
    """
    from keras_audiosr.measures.songs import measure, normalize

    found: dict[str, dict[str, list]] = {name: {} for name in ("unprocessed", *runners)}
    reference = next(iter(runners))
    for number, pair in enumerate(pairs):
        print(f"\r{number + 1} of {len(pairs)} pairs", end="", file=sys.stderr, flush=True)
        lossless, lossy = decode_pair(pair, folder)
        signals = {"unprocessed": lossy}
        signals |= {name: runner.run(lossy, pair.sample_rate) for name, runner in runners.items()}
        change = float(np.sum((signals[reference] - lossy) ** 2, dtype=np.float64))
        truth, *levels = normalize(lossless, *signals.values())
        scaled = dict(zip(signals, levels, strict=True))
        rows = measure(truth, scaled, pair.sample_rate, float(estimate_cutoff(lossy, pair.sample_rate)))
        for name, signal in signals.items():
            figures = {key: rows[name][key] for key in ("snr", "lsd")}
            if name not in ("unprocessed", reference):
                noise = float(np.sum((signal - signals[reference]) ** 2, dtype=np.float64))
                figures["correction_snr"] = db(change, noise)
            if visqol:
                from keras_audiosr.measures.visqol import visqol as opinion

                figures["visqol"] = opinion(truth, scaled[name], pair.sample_rate)
            for key, value in figures.items():
                found[name].setdefault(key, []).append(value)
    print(file=sys.stderr)
    means = {name: {key: float(np.mean(values)) for key, values in lists.items()} for name, lists in found.items()}
    for name, lists in found.items():
        if "correction_snr" in lists:
            means[name]["worst_correction_snr"] = min(lists["correction_snr"])
    return means


def window_row(runner: Runner, path: Path) -> dict:
    """Measures size, memory and speed of a file that processes whole windows."""
    window = np.random.default_rng(0).standard_normal((1, runner.window_length, 1)).astype(np.float32) * 0.1
    wall, work = seconds_of(lambda: runner.predict(window))
    kept = (runner.window_length - 2 * runner.context) / runner.sample_rate
    return {
        "bytes": path.stat().st_size,
        **in_a_process(path),
        "ms_per_second": 1000 * float(np.median(wall)) / kept,
        "cpu_ms_per_second": 1000 * float(np.median(work)) / kept,
    }


def step_row(runner: StreamingRunner, path: Path, entry: dict) -> dict:
    """Measures size, memory and speed of a step on two channels."""
    restorer = runner.restorer(channels=2)
    block = np.random.default_rng(0).standard_normal((runner.step_length, 2)).astype(np.float32) * 0.1
    wall, work = (1000 * seconds for seconds in seconds_of(lambda: restorer.step(block)))
    hop = 1000 * runner.step_length / runner.sample_rate
    return {
        "bytes": path.stat().st_size,
        **in_a_process(path),
        **{key: entry[key] for key in ("hop_length", "latency", "algorithmic_latency_ms", "warm_up", "state_bytes")},
        "hop_ms": hop,
        **{f"{name}_p{percent}_ms": float(np.percentile(times, percent))
           for name, times in (("wall", wall), ("cpu", work)) for percent in (50, 99)},
    }  # fmt: skip


def tables(result: dict) -> str:
    """Returns the two tables as Markdown."""
    windows, steps, means = result["windows"], result["steps"], result["quality"]
    visqol = "visqol" in means["unprocessed"]
    measures, rule = f" SNR (dB) | LSD |{' ViSQOL |' if visqol else ''}", f"---:|---:|{'---:|' if visqol else ''}"
    if windows:
        lines = [
            "| file | KB | XNNPACK | memory (MB) | ms of CPU time a second of audio | times real time, CPU (wall) |"
            f" noise under the learned correction, mean (worst) | fit |{measures}",
            f"|---|---:|---|---:|---:|---:|---|---|{rule}",
        ]
    else:
        lines = [f"| step | KB |{measures}", f"|---|---:|{rule}"]
    first = next(iter(windows or steps))

    def figures(name: str) -> str:
        cells = []
        for key in ("snr", "lsd", *(["visqol"] if visqol else [])):
            value, base = means[name][key], means[first][key]
            # Adding 0.0 turns minus zero into zero.
            change = "" if name in ("unprocessed", first) else f" ({round(value - base, 3) + 0.0:+.3f})"
            cells.append(f" {value:.2f}{change} |")
        return "".join(cells)

    lines.append(f"| unprocessed |{' |' * (7 if windows else 1)}{figures('unprocessed')}")
    for name, row in windows.items():
        noise = means[name]
        said = ("reference", "") if name == first else (
            f"{noise['correction_snr']:.1f} ({noise['worst_correction_snr']:.1f}) dB",
            "yes" if noise["correction_snr"] >= FIT else "no",
        )  # fmt: skip
        lines.append(
            f"| `{name}` | {row['bytes'] / 1000:,.0f} | {taken(row)} | {row['memory'] / 1e6:.0f} |"
            f" {row['cpu_ms_per_second']:.1f} | {1000 / row['cpu_ms_per_second']:.0f}"
            f" ({1000 / row['ms_per_second']:.0f}) | {said[0]} | {said[1]} |{figures(name)}"
        )
    if not windows:
        lines += [f"| `{name}` | {row['bytes'] / 1000:,.0f} |{figures(name)}" for name, row in steps.items()]
    if steps:
        lines += [
            "",
            "| step | hop (ms) | algorithmic latency (ms) | state (KB) | warm-up (samples) | XNNPACK | memory (MB) |"
            " stereo step, median CPU time (ms) | times real time, CPU (wall) | p99 of CPU time, of the hop"
            " | p99 of wall time |",
            "|---|---:|---:|---:|---:|---|---:|---:|---|---|---|",
        ]
    for name, row in steps.items():
        lines.append(
            f"| `{name}` | {row['hop_ms']:.1f} | {row['algorithmic_latency_ms']:.0f} |"
            f" {row['state_bytes'] / 1000:.0f} | {row['warm_up']} | {taken(row)} |"
            f" {row['memory'] / 1e6:.0f} | {row['cpu_p50_ms']:.2f} |"
            f" {row['hop_ms'] / row['cpu_p50_ms']:.0f} ({row['hop_ms'] / row['wall_p50_ms']:.0f}) |"
            f" {row['cpu_p99_ms']:.2f} ms, {share(row, 'cpu')} | {row['wall_p99_ms']:.2f} ms, {share(row, 'wall')} |"
        )
    return "\n".join(lines) + f"\n\n{result['about']}\n"


def taken(row: dict) -> str:
    """Returns how much of the graph XNNPACK runs, for the table."""
    return "whole" if row["whole"] else f"{row['delegates']} pieces"


def share(row: dict, time_name: str) -> str:
    """Returns the 99th percentile of a step's time as a share of the hop's duration."""
    return f"{100 * row[f'{time_name}_p99_ms'] / row['hop_ms']:.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="exported model: the folder with metadata.json")
    parser.add_argument("manifest", type=Path, help="pairs.jsonl")
    parser.add_argument("--files", type=int, help="number of random pairs, the same in each run (default: all pairs)")
    parser.add_argument("--visqol", action="store_true", help="measure ViSQOL too")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "docs" / "device", help="default: docs/device"
    )
    args = parser.parse_args()
    metadata = json.loads((args.model / "metadata.json").read_text("utf-8"))
    streaming = dict(sorted(metadata.get("streaming", {}).items(), key=lambda item: item[1]["hop_length"]))
    names = [name for name in metadata["files"] if name.endswith(".tflite")]
    runners = {name: load_runner(args.model / name) for name in names}
    pairs = read_manifest(args.manifest, Pair)
    if args.files is not None and args.files < len(pairs):
        pairs = random.Random(0).sample(pairs, args.files)

    windows = {name: window_row(runners[name], args.model / name) for name in names if name not in streaming}
    steps = {name: step_row(runners[name], args.model / name, entry) for name, entry in streaming.items()}
    about = (
        f"{metadata['name']}, weights {runners[names[0]].version}; {len(pairs)} pairs of {args.manifest.name}; one"
        f" LiteRT thread, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load"
        f" {os.getloadavg()[0]:.1f}. On a shared machine only ratios of times are meaningful."
        " Memory is what loading and running one file adds to the peak memory of a process. CPU time does not include"
        " the time in which other programs used the core."
    )
    # The steps of a model give the same samples, so they are only judged if there is no file for whole windows.
    measured = quality({name: runners[name] for name in windows or steps}, pairs, args.manifest.parent, args.visqol)
    result = {"about": about, "windows": windows, "steps": steps, "quality": measured}
    text = tables(result)
    print(text, end="")
    for name, content in (("variants.md", text), ("variants.json", json.dumps(result, indent=1) + "\n")):
        with atomic_output(args.out / name) as place:
            Path(place).write_text(content, "utf-8")


if __name__ == "__main__":
    main()
