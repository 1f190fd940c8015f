"""Smaller and quicker variants of exported TFLite files: the convolutions quantized, the Fourier transform never.

The transform spans 100 dB between its bins, and quantized its error is as large as
what the network learned. In the exported graph it is matrix products and the
network is convolutions, so the kind of an operation says which one it is.
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
# Seconds of example sounds for the ranges of activations, and for the noise of a variant.
SECONDS = 3
# Of them, how many steps are looked into.
EXAMPLES = 24


def quantize(folder: StrPath, variants: str) -> None:
    """Adds `<file>_<variant>.tflite` to an exported model, for `model.tflite` and every streaming file.

    `metadata.json` gets the files and, under `variants`, the SNR in dB of each one's difference to the float file
    against what that file changes in music-like sounds (`correction_snr`).

    Args:
        folder: an exported model.
        variants: names of `export.VARIANTS`, with commas between them.

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
    # First without what was measured: the runners that are compared read this file.
    metadata["variants"] = about
    (folder / METADATA).write_text(json.dumps(metadata), "utf-8")
    for name, entry in about.items():
        runners = (load_runner(folder / file) for file in (entry["of"], name))
        entry["correction_snr"] = round(correction_snr(*runners), 1)
    (folder / METADATA).write_text(json.dumps(metadata), "utf-8")


def quantized(path: Path, variant: str, sample_rate: int) -> bytes:
    """A `.tflite` file of float32 with its convolutions quantized.

    Args:
        path: of the file.
        variant: one of `export.VARIANTS`.
        sample_rate: Hz, for the sounds that show how large activations get.

    Raises:
        ArtifactError: it cannot be quantized.
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
            f"a variant is made of a float model with convolutions; {path.name} as {variant}: {reason};"
            " leave this variant out"
        ) from error
    return _in_one_piece(content)


def _in_one_piece(content: bytes) -> bytes:
    """A `.tflite` file with its weights in the flatbuffer, not behind it, where the library puts them.

    Older runtimes and TensorFlow Lite Micro look nowhere else.
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
    """Energy of what the float model changes over that of what the variant does otherwise: dB, on music-like sounds."""
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
    """How small and how large each activation gets in music-like sounds."""
    signature, inputs = _examples(path, sample_rate)
    ranges: dict[str, dict[str, np.ndarray]] = {}
    for each in inputs:
        # One by one: over several, the library forgets earlier extremes for later means.
        for name, found in work.calibrate({signature: [each]}).items():
            known = ranges.setdefault(name, found)
            ranges[name] = {
                "min": np.minimum(known["min"], found["min"]),
                "max": np.maximum(known["max"], found["max"]),
            }
    return ranges


def _examples(path: Path, sample_rate: int) -> tuple[str, list[dict[str, np.ndarray]]]:
    """The name of a file's signature and inputs for it; those of a step with the states that music left."""
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
