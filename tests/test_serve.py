"""Tests `serve bundle`: the files and signatures of a bundle, and which models and options are refused."""

import base64
import json
import shutil
import subprocess

import numpy as np
import pytest
from tiny_model import CONTEXT, HOP, WINDOW, tiny_export

pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, the official messages")

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from served import copy_bundle, tiny_bundle

from keras_audiosr import cli
from keras_audiosr.errors import ArtifactError, OutputExistsError, UsageError
from keras_audiosr.serving.bundle import image_tag, is_image
from keras_audiosr.stages.serve import serve

TOLD = {
    "name": "tiny", "sample_rate": 44100, "window_length": WINDOW, "context": CONTEXT, "hop_length": HOP,
    "overlap": 2 * CONTEXT, "version": 1, "undo_encoder_gain": 0,
}  # fmt: skip
# The ops that these models may use. TensorFlow Serving contains all of them. None of them runs Python code, and only
# those of checkpoints access files.
STOCK_OPS = set(
    """
    Abs Add AddV2 AssignVariableOp BatchMatMulV2 BatchToSpaceND BiasAdd BroadcastTo Cast ClipByValue ConcatV2 Const
    Conv2D
    DecodeRaw DepthwiseConv2dNative DisableCopyOnRead EnsureShape Exp ExpandDims Fill FloorDiv FloorMod GatherV2 Greater
    GreaterEqual Identity IdentityN LeakyRelu Less Log MatMul Max Maximum Mean MergeV2Checkpoints Minimum Mul Neg NoOp
    Pack Pad PadV2 PartitionedCall Placeholder PlaceholderWithDefault Pow Prod Range ReadVariableOp RealDiv Relu Reshape
    RestoreV2 ReverseV2 Round Rsqrt SaveV2 Select SelectV2 SerializeTensor Shape ShardedFilename Sigmoid Sign Slice
    SpaceToBatchND Split SplitV Sqrt Square SquaredDifference Squeeze StatefulPartitionedCall StaticRegexFullMatch
    StopGradient StridedSlice StringJoin Sub Substr Sum Tanh Tile Transpose Unpack VarHandleOp VarIsInitializedOp Where
    ZerosLike
    """.split()
)


@pytest.fixture(scope="module")
def served():
    import tensorflow as tf

    return tf.saved_model.load(str(tiny_bundle() / "tiny" / "1"))


def ops_of(folder):
    """Yields the name of every op in the graphs and functions of a SavedModel."""
    from tensorflow.core.protobuf import saved_model_pb2

    content = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for graph in content.meta_graphs:
        nodes = list(graph.graph_def.node)
        for function in graph.graph_def.library.function:
            nodes += function.node_def
        yield from (node.op for node in nodes)


def noise(count=2):
    return np.random.default_rng(0).uniform(-0.9, 0.9, (count, WINDOW, 1)).astype(np.float32)


def test_everything_is_there_and_hashed():
    files = {path.relative_to(tiny_bundle()).as_posix() for path in tiny_bundle().rglob("*") if path.is_file()}
    assert files >= {
        "README.md", "SHA256SUMS", "batching.config", "docker-compose.yml", "docker-compose.gpu.yml",
        *(f"kubernetes/{name}.yaml" for name in ("deployment", "service", "claim", "fill", "pdb")),
        "kubernetes/kustomization.yaml", "kubernetes/networkpolicy.yaml", "kubernetes-gpu/kustomization.yaml",
        "kubernetes-gpu/deployment.yaml", "models.config", "monitoring.config", "ready.sh",
        "tiny/1/assets.extra/tf_serving_warmup_requests", "tiny/1/saved_model.pb",
    }  # fmt: skip
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=tiny_bundle(), capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.count(": OK\n") == len(files) - 1
    for path in files:
        if "/1/" not in path:
            assert "@@" not in (tiny_bundle() / path).read_text()


