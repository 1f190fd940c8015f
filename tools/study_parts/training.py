"""Trains and exports one row of the study, in a process of its own on one core.

    python -m study_parts.training ROW MANIFEST FOLDER OUT MINUTES MUSIC [--smoke]

FOLDER receives preset.json, run/ (resumable), cpu.json and the exported model; the rest is as in records.py.
"""

import itertools
import json
import os
import threading
import time
from pathlib import Path

from keras_audiosr import export, train
from keras_audiosr.callbacks import write_json
from study_parts.records import claim, is_trained, parse
from study_parts.rows import ROWS

# Steps that are timed, after as many that are not.
TIMED_STEPS = 3


def seconds_per_step(settings: dict, manifest: Path) -> float:
    """CPU seconds of one optimizer step, as `train` will make them."""
    import keras
    import tensorflow as tf

    from keras_audiosr import build_dataset, build_model
    from keras_audiosr.losses import build_loss
    from keras_audiosr.optimizers import build_optimizer

    tf.config.experimental.enable_op_determinism()
    model = build_model(settings["model"]["architecture"], **settings["model"]["config"])
    model.compile(build_optimizer(settings["training"]["optimizer"], 1000), build_loss(settings["training"]["loss"]))
    data = settings["data"]
    windows = build_dataset(
        manifest, split="train", window_length=data["window_length"], batch_size=data["batch_size"], drop_remainder=True
    )
    batches = list(itertools.islice(windows.as_numpy_iterator(), TIMED_STEPS))
    for lossy, lossless in batches:
        model.train_on_batch(lossy, lossless)
    started = time.process_time()
    for lossy, lossless in batches:
        model.train_on_batch(lossy, lossless)
    keras.backend.clear_session()
    return (time.process_time() - started) / TIMED_STEPS


class CPUClock(threading.Thread):
    """Keeps the CPU seconds spent on a row in a file, over as many processes as it takes."""

    def __init__(self, path: Path):
        super().__init__(daemon=True)
        self.path = path
        self.before = json.loads(path.read_text("utf-8"))["cpu_seconds"] if path.is_file() else 0.0
        self.started = time.process_time()

    def save(self) -> None:
        write_json(self.path, {"cpu_seconds": self.before + time.process_time() - self.started})

    def run(self) -> None:
        while True:
            time.sleep(20)
            self.save()


def main() -> None:
    rows = {row.name: row for row in ROWS}
    args, study = parse(__doc__.splitlines()[0], list(rows))
    row = rows[args.name]
    claim(args.folder, study.conditions(row.name))
    if is_trained(args.folder, row.name):
        return

    settings_file = args.folder / "preset.json"
    if not settings_file.is_file():
        cost = 0.0 if study.smoke else seconds_per_step(row.settings(1000, study.smoke), args.manifest)
        steps = 2 if study.smoke else max(10, round(study.minutes * 60 / cost))
        write_json(args.folder / "calibration.json", {"cpu_seconds_per_step": cost})
        write_json(settings_file, row.settings(steps, study.smoke))
    clock = CPUClock(args.folder / "cpu.json")
    clock.start()
    train(settings_file, args.manifest, args.folder / "run", verbose=2)
    clock.save()
    export(args.folder / "run", args.folder / "exported", overwrite=True)
    print(f"{row.name}: {clock.path.read_text().strip()}, pid {os.getpid()}")


if __name__ == "__main__":
    main()
