"""Small models in a real Triton's repository, and questions to them."""

from contextlib import suppress
from itertools import count
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from tests.support.triton import Triton
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import np_to_triton_dtype

Shape = list[str | int]

_names = (f"backend-{number}" for number in count())


def publish(triton: Triton, backend: str, model: onnx.ModelProto, config: str) -> str:
    """Write a model folder into the repository; returns the model's name."""
    name = next(_names)
    folder = triton.repository / name
    (folder / "1").mkdir(parents=True)
    onnx.save(model, folder / "1" / "model.onnx")
    if "default_model_filename" not in config:
        config = f'{config} default_model_filename: "model.onnx"'
    (folder / "config.pbtxt").write_text(f'backend: "{backend}"\n{config}\n')
    return name


def assembled(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, Shape],
    outputs: dict[str, Shape],
    weights: dict[str, np.ndarray] | None = None,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model of some nodes; all its inputs and outputs are of one type."""
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in outputs.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def graph(operator: str, kind: int, shape: Shape, outputs: dict[str, Shape]) -> onnx.ModelProto:
    """A model with one node: input `x`, the outputs by name and shape."""
    node = helper.make_node(operator, ["x"], list(outputs))
    return assembled([node], {"x": shape}, outputs, kind=kind)


def config(kind: str, dims: str, batch: int, more: str = "", answer: str | None = None) -> str:
    """A config.pbtxt for `x` to `y`; `answer` gives the dims of `y` where they differ."""
    return (
        f'max_batch_size: {batch} input {{ name: "x" data_type: {kind} dims: [{dims}] }} '
        f'output {{ name: "y" data_type: {kind} dims: [{answer or dims}] }} '
        f"instance_group {{ kind: KIND_CPU count: 1 }} {more}"
    )


def parameter(name: str, value: str) -> str:
    return f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}'


def negation(triton: Triton, backend: str, batch: int = 8, more: str = "") -> str:
    shape: Shape = ["N", 4] if batch else [4]
    model = graph("Neg", TensorProto.FLOAT, shape, {"y": shape})
    return publish(triton, backend, model, config("TYPE_FP32", "4", batch, more))


def infer(client: InferenceServerClient, name: str, *arrays: np.ndarray) -> np.ndarray:
    """The answer `y` to the inputs `x`, or `a` and `b` where there are two."""
    keys = "x" if len(arrays) == 1 else "ab"
    tensors = [tensor(key, array) for key, array in zip(keys, arrays, strict=True)]
    return np.asarray(client.infer(name, tensors).as_numpy("y"))


def tensor(name: str, array: np.ndarray) -> InferInput:
    made = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    return made.set_data_from_numpy(array)


def processes_of(triton: Triton, name: str) -> list[Path]:
    """The /proc folders of the model's instances."""
    marker = f"{triton.repository}/{name}/1/model.onnx".encode()
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):  # no process, or one that ends while its folder is read
            if marker in (folder / "cmdline").read_bytes():
                found.append(folder)
    return found
