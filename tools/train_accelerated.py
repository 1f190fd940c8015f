"""Trains presets on an accelerator, under JAX, on music that is varied and encoded while they train.

    python tools/train_accelerated.py ALBUMS OUT --preset NAME_OR_JSON --minutes 8 [--preset ...]

ALBUMS: folders of FLAC files, one an album, as `tools/render.py` makes them. All processor cores but a few cut, vary,
encode and decode; the windows go through a pool in memory, from which every preset that is named trains in a process of
its own, all at the same time. Each leaves a run's folder, OUT/NAME, which `keras-audiosr evaluate` and `export` take as
they take `train`'s. How far a run comes depends on the machine, so no two are the same.
Needs FFmpeg, Keras and JAX, and neither TensorFlow nor a network.
"""

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
# This folder is on the path already.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from accelerator import music, pairs

from keras_audiosr.errors import AudioSRError
from keras_audiosr.presets import load_preset

# Share of the pool that is full before training begins.
_FIRST = 1 / 16


def train_all(presets: list[str], args: argparse.Namespace) -> list[int]:
    """Starts a process a preset, and waits for all; returns their exit codes."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = str(round(0.9 / len(presets), 2))
    runs = []
    for preset in presets:
        command = [sys.executable, "-m", "accelerator.training", preset, str(args.out / load_preset(preset)["name"])]
        command += ["--minutes", str(args.minutes), "--batch-size", str(args.batch_size), "--seed", str(args.seed)]
        runs.append(subprocess.Popen(command, env=environment))
    return [run.wait() for run in runs]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("albums", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--preset", action="append", required=True, help="of one window length; repeat for more")
    parser.add_argument("--minutes", type=float, required=True, help="behind what comes before training")
    parser.add_argument(
        "--producers", type=int, default=max(1, (os.cpu_count() or 1) - 3), help="processes that encode"
    )
    parser.add_argument("--slots", type=int, default=16384, help="windows in the pool")
    parser.add_argument("--batch-size", type=int, default=32, help="windows a step")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        data = [load_preset(preset)["data"] for preset in args.preset]
    except AudioSRError as error:
        parser.error(str(error))
    if any(other["window_length"] != data[0]["window_length"] for other in data):
        parser.error("presets that train together have one window_length; these differ; train them one by one")
    if not any(args.albums.glob("*/*.flac")):
        parser.error(f"ALBUMS holds ALBUM/*.flac; {args.albums} has none; tools/render.py makes some")

    start = time.monotonic()

    def report(what: str) -> None:
        print(f"{time.monotonic() - start:6.1f} s  {what}", flush=True)

    args.out.mkdir(parents=True, exist_ok=True)
    shelf = music.gather(args.albums, args.out)
    report(f"{len(shelf.tracks)} tracks, {len(shelf.of('validation'))} of them held out")
    in_memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else args.out
    pool = pairs.Pool(str(in_memory / f"windows_{os.getpid()}"), args.slots, data[0]["window_length"])
    producers: list = []
    try:
        pool.create()
        codecs, windows = pairs.held_out(shelf, data[0])
        (args.out / "codecs.json").write_text(json.dumps(codecs), "utf-8")
        np.save(args.out / "held_out.npy", windows)
        report(f"{len(windows)} windows held out")
        (args.out / "pool.json").write_text(json.dumps(dataclasses.asdict(pool)), "utf-8")
        producers += pairs.start_producers(shelf, pool, data[0], args.producers, args.seed)
        _, versions = pool.open()
        while np.mean(versions > 0) < _FIRST and all(process.is_alive() for process in producers):
            time.sleep(0.2)
        codes = train_all(args.preset, args)
        report(f"{int((versions // 2).sum())} windows made in all; exit codes {codes}")
        if not all(process.is_alive() for process in producers):
            print("a process that makes windows has died; see above", file=sys.stderr)
            return 1
        return max(map(abs, codes))
    finally:
        for process in producers:
            process.kill()
            process.join()
        shutil.rmtree(pool.folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
