"""Makes smaller and faster variants of exported TFLite files, in which only the convolutions are quantized.

The levels of the Fourier transform's bins span 100 dB, so the error of a quantized transform is as large as the
correction that the network learned. In the exported graph the transform consists of matrix products and the network of
convolutions, so the kind of an operation distinguishes them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..annotations import StrPath
from ..errors import ArtifactError, on_one_line
from ..runners import Runner, load_runner
from ..runners.artifact import METADATA, describe
from ..runners.litert import TFLITE
from ..sound.examples import example_windows

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
# Seconds of example sounds for measuring the ranges of activations and the noise of a variant.
SECONDS = 3
# Largest number of inputs that are taken from these sounds to measure the ranges.
EXAMPLES = 24


def quantize(folder: StrPath, variants: str) -> None:
    """Adds `<file>_<variant>.tflite` to an exported model, for `model.tflite` and every streaming file.

    The new files are listed in `metadata.json`, which also has the `correction_snr` of each under `variants`.

    Args:
        folder: folder of the exported model.
        variants: names from `export.VARIANTS`, separated by commas.

    Raises:
        ArtifactError: a file cannot be quantized.
    """
    folder = Path(folder)
    metadata = json.loads((folder / METADATA).read_text("utf-8"))
    streaming = metadata.get("streaming", {})
    about: dict[str, dict] = {}
    for source in (TFLITE, *list(streaming)):
        for variant in variants.split(","):
            name = f"{Path(source).stem}_{variant}.tflite"
            (folder / name).write_bytes(quantized(folder / source, variant, metadata["sample_rate"]))
            metadata["files"][name] = describe((folder / name).read_bytes())
            about[name] = {"variant": variant, "of": source}
            if source in streaming:
                metadata["streaming"][name] = streaming[source]
    # The file is written first without the measurements, because the runners that are compared read it.
    metadata["variants"] = about
    (folder / METADATA).write_text(json.dumps(metadata), "utf-8")
    for name, entry in about.items():
        runners = (load_runner(folder / file) for file in (entry["of"], name))
        entry["correction_snr"] = round(correction_snr(*runners), 1)
    (folder / METADATA).write_text(json.dumps(metadata), "utf-8")


def quantized(path: Path, variant: str, sample_rate: int) -> bytes:
    """Quantizes the convolutions of a float32 `.tflite` file, and returns the content of the new file.

    Args:
        path: path of the file.
        variant: one of `export.VARIANTS`.
        sample_rate: Hz, for the sounds that show the ranges of the activations.

    Raises:
        ArtifactError: the file cannot be quantized.
    """
    from ai_edge_quantizer import qtyping, quantizer

    try:
        config, algorithm = _recipe(variant)
        work = quantizer.Quantizer(str(path))
        for operation in CONVOLUTIONS:
            work.update_quantization_recipe(".*", qtyping.TFLOperationName[operation], config, algorithm)
        ranges = _ranges(work, path, sample_rate) if work.need_calibration else None
        content = bytes(work.quantize(ranges).quantized_model)
    except (ValueError, RuntimeError, KeyError) as error:
        reason = on_one_line(error)
        raise ArtifactError(
            f"a variant needs a float model with convolutions; {path.name} as {variant}: {reason};"
            " leave this variant out"
        ) from error
    return _in_one_piece(content)


def _in_one_piece(content: bytes) -> bytes:
    """Moves the weights of a `.tflite` file into the flatbuffer, because the library puts them after it.

    Older runtimes and TensorFlow Lite Micro find only weights inside the flatbuffer.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for buffer in model.buffers:
        if buffer.size:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def correction_snr(reference: Runner, variant: Runner) -> float:
    """Returns how far a variant's error lies below the float model's correction, in dB, on music-like sounds."""
    music = example_windows(SECONDS * reference.sample_rate, reference.sample_rate)[1]
    expected = reference.run(music)
    noise = np.sum(np.square(variant.run(music) - expected), dtype=np.float64)
    return float(10 * np.log10(np.sum(np.square(expected - music), dtype=np.float64) / max(noise, 1e-20)))


def _recipe(variant: str) -> tuple[Any, str]:
    from ai_edge_quantizer import qtyping

    def tensor(bits: int, symmetric: bool = True, each: str = "TENSORWISE", kind: str = "INT") -> Any:
        granularity = qtyping.QuantGranularity[each]
        return qtyping.TensorQuantizationConfig(bits, symmetric, granularity, qtyping.TensorDataType[kind])

    if variant == "float16":
        precision, activations, weights = "FLOAT", None, tensor(16, kind="FLOAT")
    else:
        precision, weights = "INTEGER", tensor(8, each="CHANNELWISE")
        activations = {"dynamic": None, "int16x8": tensor(16), "int8": tensor(8, symmetric=False)}[variant]
    config = qtyping.OpQuantizationConfig(
        activation_tensor_config=activations,
        weight_tensor_config=weights,
        compute_precision=qtyping.ComputePrecision[precision],
    )
    return config, "float_casting" if variant == "float16" else "min_max_uniform_quantize"


def _ranges(work: Any, path: Path, sample_rate: int) -> dict[str, dict[str, np.ndarray]]:
    """Returns the minimum and maximum of each activation over music-like sounds."""
    signature, inputs = _examples(path, sample_rate)
    ranges: dict[str, dict[str, np.ndarray]] = {}
    for each in inputs:
        # Inputs are passed one at a time, because the library averages the extremes of several inputs.
        for name, found in work.calibrate({signature: [each]}).items():
            known = ranges.setdefault(name, found)
            ranges[name] = {
                "min": np.minimum(known["min"], found["min"]),
                "max": np.maximum(known["max"], found["max"]),
            }
    return ranges


def _examples(path: Path, sample_rate: int) -> tuple[str, list[dict[str, np.ndarray]]]:
    """Returns the name of a file's signature and inputs for it. The states of a step come from the music before it."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (signature,) = interpreter.get_signature_list()
    network = interpreter.get_signature_runner(signature)
    shapes = {name: detail["shape"] for name, detail in network.get_input_details().items()}
    length = shapes.pop("lossy")[1]
    music = example_windows(max(length, SECONDS * sample_rate), sample_rate)[1]
    inputs = []
    states = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    for start in range(0, len(music) - length + 1, length):
        inputs.append({"lossy": music[None, start : start + length], **states})
        results = network(**inputs[-1])
        states = {name: results[name] for name in states}
    return signature, inputs[:: -(-len(inputs) // EXAMPLES)]
