"""Builds an ONNX graph of a convolutional network layer by layer, without a framework."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

_OPSET = 17
_IR_VERSION = 8

Array = NDArray[Any]


class Network:
    """Collects nodes and weights; every method returns the name of the tensor that it makes."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._weights: dict[str, Any] = {}

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:  # noqa: ANN401 (whatever an attribute may be)
        """One operator; its output is named by the kind and a number unless a name is given."""
        name = output or f"{kind.lower()}_{len(self._nodes)}"
        node = helper.make_node(kind, inputs, [name], name=name)
        node.attribute.extend(helper.make_attribute(*item) for item in sorted(attributes.items()))
        self._nodes.append(node)
        return name

    def weight(self, name: str, value: Array) -> str:
        """An initializer."""
        self._weights[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def conv(
        self,
        value: str,
        name: str,
        weights: Array,
        bias: Array,
        **attributes: Any,  # noqa: ANN401 (likewise)
    ) -> str:
        """A convolution with bias; weights [out, in per group, height, width]."""
        given = [self.weight(f"{name}.weight", weights), self.weight(f"{name}.bias", bias)]
        return self.node("Conv", value, *given, **attributes)

    def dense(self, value: str, name: str, weights: Array, bias: Array, output: str = "") -> str:
        """A fully connected layer; weights [out, in]."""
        given = [self.weight(f"{name}.weight", weights), self.weight(f"{name}.bias", bias)]
        return self.node("Gemm", value, *given, output=output, transB=1)

    def integers(self, name: str, values: Sequence[int]) -> str:
        """A constant of int64, for shapes and axes."""
        return self.weight(name, np.array(values, np.int64))

    def finish(
        self, name: str, given: tuple[str, Sequence[int]], wanted: tuple[str, Sequence[int]]
    ) -> bytes:
        """The model; input and output are pairs of a name and the shape of one sample."""
        ends = [
            helper.make_tensor_value_info(end, TensorProto.FLOAT, ["batch", *shape])
            for end, shape in (given, wanted)
        ]
        graph = helper.make_graph(
            self._nodes, name, ends[:1], ends[1:], list(self._weights.values())
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
        model.ir_version = _IR_VERSION
        checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def folded(
    weights: Array, norm: dict[str, Array], epsilon: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(weights, bias) of a convolution together with the batch normalization behind it.

    What PyTorch's exporter does with a model in evaluation mode. `norm` has `weight`, `bias`,
    `running_mean` and `running_var`.
    """
    scale = norm["weight"] / np.sqrt(norm["running_var"] + epsilon)
    bias = norm["bias"] - norm["running_mean"] * scale
    return (weights * scale[:, None, None, None]).astype(np.float32), bias.astype(np.float32)
