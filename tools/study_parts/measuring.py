"""Measures one row or baseline of the study in its own process, and writes its record.

    python -m study_parts.measuring NAME MANIFEST FOLDER OUT MINUTES MUSIC [--smoke]

FOLDER contains the results of training.py, or receives the files that a baseline restores. `Study` in records.py
describes OUT, MINUTES, MUSIC and --smoke.
"""

import json
import statistics
import time
from pathlib import Path

import numpy as np

from keras_audiosr import evaluate
from keras_audiosr.datasets.decode import decode_pair
from keras_audiosr.files.audio_files import read
from keras_audiosr.runners import load_runner
from keras_audiosr.runners.keras import KerasRunner
from study_parts.baselines import BASELINES, LOW_RATES, restore_all
from study_parts.records import KNOWN, claim, parse
from study_parts.spectra import average_spectrum, pictured_pair
from study_parts.summary import METRICS

REPETITIONS = 3


def cost(exported: Path, checkpoint: Path) -> dict:
    """Measures what it costs to run a network.

    TensorFlow's profiler counts the operations in the graph of one window. Two operations are one multiply-accumulate.

    Args:
        exported: the exported model.
        checkpoint: the checkpoint that it was exported from.

    Returns:
        `parameters`; `gmac_per_second` (10^9 multiply-accumulates per second of mono audio); `times_real_time` on one
        LiteRT thread; and the name of the `processor`.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    trained = KerasRunner(checkpoint)
    window = tf.TensorSpec((1, trained.window_length, 1), tf.float32)
    function = tf.function(lambda lossy: trained.model(lossy, training=False), input_signature=[window])
    graph = convert_variables_to_constants_v2(function.get_concrete_function()).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder(
        tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    ).with_empty_output()
    operations = tf.compat.v1.profiler.profile(graph, options=options.build()).total_float_ops
    seconds = trained.window_length / trained.sample_rate

    runner = load_runner(exported)
    audio = 0.1 * np.random.default_rng(0).standard_normal((1, runner.window_length, 1)).astype(np.float32)
    runner.predict(audio)
    found = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        runner.predict(audio)
        found.append(time.perf_counter() - started)
    return {
        "parameters": trained.model.count_params(),
        "gmac_per_second": operations / 2 / seconds / 1e9,
        "times_real_time": seconds / statistics.median(found),
        "processor": processor(),
    }


def processor() -> str:
    """Returns the processor's name as Linux reports it, or `"unknown"`."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text("utf-8").splitlines() if described.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def training_facts(folder: Path) -> dict:
    """Reads the results of `training.py` from a row's folder."""

    def load(name: str):
        return json.loads((folder / name).read_text("utf-8"))

    history, preset = load("run/history.json"), load("preset.json")
    return {
        **load("cpu.json"),
        **load("calibration.json"),
        "steps": preset["training"]["steps_per_epoch"] * len(history),
        "history": history,
        "versions": load("run/run.json")["versions"],
        "preset": preset,
    }


def figures_of(file: dict) -> dict:
    """Reduces the results of `evaluate` for one file to what the tables need."""
    kept: dict = {"title": Path(file["lossless"]).stem, "cutoff": round(file["cutoff"], 1)}
    for signal in ("unprocessed", "restored"):
        values = {metric: file[signal].get(metric) for metric in METRICS}
        kept[signal] = {metric: None if value is None else round(value, 4) for metric, value in values.items()}
    return kept


def measure(name: str, manifest: Path, folder: Path, visqol: bool) -> dict:
    """Measures a row or baseline; returns its record without the conditions."""
    pair = pictured_pair(manifest)
    own: dict = {}
    if name in BASELINES:
        what = restore_all(manifest, BASELINES[name][2], folder / "restored")
        restored, _ = read(what / Path(pair.lossy).with_suffix(".wav"))
    else:
        what = folder / "exported" / name
        _, lossy = decode_pair(pair, manifest.parent)
        restored = load_runner(what).run(lossy, pair.sample_rate)
        own = {"training": training_facts(folder), "cost": cost(what, folder / "run" / "best.keras")}
    # The cutoff of a low rate is known. It cannot be estimated, because a spline leaves signal above that band.
    factor = LOW_RATES.get(KNOWN[name][0])
    table = evaluate(manifest, what, visqol=visqol, cutoff=pair.sample_rate / 2 / factor if factor else None)
    return {
        "about": {key: table.about[key] for key in ("manifest_sha256", "what_sha256", "versions")},
        "files": [figures_of(file) for file in table.files],
        "spectrum": average_spectrum(restored, pair.sample_rate),
        **own,
    }


def main() -> None:
    args, study = parse(__doc__.splitlines()[0], list(KNOWN))
    claim(args.folder, study.conditions(args.name))
    study.save(args.name, measure(args.name, args.manifest, args.folder, visqol=not study.smoke))


if __name__ == "__main__":
    main()
