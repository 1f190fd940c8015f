"""Measures how many seconds of audio a served model restores per second, by batch size and clients, beside LiteRT.

    python tools/benchmark_serving.py [--server URL] [--rounds N] [--model MODEL]

With --server it measures a real server. Otherwise it bundles the model and starts tests/model_server.py, a stand-in
for TensorFlow Serving in Python that does not batch requests (this needs tensorflow-serving-api). All rows are measured
in several rounds, and each row shows its best round, because other programs may slow down a round. If client and server
share one machine, only the ratios are meaningful.
"""

import argparse
import concurrent.futures
import contextlib
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from keras_audiosr import presets
from keras_audiosr.exporting.conversion import SAVED_MODEL
from keras_audiosr.files.audio_files import read
from keras_audiosr.runners import load_runner
from keras_audiosr.runners.litert import TFLITE
from keras_audiosr.runners.serving import ServingRunner
from keras_audiosr.serving import ServerOptions, ServingClient
from keras_audiosr.stages.serve import serve

TESTS = Path(__file__).parents[1] / "tests"
CLIP = TESTS / "data" / "loop_tabla.flac"
BATCHES = (1, 2, 4, 8)
CLIENTS = (2, 4, 8)
# Seconds of each row in each round.
SECONDS = 1.0


def windows_a_second(call, count: int, clients: int) -> float:
    """Returns the windows per second that `clients` threads process, after one call that warms up.

    Args:
        call: function that processes `count` windows.
        count: windows of one call.
        clients: number of threads.
    """
    call()
    end = time.perf_counter() + SECONDS

    def client(_) -> int:
        done = 0
        while time.perf_counter() < end:
            call()
            done += count
        return done

    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        done = sum(pool.map(client, range(clients)))
    return done / (time.perf_counter() - started)


@contextlib.contextmanager
def served(url: str | None, model: str | None):
    """Context manager with the URLs of the model over gRPC and over REST.

    If `url` is given, it is returned as it was given, and the second URL is `None`. Otherwise a server is started.
    """
    if url is not None:
        yield url, None
        return
    sys.path.insert(0, str(TESTS))
    from served import running

    with tempfile.TemporaryDirectory() as folder:
        name = serve(Path(folder) / "bundle", model, trust=True).parent.name
        with running(Path(folder) / "bundle") as server:
            yield server.url("grpc", name), server.url("http", name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", metavar="URL", help="URL of the model on a server (default: start a server here)")
    parser.add_argument("--model", help="folder of an exported model (default: the bundled one)")
    parser.add_argument("--rounds", type=int, default=4, help="rounds through all rows (default 4)")
    args = parser.parse_args()
    folder = Path(args.model or presets.bundled_folder(presets.DEFAULT_PRESET))
    local = load_runner(folder / TFLITE)
    clip, _ = read(CLIP)
    windows = np.resize(clip[:, 0], (max(BATCHES), local.window_length, 1)).astype(np.float32)
    useful = (local.window_length - 2 * local.context) / local.sample_rate
    rows = [("LiteRT here, one thread", 1, 1, lambda: local.predict(windows[:1]))]
    here = load_runner(folder / SAVED_MODEL, trust=True)
    for size in BATCHES:
        rows.append(("SavedModel here", size, 1, lambda size=size: here.predict(windows[:size])))

    with served(args.server, args.model) as (grpc, rest):
        client = ServingClient(grpc)
        for size in BATCHES:
            rows.append(("`serving_default`, gRPC", size, 1, lambda size=size: client.predict(windows[:size])))
        for clients in CLIENTS:
            rows.append(("`serving_default`, gRPC", 1, clients, lambda: client.predict(windows[:1])))
        pcm16 = ServingClient(grpc, ServerOptions(pcm16=True))
        rows.append(("`restore_pcm16`, gRPC", 1, 1, lambda: pcm16.predict(windows[:1])))
        if rest is not None:
            for name, options in (("serving_default", ServerOptions()), ("restore_pcm16", ServerOptions(pcm16=True))):
                over_rest = ServingClient(rest, options)
                rows.append((f"`{name}`, REST", 1, 1, lambda over_rest=over_rest: over_rest.predict(windows[:1])))
        song = np.resize(clip, (30 * local.sample_rate, 2)).astype(np.float32)
        runner = ServingRunner(grpc)
        # Seconds of mono audio, as in the other rows.
        songs = [("a stereo song, LiteRT", 2, 1, local), ("a stereo song, gRPC", 2, runner.in_flight, runner)]
        best = [0.0] * (len(rows) + len(songs))
        for _ in range(args.rounds):
            rates = [useful * windows_a_second(call, size, clients) for _, size, clients, call in rows]
            for *_, whole in songs:
                started = time.perf_counter()
                whole.run(song)
                rates.append(song.size / local.sample_rate / (time.perf_counter() - started))
            best = list(map(max, best, rates))

    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load"
        f" {os.getloadavg()[0]:.1f}; {'a stand-in server here' if args.server is None else args.server}\n"
    )
    print("| what | windows per request | clients | seconds of mono audio per second | relative to LiteRT |")
    print("|---|---:|---:|---:|---:|")
    for (name, size, clients, _), rate in zip([*rows, *songs], best, strict=True):
        print(f"| {name} | {size} | {clients} | {rate:.0f} | {rate / best[0]:.2f} |")


if __name__ == "__main__":
    main()
