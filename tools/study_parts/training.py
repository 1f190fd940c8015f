"""Trains and exports one row of the study in its own process, which tools/study.py starts on one core.

    python -m study_parts.training ROW MANIFEST FOLDER OUT MINUTES MUSIC [--smoke]

FOLDER receives preset.json, run/ (which can be resumed), cpu.json, calibration.json and the exported model. `Study` in
records.py describes OUT, MINUTES, MUSIC and --smoke.
"""

import json
import os
import threading
import time
from pathlib import Path

from keras_audiosr import export, train
from keras_audiosr.processes.partial_files import write_json
from study_parts.records import claim, is_trained, parse
from study_parts.rows import ROWS

# CPU seconds of the steps that are timed before training, and number of steps before them that are not timed, because
# the first steps trace the graph and fill caches.
TIMED_SECONDS = 40.0
WARM_UP_STEPS = 8


def seconds_per_step(settings: dict, manifest: Path) -> float:
    """Measures the CPU seconds of one optimizer step, with the trainer and the stream that `train` will use.

    The result is the lower quartile of many steps. A machine that is slow only now would otherwise make the training
    too short.

    Args:
        settings: the row's preset.
        manifest: manifest of the training pairs.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_audiosr.datasets import build_training_stream
    from keras_audiosr.datasets.plan import ReadSettings
    from keras_audiosr.presets.settings import read_preset
    from keras_audiosr.training.build import build_trainer
    from keras_audiosr.training.streams import with_cutoff

    tf.config.experimental.enable_op_determinism()
    recipe = read_preset(settings, settings["name"])
    trainer = build_trainer(recipe, seed=0)
    reading = ReadSettings(split="train", sample_rate=recipe.sample_rate)
    stream = build_training_stream(manifest, 1000, windows=recipe.data, reading=reading)
    times: list[float] = []
    for batch in with_cutoff(stream, recipe.sample_rate):
        float(trainer.train(batch, recipe.training.optimizer.learning_rate)["loss"])
        times.append(time.process_time())
        if len(times) > WARM_UP_STEPS + 4 and times[-1] - times[WARM_UP_STEPS] > TIMED_SECONDS:
            break
    keras.backend.clear_session()
    return float(np.quantile(np.diff(times[WARM_UP_STEPS:]), 0.25))


class CPUClock(threading.Thread):
    """Thread that adds up the CPU seconds spent on a row in a file, across all processes that train the row."""

    def __init__(self, path: Path):
        super().__init__(daemon=True)
        self.path = path
        self.before = json.loads(path.read_text("utf-8"))["cpu_seconds"] if path.is_file() else 0.0
        self.started = time.process_time()

    def save(self) -> None:
        """Writes the CPU seconds so far."""
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
    export(args.folder / "run", args.folder / "exported", overwrite=True, name=row.name)
    print(f"{row.name}: {clock.path.read_text().strip()}, pid {os.getpid()}")


if __name__ == "__main__":
    main()
