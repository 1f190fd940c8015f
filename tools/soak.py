"""Streams for hours and serves thousands of requests, to see whether memory and latency stay constant.

    python tools/soak.py stream FOLDER [--minutes 120] [--speed 1] [--block 1024] [--model MODEL]
    python tools/soak.py serve FOLDER [--requests 10000] [--clients 4] [--model MODEL]
    python tools/soak.py plot FOLDER [-o docs/soak]

`stream` feeds a repeated stereo clip to a runner in blocks, as a sound card would (or as fast as possible, with
`--speed 0`). It compares every restored sample with what the same runner returns for the whole clip at once. `serve`
sends windows to tests/model_server.py, a stand-in for TensorFlow Serving on this machine, and compares every response
with the output of LiteRT. Both write a line of figures every few seconds, so `plot` can also draw a run that is still
in progress or was interrupted.
"""

import argparse
import concurrent.futures
import json
import os
import platform
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "tests" / "data" / "loop_tabla.flac"
# Number of different windows that `serve` sends in turn.
NUM_WINDOWS = 16


def resident(process: int | str = "self") -> float:
    """Returns the resident memory of a process in MiB (Linux only)."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Log:
    """A file of JSON lines: the first describes the run, and each of the others has the figures of one interval.

    Args:
        path: path of the file, which must not exist yet.
        seconds: length of an interval.
        about: description of the run.
        processes: name -> ID of a process whose resident memory is recorded, or `"self"`.
    """

    def __init__(self, path: Path, seconds: float, about: dict, processes: dict[str, int | str]):
        if path.exists():
            raise SystemExit(f"an existing log is not replaced; {path} exists; use another folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("x", encoding="utf-8")
        self._seconds, self._processes = seconds, processes
        self._lock = threading.Lock()
        self._latencies: list[float] = []
        self._done = 0
        self._worst = self._late = 0.0
        self._started = self._last = time.monotonic()
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        self._write(about | {"machine": machine, "command": " ".join(["python", *sys.argv])})

    def _write(self, line: dict) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def add(self, latency: float, done: int, difference: float, late: float = 0.0) -> None:
        """Adds the figures of one step.

        Args:
            latency: seconds that the step took.
            done: samples or requests that it completed.
            difference: largest difference of a sample from the expected one.
            late: seconds by which the step started too late.
        """
        with self._lock:
            self._latencies.append(latency)
            self._done += done
            # This form of the comparison keeps NaN.
            self._worst = difference if not difference <= self._worst else self._worst
            self._late = max(self._late, late)

    def due(self, end: bool = False) -> None:
        """Writes a line if an interval is over, or if this is the end of the run."""
        now = time.monotonic()
        if now - self._last < self._seconds and not end:
            return
        with self._lock:
            latencies, self._latencies = 1000 * np.array(self._latencies), []
            late, self._late = self._late, 0.0
        if not len(latencies):
            return
        self._last = now
        line = {"seconds": round(now - self._started, 1), "done": self._done, "worst_difference": self._worst}
        line |= {f"{name}_mib": round(resident(process), 2) for name, process in self._processes.items()}
        for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0)):
            line[name] = round(float(np.quantile(latencies, share)), 3)
        self._write(line | {"steps": len(latencies), "late_ms": round(1000 * late, 1)})


def stream(folder: Path, minutes: float, speed: float, block: int, model: str | None, interval: float) -> None:
    """Restores a repeated stereo clip block by block, and writes `stream.jsonl`.

    Args:
        folder: folder of the log.
        minutes: duration of the run.
        speed: factor of real time; 0 runs as fast as possible.
        block: samples of a block.
        model: exported model; the bundled one if `None`.
        interval: seconds between two lines of the log.
    """
    from keras_audiosr.files.audio_files import read
    from keras_audiosr.runners import load_runner

    runner = load_runner(model)
    clip, sample_rate = read(CLIP, runner.sample_rate)
    # The clip has whole hops, so that every repetition starts at the same place in a hop.
    clip = clip[: len(clip) // runner.hop_length * runner.hop_length]
    clip = np.resize(clip, (len(clip), 2)).astype(np.float32)
    # The expected output is that of the clip with a repetition before and after it.
    expected = runner.run(np.tile(clip, (3, 1)), sample_rate)[len(clip) : 2 * len(clip)]
    about = {"kind": "stream", "model": runner.name, "weights": runner.version, "runner": type(runner).__name__}
    about |= {"block": block, "sample_rate": sample_rate, "channels": 2, "speed": speed}
    log = Log(folder / "stream.jsonl", interval, about, {"process": "self"})

    processor = runner.processor(2, sample_rate)
    begun = time.monotonic()
    received = returned = 0
    while time.monotonic() - begun < 60 * minutes:
        late = 0.0
        if speed:
            late = time.monotonic() - begun - (received + block) / sample_rate / speed
            if late < 0:
                time.sleep(-late)
        music = clip[np.arange(received, received + block) % len(clip)]
        started = time.perf_counter()
        ready = processor.push(music)
        latency = time.perf_counter() - started
        received += block
        if not len(ready):
            continue
        # The first pass of the clip is not compared, because there was silence before it.
        known = ready[max(0, len(clip) - returned) :]
        first = returned + len(ready) - len(known)
        difference = np.abs(known - expected[np.arange(first, first + len(known)) % len(clip)])
        returned += len(ready)
        log.add(latency, len(ready), float(difference.max(initial=0.0)), max(late, 0.0))
        log.due()
    rest = processor.finish()
    log.due(end=True)
    if returned + len(rest) != received:
        raise SystemExit(
            f"the output must have as many samples as the input; received {returned + len(rest)} for {received}"
        )


def serve(folder: Path, requests: int, clients: int, model: str | None, interval: float) -> None:
    """Sends windows to a model server on this machine, and writes `serve.jsonl`.

    Args:
        folder: folder of the log.
        requests: number of requests.
        clients: number of threads that send requests.
        model: exported model; the tiny one of the tests if `None`.
        interval: seconds between two lines of the log.
    """
    from keras_audiosr.runners import load_runner
    from keras_audiosr.runners.serving import ServingRunner
    from keras_audiosr.stages.serve import serve

    sys.path.insert(0, str(ROOT / "tests"))
    from served import running
    from tiny_model import tiny_export

    path = tiny_export() if model is None else Path(model)
    local = load_runner(path / "model.tflite")
    generator = np.random.default_rng(0)
    windows = generator.uniform(-0.5, 0.5, (NUM_WINDOWS, 1, local.window_length, 1)).astype(np.float32)
    expected = [local.predict(window) for window in windows]
    with tempfile.TemporaryDirectory() as place:
        name = serve(Path(place) / "bundle", path, trust=True).parent.name
        with running(Path(place) / "bundle") as server:
            runner = ServingRunner(server.url("grpc", name))
            about = {"kind": "serve", "model": runner.name, "weights": runner.version, "requests": requests}
            about |= {"clients": clients, "window_length": runner.window_length}
            processes = {"client": "self", "server": server.process.pid}
            log = Log(folder / "serve.jsonl", interval, about, processes)
            numbers = iter(range(requests))
            taking = threading.Lock()

            def client() -> None:
                while True:
                    with taking:
                        number = next(numbers, None)
                    if number is None:
                        return
                    which = number % NUM_WINDOWS
                    started = time.perf_counter()
                    restored = runner.predict(windows[which])
                    latency = time.perf_counter() - started
                    log.add(latency, 1, float(np.abs(restored - expected[which]).max()))

            with concurrent.futures.ThreadPoolExecutor(clients) as pool:
                working = [pool.submit(client) for _ in range(clients)]
                while concurrent.futures.wait(working, timeout=interval / 4).not_done:
                    log.due()
                for done in working:
                    done.result()
            log.due(end=True)


def summarize(about: dict, lines: list[dict]) -> dict:
    """Summarizes the lines of a run: duration, amount of work, memory and its growth, latency, largest difference."""
    # The first tenth is left out, because caches and pools still grow.
    steady = lines[len(lines) // 10 :]
    unit, along = _along(about, steady)
    summary = {"minutes": round(lines[-1]["seconds"] / 60, 1), "done": lines[-1]["done"]}
    if about["kind"] == "stream":
        summary["hours_of_audio"] = round(lines[-1]["done"] / about["sample_rate"] / 3600, 3)
    for name in [key for key in lines[0] if key.endswith("_mib")]:
        memory = np.array([line[name] for line in steady])
        growth = float(np.polyfit(along, memory, 1)[0]) if len(steady) > 2 else 0.0
        change = round(float(memory[-1] - memory[0]), 2)
        summary[name] = {"first": lines[0][name], "after_a_tenth": float(memory[0]), "last": float(memory[-1])}
        summary[name] |= {
            "largest": max(line[name] for line in lines),
            "change": change,
            f"per_{unit}": round(growth, 3),
        }
    steps = np.array([line["steps"] for line in lines])
    summary["p50_ms"] = round(float(np.median(np.repeat([line["p50_ms"] for line in lines], steps))), 3)
    summary["p99_ms"] = round(float(np.quantile([line["p99_ms"] for line in lines], 0.5)), 3)
    summary["max_ms"] = max(line["max_ms"] for line in lines)
    summary["worst_difference"] = lines[-1]["worst_difference"]
    return summary


def _along(about: dict, lines: list[dict]) -> tuple[str, np.ndarray]:
    """Returns the unit and the values of the axis for the growth of memory: hours, or thousands of requests."""
    if about["kind"] == "stream":
        return "hour", np.array([line["seconds"] for line in lines]) / 3600
    return "1000_requests", np.array([line["done"] for line in lines]) / 1000


def draw(path: Path, about: dict, lines: list[dict], summary: dict) -> None:
    """Draws memory and latency over the minutes of a stream or over the number of requests."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    streamed = about["kind"] == "stream"
    along = np.array([line["seconds"] / 60 if streamed else line["done"] for line in lines])
    figure, (memory, latency) = plt.subplots(2, 1, sharex=True, figsize=(8, 6), layout="constrained")
    for name in [key for key in lines[0] if key.endswith("_mib")]:
        grown = summary[name]["change"]
        label = f"{name.removesuffix('_mib')}: {grown:+.1f} MiB after the first tenth"
        memory.plot(along, [line[name] for line in lines], label=label)
    # The axis begins at zero, so that a leak is visible and a growth by a few pages is not.
    memory.set(ylabel="resident memory (MiB)", ylim=(0, 1.4 * memory.get_ylim()[1]))
    for name, label in (("p50_ms", "median"), ("p99_ms", "99 %"), ("max_ms", "largest")):
        latency.plot(along, [line[name] for line in lines], label=label, linewidth=1)
    latency.set(xlabel="minutes" if streamed else "requests", ylabel="latency (ms)", yscale="log")
    if streamed:
        kept = f"real time x {about['speed']:g}" if about["speed"] else "unpaced"
        what = f"{summary['minutes']:g} minutes of {about['model']} on {about['runner']}, stereo, {kept}"
        span = 1000 * about["block"] / about["sample_rate"]
        if about["speed"]:
            latency.axhline(span / about["speed"], color="0.6", linewidth=1, linestyle=":", label="a block of sound")
    else:
        what = f"{summary['done']:,} requests to the served model {about['model']}, {about['clients']} in parallel"
    memory.set_title(what)
    for axes in (memory, latency):
        axes.grid(alpha=0.3)
        axes.legend(loc="upper right", fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def plot(folder: Path, out: Path) -> None:
    """Draws the logs of a folder, writes them as JSON for the docs, and prints their summaries."""
    logs = sorted(path for path in folder.glob("*.jsonl") if path.stem in ("stream", "serve"))
    if not logs:
        raise SystemExit(f"a log of 'stream' or 'serve' is required; {folder} has none; run one of them first")
    out.mkdir(parents=True, exist_ok=True)
    for log in logs:
        # The last line may be incomplete if a run was interrupted.
        whole = [line for line in log.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]
        about, *lines = map(json.loads, whole)
        if not lines:
            raise SystemExit(f"a log must have a line of figures; {log} has none yet; wait for the next interval")
        # Absolute paths are shortened to file names, because the docs must not show the folders of a machine.
        about["command"] = " ".join(
            Path(word).name if Path(word).is_absolute() else word for word in about["command"].split()
        )
        summary = summarize(about, lines)
        # The docs need no more points than a picture can show.
        few = lines[:: max(1, len(lines) // 200)]
        columns = {key: [line[key] for line in few] for key in few[0]}
        content = {"about": about, "summary": summary, "lines": columns}
        text = json.dumps(content, separators=(",", ":")).replace('],"', '],\n"')
        (out / f"{log.stem}.json").write_text(text + "\n", "utf-8")
        draw(out / f"{log.stem}.png", about, lines, summary)
        print(f"{log.stem}: {json.dumps(summary)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    streaming = verbs.add_parser("stream", help="restore a repeated clip block by block")
    streaming.add_argument("--minutes", type=float, default=120.0, help="duration of the run (default 120)")
    streaming.add_argument(
        "--speed", type=float, default=1.0, help="factor of real time; 0 is as fast as possible (default 1)"
    )
    streaming.add_argument("--block", type=int, default=1024, help="samples of a block (default 1024)")
    serving = verbs.add_parser("serve", help="send windows to a model server on this machine")
    serving.add_argument("--requests", type=int, default=10_000, help="number of requests (default 10000)")
    serving.add_argument("--clients", type=int, default=4, help="number of parallel requests (default 4)")
    for verb in (streaming, serving):
        verb.add_argument("folder", type=Path, help="folder for the log")
        verb.add_argument("--model", help="exported model (default: the bundled one; for serve the tests' tiny one)")
        verb.add_argument("--interval", type=float, default=10.0, help="seconds between two lines (default 10)")
    plotting = verbs.add_parser("plot", help="draw the logs of a folder")
    plotting.add_argument("folder", type=Path, help="folder with the logs")
    plotting.add_argument("-o", "--out", type=Path, default=ROOT / "docs" / "soak", help="default: docs/soak")
    # A normal exit on SIGTERM also ends a server that was started.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    arguments = vars(parser.parse_args())
    verb = {"stream": stream, "serve": serve, "plot": plot}[arguments.pop("verb")]
    verb(**arguments)


if __name__ == "__main__":
    main()