def test_signatures(served):
    import tensorflow as tf

    signatures = {
        name: (
            {key: (spec.shape.as_list(), spec.dtype) for key, spec in signature.structured_input_signature[1].items()},
            {key: (spec.shape.as_list(), spec.dtype) for key, spec in signature.structured_outputs.items()},
        )
        for name, signature in served.signatures.items()
    }
    windows = ([None, WINDOW, 1], tf.float32)
    assert signatures["serving_default"] == ({"lossy": windows}, {"restored": windows})
    assert signatures["restore_pcm16"] == ({"lossy": ([None], tf.string)}, {"restored_bytes": ([None], tf.string)})
    inputs, outputs = signatures["describe"]
    assert inputs == {"row": ([None], tf.int32)}
    assert set(outputs) == {*TOLD, "weights"}
    described = served.signatures["describe"](row=tf.constant([7, 8, 9]))
    assert all(values.shape == (3,) for values in described.values())
    found = {key: values.numpy()[0] for key, values in described.items()}
    weights = json.loads((tiny_export() / "metadata.json").read_text())["files"]
    weights = weights["1/variables/variables.data-00000-of-00001"]["sha256"]
    assert weights.startswith(found.pop("weights").decode())
    assert found | {"name": found["name"].decode()} == TOLD


def test_the_network_is_the_exported_one(served):
    import tensorflow as tf

    windows = noise()
    expected = tf.saved_model.load(str(tiny_export() / "1")).signatures["serving_default"](lossy=windows)["restored"]
    restored = served.signatures["serving_default"](lossy=windows)["restored"]
    np.testing.assert_allclose(restored, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [1, 3])
def test_16_bit_samples_are_the_rounded_ones(served, count):
    import tensorflow as tf

    pcm = np.rint(1.2 * 32767 * noise(count)).clip(-32768, 32767).astype("<i2")
    restored = served.signatures["serving_default"](lossy=(pcm / 32768).astype(np.float32))["restored"].numpy()
    assert np.abs(restored).max() > 1  # so that clipping is tested
    rows = served.signatures["restore_pcm16"](lossy=tf.constant([row.tobytes() for row in pcm]))[
        "restored_bytes"
    ].numpy()
    assert [len(row) for row in rows] == [2 * WINDOW] * count
    found = np.frombuffer(b"".join(rows), "<i2").reshape(pcm.shape)
    # Rounding changes a sample by half a step. 0.01 is added because float32 may round a half up or down.
    np.testing.assert_allclose(found, (restored * 32768).clip(-32768, 32767), atol=0.51, rtol=0)


def test_a_session_runs_it_as_the_server_does():
    """Like the server, this test loads the graph into a session and uses the tensor names of the signatures."""
    import tensorflow as tf

    windows = noise()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(tiny_bundle() / "tiny" / "1"))
        results = {}
        pcm = [window.tobytes() for window in (windows * 32767).astype("<i2")]
        for name, value in (("serving_default", windows), ("restore_pcm16", pcm), ("describe", np.zeros(2, np.int32))):
            signature = loaded.signature_def[name]
            assert signature.method_name == "tensorflow/serving/predict"
            (feed,) = (info.name for info in signature.inputs.values())
            fetches = {key: info.name for key, info in signature.outputs.items()}
            results[name] = session.run(fetches, {feed: value})
    expected = tf.saved_model.load(str(tiny_export() / "1")).signatures["serving_default"](lossy=windows)["restored"]
    np.testing.assert_allclose(results["serving_default"]["restored"], expected, atol=1e-6, rtol=0)
    assert [len(row) for row in results["restore_pcm16"]["restored_bytes"]] == [2 * WINDOW] * 2
    assert results["describe"]["window_length"].tolist() == [WINDOW] * 2


def test_only_stock_ops_in_every_function(tmp_path):
    import tensorflow as tf

    found = set(ops_of(tiny_bundle() / "tiny" / "1"))
    assert {"Conv2D", "DecodeRaw", "SerializeTensor"} <= found  # `ops_of` includes functions
    assert found <= STOCK_OPS, sorted(found - STOCK_OPS)

    class Python(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32)])
        def call(self, x):
            return tf.numpy_function(lambda value: value, [x], tf.float32)

    tf.saved_model.save(Python(), str(tmp_path))
    assert set(ops_of(tmp_path)) - STOCK_OPS


