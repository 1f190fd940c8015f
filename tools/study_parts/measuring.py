"""What a trained row costs: parameters, multiplications, times real time on one LiteRT thread."""

import statistics
import time
from pathlib import Path

import numpy as np

from keras_audiosr.runners import load_runner
from keras_audiosr.runners.keras import KerasRunner

REPETITIONS = 3


def cost(exported: Path, checkpoint: Path) -> dict:
    """Parameters, multiply-accumulates a second of mono audio, and times real time.

    Operations are counted by TensorFlow's profiler in the graph of one window; two make a multiply-accumulate.
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
    }
