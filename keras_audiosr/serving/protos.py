"""Declares the few messages of TensorFlow Serving that the client needs, without TensorFlow.

The package `tensorflow-serving-api` would install all of TensorFlow. The package `min-tfs-client` (1.0.2, from 2020)
declares the messages under TensorFlow's own names, which aborts a process that also imports TensorFlow. The messages
here have the field numbers of the originals, so their bytes are the same. They are in a separate descriptor pool. Tests
compare them with the originals.

Reference: tensorflow_serving/apis/{model,predict,prediction_log}.proto and
tensorflow/core/framework/{tensor,tensor_shape}.proto.
"""

import math
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ..errors import ServerError

# Numbers of data types, from tensorflow/core/framework/types.proto.
DT_FLOAT, DT_INT32, DT_STRING, DT_INT64 = 1, 3, 7, 9

_Field = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}
# Each message has fields with a number and a type. `*` marks a repeated field. A map is a repeated field of entries.
_MESSAGES = {
    "Dim": {"size": (1, "int64")},
    "Shape": {"dim": (2, "*Dim")},
    # float_val is a packed `repeated float`. Its encoding is that of a field of `bytes` with a float32 array.
    "Tensor": {
        "dtype": (1, "int32"),
        "tensor_shape": (2, "Shape"),
        "tensor_content": (4, "bytes"),
        "float_val": (5, "bytes"),
        "int_val": (7, "*int32"),
        "string_val": (8, "*bytes"),
        "int64_val": (10, "*int64"),
    },
    "Int64": {"value": (1, "int64")},
    # version and version_label are a oneof in the original. This package sets only one of them.
    "ModelSpec": {
        "name": (1, "string"),
        "version": (2, "Int64"),
        "signature_name": (3, "string"),
        "version_label": (4, "string"),
    },
    "Entry": {"key": (1, "string"), "value": (2, "Tensor")},
    "PredictRequest": {"model_spec": (1, "ModelSpec"), "inputs": (2, "*Entry")},
    "PredictResponse": {"outputs": (1, "*Entry"), "model_spec": (2, "ModelSpec")},
    "PredictLog": {"request": (1, "PredictRequest")},
    "PredictionLog": {"predict_log": (6, "PredictLog")},
}


def _declare() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="audiosr_serving.proto", package="audiosr", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = _Field.LABEL_REPEATED if kind.startswith("*") else _Field.LABEL_OPTIONAL
            kind = kind.lstrip("*")
            if kind in _TYPES:
                message.field.add(name=field, number=number, label=label, type=_TYPES[kind])
            else:
                message.field.add(
                    name=field, number=number, label=label, type=_Field.TYPE_MESSAGE, type_name=f".audiosr.{kind}"
                )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"audiosr.{name}")) for name in _MESSAGES}


_CLASSES = _declare()
PredictRequest = _CLASSES["PredictRequest"]
PredictResponse = _CLASSES["PredictResponse"]
PredictionLog = _CLASSES["PredictionLog"]


def predict_request(
    model: str, signature: str, inputs: dict, version: int | None = None, label: str | None = None
) -> Any:
    """Returns a `PredictRequest`.

    Args:
        model: name of the model on the server.
        signature: name of the signature.
        inputs: float32 or int32 arrays, or lists of `bytes`, by the names of the signature's inputs.
        version: version number of the model. If neither it nor `label` is given, the newest version answers.
        label: label of a version.
    """
    request = PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    elif label is not None:
        request.model_spec.version_label = label
    for name, values in inputs.items():
        entry = request.inputs.add(key=name)
        tensor = entry.value
        if isinstance(values, np.ndarray):
            tensor.dtype = DT_FLOAT if values.dtype == np.float32 else DT_INT32
            tensor.tensor_content = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
            shape = values.shape
        else:
            tensor.dtype = DT_STRING
            tensor.string_val.extend(values)
            shape = (len(values),)
        for size in shape:
            tensor.tensor_shape.dim.add(size=size)
    return request


def read_outputs(response: Any) -> dict:
    """Returns the outputs of a `PredictResponse` by name, as arrays or lists of `bytes`.

    Raises:
        ServerError: the number of values in a tensor does not match its shape.
    """
    outputs: dict = {}
    for entry in response.outputs:
        tensor = entry.value
        shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
        values: np.ndarray | list[bytes]
        try:
            if tensor.dtype == DT_STRING:
                values = list(tensor.string_val)
            elif tensor.dtype == DT_FLOAT:
                values = np.frombuffer(tensor.tensor_content or tensor.float_val, "<f4").astype(np.float32, copy=False)
            elif tensor.tensor_content:
                values = np.frombuffer(tensor.tensor_content, "<i4" if tensor.dtype == DT_INT32 else "<i8")
            else:
                values = np.array(tensor.int_val or tensor.int64_val, np.int64)
            held = str(len(values))
        except ValueError:  # the number of bytes is not a multiple of the size of a value
            values, held = [], "an incomplete value"
        # NumPy's product could overflow. A malicious shape may also have negative lengths.
        if min(shape, default=0) < 0 or held != str(math.prod(shape)):
            raise ServerError(
                f"a tensor must have as many values as its shape says; {entry.key!r} {shape} has {held};"
                " serve a bundle of 'keras-audiosr serve bundle'"
            )
        outputs[entry.key] = values.reshape(shape) if isinstance(values, np.ndarray) else values
    return outputs
