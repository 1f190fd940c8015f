"""Tests that quantized models are smaller, keep the Fourier transform in float32, and declare their noise correctly."""

import json

import numpy as np
import pytest
from tiny_model import tiny_run, write_frame_run

from keras_audiosr import cli
from keras_audiosr.errors import UsageError
from keras_audiosr.runners import load_runner
from keras_audiosr.stages.export import VARIANTS, export

WEIGHTS = {"float16": np.float16, "dynamic": np.int8, "int16x8": np.int8, "int8": np.int8}


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    pytest.importorskip("ai_edge_quantizer")
    run = write_frame_run(tmp_path_factory.mktemp("run"), filters=16, gate=True)
    return export(run, tmp_path_factory.mktemp("out"), stream=[1024], variants=VARIANTS)


def constants(path, operation):
    """Returns the data types of the weights of all operations of one kind."""
    from ai_edge_litert.interpreter import Interpreter

    # The default delegate would hide the tensors of the file.
    interpreter = Interpreter(str(path), experimental_op_resolver_type=plain())
    tensors = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    found = [op["inputs"][1] for op in interpreter._get_ops_details() if op["op_name"] == operation]
    return [tensors[index]["dtype"] for index in found]


def plain():
    from ai_edge_litert.interpreter import OpResolverType

    return OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


@pytest.mark.parametrize("source", ["model", "stream_1024"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_convolutions_are_quantized_and_the_transform_is_not(source, variant, variants):
    path, whole = variants / f"{source}_{variant}.tflite", variants / f"{source}.tflite"
    # The transform and its inverse have six matrix products. Newer converters write one of them as a MUL. The network
    # has ten convolutions, including that of the gate.
    products = constants(whole, "FULLY_CONNECTED")
    assert constants(path, "FULLY_CONNECTED") == products == [np.float32] * len(products)
    assert len(products) in {5, 6}
    assert constants(whole, "CONV_2D") == [np.float32] * 10
    if variant != "float16":  # its weights pass through a DEQUANTIZE operation first, which returns float32
        assert constants(path, "CONV_2D") == [WEIGHTS[variant]] * 10
    assert path.stat().st_size < whole.stat().st_size * (0.62 if variant == "float16" else 0.55)


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_lie_in_the_flatbuffer(variant, variants):
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs((variants / f"stream_1024_{variant}.tflite").read_bytes())
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    assert {buffer.Size() for buffer in buffers} == {buffer.Offset() for buffer in buffers} == {0}
    assert sum(buffer.DataLength() for buffer in buffers) > 10_000


def test_noise_is_what_is_said(variants, make_music):
    metadata = json.loads((variants / "metadata.json").read_text())
    audio = make_music(duration=1.0, channels=1)
    whole = load_runner(variants).run(audio)
    for name, entry in metadata["variants"].items():
        restored = load_runner(variants / name).run(audio)
        assert restored.shape == audio.shape
        noise = 10 * np.log10(np.sum((whole - audio) ** 2) / np.sum((restored - whole) ** 2))
        print(f"{name}: {entry['correction_snr']} dB said, {noise:.1f} dB on other sounds")
        assert name in metadata["files"]
        assert entry["of"] == f"{name.rsplit('_', 1)[0]}.tflite"
        least = {"float16": 50, "dynamic": 25, "int16x8": 25, "int8": 15}[entry["variant"]]
        assert min(noise, entry["correction_snr"]) > least
    for variant in VARIANTS:
        assert metadata["streaming"][f"stream_1024_{variant}.tflite"] == metadata["streaming"]["stream_1024.tflite"]


def test_a_dynamic_stream_equals_its_whole_within_its_noise(variants, make_music):
    audio = make_music(duration=1.0, channels=1)
    whole, stream = (load_runner(variants / f"{name}_dynamic.tflite").run(audio) for name in ("model", "stream_1024"))
    difference = np.abs(whole - stream).max()
    print(f"dynamic, streamed against whole: {difference:.1e}")
    assert difference < 5e-3


def test_command_line(tmp_path, capsys):
    pytest.importorskip("ai_edge_quantizer")
    assert cli.main(["export", str(tiny_run()), str(tmp_path), "--variant", "dynamic"]) == 0
    assert "model_dynamic.tflite: noise " in capsys.readouterr().out
    card = (tmp_path / "tiny" / "MODEL_CARD.md").read_text()
    assert "| model_dynamic.tflite | " in card
    assert "the convolutions are quantized and the Fourier transform is not" in card


def test_what_cannot_be_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name == "ai_edge_quantizer" else None)
    with pytest.raises(UsageError, match="received 'int4'; try 'dynamic'"):
        export(tiny_run(), tmp_path, variants=["int4"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install '\.\[quantize\]'"):
        export(tiny_run(), tmp_path, variants=["dynamic"])