def test_only_stock_ops_in_the_model_that_ships(tmp_path):
    target = serve(tmp_path / "bundle")
    assert target.name == "1"
    found = set(ops_of(target))
    assert found <= STOCK_OPS, sorted(found - STOCK_OPS)


def test_warm_up_records_replay(served):
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    path = tiny_bundle() / "tiny" / "1" / "assets.extra" / "tf_serving_warmup_requests"
    replayed = set()
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "tiny"
        inputs = {key: tf.constant(tf.make_ndarray(tensor)) for key, tensor in request.inputs.items()}
        outputs = served.signatures[request.model_spec.signature_name](**inputs)
        (count,) = {value.shape[0] for value in [*inputs.values(), *outputs.values()]}
        replayed.add((request.model_spec.signature_name, count))
    names = ("serving_default", "restore_pcm16", "describe")
    assert replayed == {(name, size) for name in names for size in (1, 2, 4, 8)}


def message(name, fields):
    """Returns an empty message of a proto that tensorflow-serving-api leaves out. `fields` are those of its source."""
    kinds = descriptor_pb2.FieldDescriptorProto
    types = {"int64": kinds.TYPE_INT64, "bool": kinds.TYPE_BOOL, "string": kinds.TYPE_STRING}
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package="t", syntax="proto3")
    declared = file.message_type.add(name=name)
    for field, (number, kind) in fields.items():
        label = kinds.LABEL_REPEATED if kind.startswith("*") else kinds.LABEL_OPTIONAL
        if isinstance(types.get(kind.lstrip("*")), int):
            declared.field.add(name=field, number=number, label=label, type=types[kind.lstrip("*")])
        else:  # a wrapper such as google.protobuf.Int64Value, or a nested message, written as `Name value:int64`
            nested, *inner = kind.split()
            if not any(other.name == nested for other in file.message_type):
                added = file.message_type.add(name=nested)
                for index, part in enumerate(inner, 1):
                    inner_name, inner_kind = part.split(":")
                    added.field.add(name=inner_name, number=index, label=kinds.LABEL_OPTIONAL, type=types[inner_kind])
            declared.field.add(
                name=field, number=number, label=label, type=kinds.TYPE_MESSAGE, type_name=f".t.{nested}"
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"t.{name}"))()


