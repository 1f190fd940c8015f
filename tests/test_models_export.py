"""Tests that the exported SavedModel and TFLite model of every architecture give the output of the Keras model."""

import json
import subprocess
import sys
from pathlib import Path

from test_models import SMALL

# This runs in a child process, because a failed conversion aborts the interpreter with some TensorFlow versions.
CONVERT = """
import json, sys, tempfile
from pathlib import Path
import numpy as np, keras
from keras_audiosr.exporting.conversion import write_artifacts, write_metadata, worst_differences
from keras_audiosr.models import build_model
from keras_audiosr.runners.keras import KerasRunner
for name, (architecture, config) in json.loads(sys.argv[1]).items():
    print(name, flush=True)
    keras.utils.set_random_seed(0)
    model = build_model(architecture, **config)
    generator = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign_add(0.02 * generator.standard_normal(variable.shape))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model.save(folder / "best.keras")
        preset = {"name": name, "description": "", "sample_rate": 44100,
                  "model": {}, "data": {}, "training": {}, "export": {"window_length": 4096}}
        (folder / "preset.json").write_text(json.dumps(preset))
        runner = KerasRunner(folder / "best.keras")
        exported = folder / "exported"
        exported.mkdir()
        write_artifacts(runner, exported)
        write_metadata(runner, exported)
        worst = worst_differences(runner, exported)
    print(json.dumps(worst), flush=True)
"""


def test_exported_equals_keras_to_1e4():
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, json.dumps(SMALL)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=900,
    )
    print(done.stdout)  # the largest differences; if the child failed, the last name is the architecture that failed
    assert done.returncode == 0, f"{done.stdout[-200:]}\n{done.stderr[-2000:]}"
