"""Reading, cleaning and counting ONNX graphs: what several techniques need of a model's file."""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    inliner,
    numpy_helper,
    version_converter,
)

from tightship.optimize.contract import Contract

WEIGHTED = ("Conv", "MatMul", "Gemm")
"""Operators whose second input is their weights."""

INLINE_MAX = 3 * 2**29
"""Bytes that one ONNX file may safely hold: a protobuf message ends at 2 GiB."""

DATA = ".data"  # behind a model's own name, the files with its external data
_FLOAT_BYTES = 4

INTEGER_OPERATORS = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulNBits",
        "MatMulIntegerToFloat",
        "QLinearConv",
        "QLinearMatMul",
        "QuantizeLinear",
        "DynamicQuantizeLinear",
    }
)


def load(path: Path) -> ModelProto:
    """The model with its weights in memory."""
    return onnx.load(str(path))


def outline(path: Path) -> ModelProto:
    """The model without its external data: what is not in the file stays a reference to it."""
    return onnx.load(str(path), load_external_data=False)


def save(model: ModelProto, path: Path) -> None:
    """Write the model as one file, or beside external data where it is too large for one.

    A model that is too large loses its weights in memory by this.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if sum(len(tensor.raw_data) for tensor in tensors(model)) <= INLINE_MAX:
        onnx.save(model, str(path))
        return
    location = f"{path.name}{DATA}"
    (path.parent / location).unlink(missing_ok=True)  # the library would append
    onnx.save(model, str(path), save_as_external_data=True, location=location)


def large(path: Path) -> bool:
    """Whether the model with its weights is too large for one file."""
    return file_bytes(path) > INLINE_MAX


def data_files(path: Path) -> tuple[Path, ...]:
    """The external data of a model that `save` or `relocate` wrote."""
    return tuple(sorted(path.parent.glob(f"{path.name}{DATA}*")))


def tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor that may have external data."""
    for inner in graphs(model.graph):
        yield from inner.initializer
        for node in inner.node:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)


def relocate(source: Path, target: Path) -> None:
    """The model under another name, its external data beside it as `data_files` names them.

    The data are moved, which takes neither time nor room. They cannot be linked: onnx refuses
    external data of two names, and of symbolic links, as an attack.
    """
    model = outline(source)
    names: dict[str, str] = {}
    for tensor in tensors(model):
        for entry in tensor.external_data:
            if entry.key == "location":
                name = names.setdefault(entry.value, f"{target.name}{DATA}{len(names)}")
                entry.value = name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(model.SerializeToString())
    for old, new in names.items():
        shutil.move(source.parent / old, target.parent / new)


def opset(model: ModelProto) -> int:
    """The version of the standard operators that the model is written in."""
    return max((e.version for e in model.opset_import if e.domain in ("", "ai.onnx")), default=0)


def lifted(model: ModelProto, version: int) -> ModelProto:
    """The model in that version of the standard operators at least."""
    if opset(model) >= version:
        return model
    return version_converter.convert_version(model, version)


def inlined(model: ModelProto) -> ModelProto:
    """The model with its own functions in place of the nodes that call them."""
    return inliner.inline_local_functions(model) if model.functions else model


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from graphs(attribute.g)
            for inner in attribute.graphs:
                yield from graphs(inner)


def operators(model: ModelProto) -> Counter[str]:
    """How often each operator occurs, subgraphs included."""
    return Counter(node.op_type for inner in graphs(model.graph) for node in inner.node)


def integer_nodes(model: ModelProto) -> int:
    """Nodes that quantize or compute in integers; 0 means that a pass changed nothing."""
    counts = operators(model)
    return sum(counts[name] for name in INTEGER_OPERATORS)


def parameters(model: ModelProto) -> int:
    """Numbers in the model's weights."""
    sizes = (
        int(np.prod(tensor.dims, dtype=np.int64))
        for inner in graphs(model.graph)
        for tensor in inner.initializer
    )
    return sum(sizes) + sum(
        int(np.prod(attribute.t.dims, dtype=np.int64))
        for inner in graphs(model.graph)
        for node in inner.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    )


def file_bytes(path: Path) -> int:
    """Size of the model with its external data."""
    files = {
        entry.value
        for tensor in tensors(outline(path))
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return path.stat().st_size + sum((path.parent / name).stat().st_size for name in files)


def unshaped(path: Path) -> frozenset[str]:
    """Inputs and outputs for which the file does not even tell how many axes they have."""
    described = onnx.load(str(path), load_external_data=False).graph
    return frozenset(
        value.name
        for value in (*described.input, *described.output)
        if not value.type.tensor_type.HasField("shape")
    )


def facts(path: Path) -> Contract:
    """A contract with what the file alone tells; inputs and outputs are still to be found."""
    model = inlined(outline(path))
    return Contract(
        inputs=(),
        outputs=(),
        max_batch=0,
        opset=opset(model),
        nodes=sum(len(inner.node) for inner in graphs(model.graph)),
        parameters=parameters(model),
        bytes=file_bytes(path),
        operators=dict(sorted(operators(model).items())),
        weighted=len(weighted_nodes(model)),
        depthwise=sum(is_depthwise(node, dims) for node, dims in weighted_nodes(model)),
        product_bytes=sum(
            _FLOAT_BYTES * int(np.prod(dims, dtype=np.int64))
            for node, dims in weighted_nodes(model)
            if node.op_type == "MatMul"
        ),
    )


def weighted_nodes(model: ModelProto) -> list[tuple[NodeProto, tuple[int, ...]]]:
    """The main graph's nodes of WEIGHTED with constant fp32 weights, in order, and their shapes."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if (tensor := _constant(node)) is not None:
            tensors[node.output[0]] = tensor
    return [
        (node, tuple(tensors[node.input[1]].dims))
        for node in model.graph.node
        if node.op_type in WEIGHTED
        and node.input[1] in tensors
        and tensors[node.input[1]].data_type == TensorProto.FLOAT
    ]


def is_depthwise(node: NodeProto, weights: Sequence[int]) -> bool:
    """Whether each filter of a convolution sees a single channel."""
    groups = next((a.i for a in node.attribute if a.name == "group"), 1)
    return node.op_type == "Conv" and groups > 1 and weights[1] == 1


def constants_to_initializers(model: ModelProto) -> int:
    """Turn Constant nodes of the main graph into initializers, so that quantizers see weights.

    Returns how many were turned.
    """
    kept: list[NodeProto] = []
    turned = 0
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        tensor = _constant(node)
        if tensor is None or node.output[0] in outputs:
            kept.append(node)
            continue
        copy = TensorProto()
        copy.CopyFrom(tensor)
        copy.name = node.output[0]
        model.graph.initializer.append(copy)
        turned += 1
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return turned


def _constant(node: NodeProto) -> TensorProto | None:
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    return next((a.t for a in node.attribute if a.name == "value" and a.HasField("t")), None)


def name_nodes(model: ModelProto) -> None:
    """Give every node of the main graph a name of its own; quantizers select nodes by name."""
    seen: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{index}"
        seen.add(node.name)


def float_weights(model: ModelProto) -> dict[str, np.ndarray]:
    """The fp32 weights of the main graph by name."""
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT
    }