def test_configurations_parse_with_their_protos():
    from tensorflow_serving.config import model_server_config_pb2

    text = (tiny_bundle() / "models.config").read_text()
    models = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = models.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("tiny", "/bundle/tiny", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 2
    assert dict(model.version_labels) == {"stable": 1}

    # session_bundle_config.proto and monitoring_config.proto are not published for Python.
    number = "Int64Value value:int64"
    batching = message(
        "BatchingParameters",
        {
            "max_batch_size": (1, number),
            "batch_timeout_micros": (2, number),
            "max_enqueued_batches": (3, number),
            "num_batch_threads": (4, number),
            "allowed_batch_sizes": (6, "*int64"),
            "pad_variable_length_inputs": (7, "bool"),
        },
    )
    text_format.Parse((tiny_bundle() / "batching.config").read_text(), batching)
    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(sizes)
    assert sizes[-1] == batching.max_batch_size.value == 8  # the server refuses to start otherwise
    assert not batching.pad_variable_length_inputs
    monitoring = message("MonitoringConfig", {"prometheus_config": (1, "PrometheusConfig enable:bool path:string")})
    text_format.Parse((tiny_bundle() / "monitoring.config").read_text(), monitoring)
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_compose_and_kubernetes():
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")

    def load(name):
        return yaml.safe_load((tiny_bundle() / name).read_text())

    compose = load("docker-compose.yml")["services"]["serving"]
    assert compose["image"].split(":")[1].count(".") == 2  # a version, not "latest"
    assert compose["volumes"] == [".:/bundle:ro"]
    assert compose["read_only"] is True
    assert compose["user"].split(":")[0] != "0"
    assert compose["healthcheck"]["test"] == ["CMD", "bash", "/bundle/ready.sh"]
    assert all(port.startswith("127.0.0.1:") for port in compose["ports"])

    deployment, service = (load(f"kubernetes/{name}.yaml") for name in ("deployment", "service"))
    assert (deployment["kind"], service["kind"]) == ("Deployment", "Service")
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["image"] == compose["image"]
    assert container["args"] == compose["command"]
    assert [container["command"]] == [compose["entrypoint"]]
    for flag in compose["command"]:
        if "=/bundle/" in flag:
            assert (tiny_bundle() / flag.split("=/bundle/")[1]).is_file(), flag
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["readinessProbe"]["exec"]["command"] == ["bash", "/bundle/ready.sh"]
    assert {"name": "bundle", "mountPath": "/bundle", "readOnly": True} in container["volumeMounts"]
    labels = pod["metadata"]["labels"]
    assert service["spec"]["selector"] == labels == deployment["spec"]["selector"]["matchLabels"]
    names = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == names


@pytest.mark.parametrize(
    ("tensorflow", "tag", "exact"),
    [
        ("2.16.2", "2.16.1", True), ("2.19.0", "2.19.1", True), ("2.21.0", "2.21.0", True),
        # Tags that are not known are not guessed.
        ("2.99.0", "2.21.0", False), ("2.9.0", "2.16.1", False),
    ],
)  # fmt: skip
def test_the_image_is_of_the_tensorflow_that_wrote_the_model(tensorflow, tag, exact):
    assert image_tag(tensorflow) == (tag, exact)


@pytest.mark.parametrize(
    ("image", "known"),
    [
        ("tensorflow/serving:2.19.1-gpu", True), (f"tensorflow/serving@sha256:{'0f' * 32}", True),
        (f"registry.example:5000/a/b:1@sha256:{'0f' * 32}", True), ("registry.example:5000/a/b:1", True),
        ("tensorflow/serving", False), ("tensorflow/serving:", False), ("registry.example:5000/a/b", False),
        ("a:1\n    privileged: true", False), ("a:1 #", False), ("a@sha256:12", False), ("", False),
    ],
)  # fmt: skip
def test_what_names_an_image(image, known):
    assert is_image(image) is known


def test_an_image_of_ones_own_is_in_every_file_of_the_bundle(tmp_path, capsys):
    image = f"registry.example:5000/serving@sha256:{'0f' * 32}"
    arguments = ["serve", "bundle", str(tmp_path / "b"), "--model", str(tiny_export()), "--trust-saved-model"]
    assert cli.main([*arguments, "--image", image]) == 0
    capsys.readouterr()
    texts = [path.read_text() for path in (tmp_path / "b").rglob("*.y*ml")]
    assert sum(text.count(f"image: {image}\n") for text in texts) == 5
    assert sum(text.count("image: ") for text in texts) == 5
    assert f"`{image}`, which was set with `--image`." in (tmp_path / "b" / "README.md").read_text()
    assert cli.main([*arguments, "--image", image]) == 2  # existing configurations belong to the user
    assert "only a new bundle takes an image" in capsys.readouterr().err
    arguments[2] = str(tmp_path / "c")
    assert cli.main([*arguments, "--image", "tensorflow/serving"]) == 2
    assert "tag or a digest; received 'tensorflow/serving'" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_a_second_bundle_adds_a_version_and_keeps_the_rest(tmp_path, capsys):
    folder = copy_bundle(tmp_path / "bundle")
    (folder / "models.config").write_text((folder / "models.config").read_text() + "# mine\n")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS"}
    assert cli.main(["serve", "bundle", str(folder), "--model", str(tiny_export()), "--trust-saved-model"]) == 0
    assert str(folder / "tiny" / "2") in capsys.readouterr().out
    for path, content in before.items():
        assert path.read_bytes() == content
    assert {path.name for path in (folder / "tiny").iterdir()} == {"1", "2"}
    done = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0
    assert "tiny/2/saved_model.pb: OK" in done.stdout


def test_what_is_there_is_not_replaced(tmp_path):
    folder = copy_bundle(tmp_path / "bundle")
    with pytest.raises(OutputExistsError, match="never replaced"):
        serve(folder, tiny_export(), version=1, trust=True)
    shutil.move(folder / "tiny", folder / "other")
    with pytest.raises(OutputExistsError, match="serves one model"):
        serve(folder, tiny_export(), trust=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputExistsError, match="new or empty"):
        serve(tmp_path / "mine", tiny_export(), trust=True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_what_cannot_be_bundled_leaves_nothing(tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="version must be 1 or more"):
        serve(out, tiny_export(), version=0)
    with pytest.raises(ArtifactError, match="none of them"):
        serve(out, tmp_path / "nowhere")
    damaged = shutil.copytree(tiny_export(), tmp_path / "damaged")
    (damaged / "1" / "variables" / "variables.index").write_bytes(b"")
    assert cli.main(["serve", "bundle", str(out), "--model", str(damaged)]) == 1
    assert "SHA-256" in capsys.readouterr().err
    named = shutil.copytree(tiny_export(), tmp_path / "named")
    metadata = json.loads((named / "metadata.json").read_text())
    (named / "metadata.json").write_text(json.dumps(metadata | {"name": 'a" b'}))
    with pytest.raises(ArtifactError, match="name has letters"):
        serve(out, named)
    (named / "metadata.json").write_text(json.dumps(metadata | {"name": ".."}))
    with pytest.raises(ArtifactError, match="name has letters"):
        serve(out, named)
    with pytest.raises(ArtifactError, match="--trust-saved-model"):
        serve(out, tiny_export())
    assert not out.exists()
    assert not list(tmp_path.glob(".*"))


def test_an_abort_of_the_child_is_one_error(tmp_path, monkeypatch):
    (tmp_path / "python").write_text("#!/bin/sh\necho 'F Check failed: inside' >&2\necho '#0' >&2\nkill -ABRT $$\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(ArtifactError, match=r"F Check failed: inside \(signal 6\)"):
        serve(tmp_path / "out", tiny_export(), trust=True)
    assert not (tmp_path / "out").exists()


def test_our_messages_are_the_official_ones():
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    from keras_audiosr.serving import protos

    windows = noise()
    request = protos.predict_request("m", "s", {"lossy": windows, "row": np.arange(3, dtype=np.int32)}, version=7)
    official = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    assert (official.model_spec.name, official.model_spec.signature_name) == ("m", "s")
    assert official.model_spec.version.value == 7
    np.testing.assert_array_equal(tf.make_ndarray(official.inputs["lossy"]), windows)
    assert tf.make_ndarray(official.inputs["row"]).tolist() == [0, 1, 2]
    strings = protos.predict_request("m", "s", {"lossy": [b"\0\xff", b""]}, label="stable")
    official = predict_pb2.PredictRequest.FromString(strings.SerializeToString())
    assert official.model_spec.version_label == "stable"
    assert tf.make_ndarray(official.inputs["lossy"]).tolist() == [b"\0\xff", b""]

    answer = predict_pb2.PredictResponse()
    answer.model_spec.version.value = 3
    answer.outputs["content"].CopyFrom(tf.make_tensor_proto(windows))  # stored in tensor_content
    answer.outputs["field"].dtype = 1
    for size in windows.shape:
        answer.outputs["field"].tensor_shape.dim.add(size=size)
    answer.outputs["field"].float_val.extend(windows.ravel().tolist())  # stored as the server does
    answer.outputs["bytes"].CopyFrom(tf.make_tensor_proto([b"\0\xff", b""], tf.string))
    for name, kind in (("int32", tf.int32), ("int64", tf.int64)):
        answer.outputs[name].CopyFrom(tf.make_tensor_proto([0, -5], kind))
    ours = protos.PredictResponse.FromString(answer.SerializeToString())
    assert ours.model_spec.version.value == 3
    found = protos.read_outputs(ours)
    np.testing.assert_array_equal(found["content"], windows)
    np.testing.assert_array_equal(found["field"], windows)
    assert found["bytes"] == [b"\0\xff", b""]
    assert found["int32"].tolist() == found["int64"].tolist() == [0, -5]


def test_base64_is_a_tenth_of_json():
    windows = noise(1)
    floats = len(json.dumps(windows.tolist()))
    pcm = base64.b64encode((windows * 32767).astype("<i2").tobytes())
    assert len(json.dumps([{"b64": pcm.decode()}])) < 0.15 * floats
