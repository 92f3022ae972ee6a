"""A BERT sentence encoder as an ONNX graph, from its weights, without a framework."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

_OPSET = 17
_IR_VERSION = 8
_MASKED = -10000.0  # what BERT's authors add to a masked score; also within half precision

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BertShape:
    """The numbers of a BERT, by the names of its config.json."""

    layers: int
    heads: int
    hidden: int
    epsilon: float

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "BertShape":
        """Reads the published config.json."""
        return cls(
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            hidden=config["hidden_size"],
            epsilon=config["layer_norm_eps"],
        )


def sentence_encoder(shape: BertShape, weights: Weights) -> bytes:
    """The encoder, mean pooling over unmasked tokens, and division by the length.

    Inputs `input_ids` and `attention_mask` int64 [batch, tokens]; output `embedding` float32
    [batch, hidden]. The architecture is that of Devlin et al. 2018 (arXiv:1810.04805), the pooling
    that of Reimers and Gurevych 2019 (arXiv:1908.10084).
    """
    graph = _Graph(shape, weights)
    mask = graph.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    hidden = _embeddings(graph)
    bias = _score_bias(graph, mask)
    for number in range(shape.layers):
        hidden = _layer(graph, hidden, bias, f"encoder.layer.{number}")
    _pool(graph, hidden, mask)
    return graph.finish()


class _Graph:
    """Collects nodes and initializers; every method returns the name of a tensor."""

    def __init__(self, shape: BertShape, weights: Weights) -> None:
        self.shape = shape
        self._weights = weights
        self._nodes: list[Any] = []
        self._tensors: dict[str, Any] = {}

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        name = output or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: object, kind: type[np.generic] = np.int64) -> str:
        self._tensors[name] = numpy_helper.from_array(np.array(value, dtype=kind), name)
        return name

    def weight(self, name: str, *, transposed: bool = False) -> str:
        value = self._weights[name]
        self._tensors[name] = numpy_helper.from_array(
            np.ascontiguousarray(value.T if transposed else value), name
        )
        return name

    def linear(self, value: str, name: str) -> str:
        product = self.node("MatMul", value, self.weight(f"{name}.weight", transposed=True))
        return self.node("Add", product, self.weight(f"{name}.bias"))

    def normalized(self, value: str, name: str) -> str:
        return self.node(
            "LayerNormalization", value, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"),
            epsilon=self.shape.epsilon,
        )  # fmt: skip

    def finish(self) -> bytes:
        tokens = ["batch", "tokens"]
        given = [
            helper.make_tensor_value_info(name, TensorProto.INT64, tokens)
            for name in ("input_ids", "attention_mask")
        ]
        embedding = helper.make_tensor_value_info(
            "embedding", TensorProto.FLOAT, ["batch", self.shape.hidden]
        )
        graph = helper.make_graph(
            self._nodes, "sentence-encoder", given, [embedding], list(self._tensors.values())
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
        model.ir_version = _IR_VERSION
        checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))


def _embeddings(graph: _Graph) -> str:
    words = graph.node("Gather", graph.weight("embeddings.word_embeddings.weight"), "input_ids")
    length = graph.node("Shape", "input_ids", start=1, end=2)
    positions = graph.node(
        "Slice", graph.weight("embeddings.position_embeddings.weight"),
        graph.constant("first", [0]), length, graph.constant("token_axis", [0]),
    )  # fmt: skip
    kinds = graph.node(
        "Gather", graph.weight("embeddings.token_type_embeddings.weight"),
        graph.constant("first_kind", 0),
    )  # fmt: skip
    total = graph.node("Add", graph.node("Add", words, positions), kinds)
    return graph.normalized(total, "embeddings.LayerNorm")


def _score_bias(graph: _Graph, mask: str) -> str:
    """[batch, 1, 1, tokens]: 0 where a token counts, a large negative number for padding."""
    padding = graph.node("Sub", graph.constant("one", 1, np.float32), mask)
    bias = graph.node("Mul", padding, graph.constant("masked", _MASKED, np.float32))
    return graph.node("Unsqueeze", bias, graph.constant("head_axes", [1, 2]))


def _layer(graph: _Graph, hidden: str, bias: str, name: str) -> str:
    attended = graph.linear(_attention(graph, hidden, bias, f"{name}.attention.self"),
                            f"{name}.attention.output.dense")  # fmt: skip
    hidden = graph.normalized(
        graph.node("Add", attended, hidden), f"{name}.attention.output.LayerNorm"
    )
    inner = _gelu(graph, graph.linear(hidden, f"{name}.intermediate.dense"))
    outer = graph.linear(inner, f"{name}.output.dense")
    return graph.normalized(graph.node("Add", outer, hidden), f"{name}.output.LayerNorm")


def _attention(graph: _Graph, hidden: str, bias: str, name: str) -> str:
    shape = graph.shape
    width = shape.hidden // shape.heads
    split = graph.constant("split_heads", [0, 0, shape.heads, width])
    query, key, value = (
        graph.node("Transpose", graph.node("Reshape", projected, split), perm=order)
        for projected, order in (
            (graph.linear(hidden, f"{name}.query"), [0, 2, 1, 3]),
            (graph.linear(hidden, f"{name}.key"), [0, 2, 3, 1]),
            (graph.linear(hidden, f"{name}.value"), [0, 2, 1, 3]),
        )
    )
    scale = graph.constant("scale", width**-0.5, np.float32)
    scores = graph.node("Mul", graph.node("MatMul", query, key), scale)
    shares = graph.node("Softmax", graph.node("Add", scores, bias), axis=-1)
    context = graph.node("Transpose", graph.node("MatMul", shares, value), perm=[0, 2, 1, 3])
    return graph.node("Reshape", context, graph.constant("join_heads", [0, 0, shape.hidden]))


def _gelu(graph: _Graph, value: str) -> str:
    """x/2 (1 + erf(x / sqrt 2)), in the operators that every opset has."""
    root, one = graph.constant("sqrt2", 2**0.5, np.float32), graph.constant("one", 1, np.float32)
    error = graph.node("Add", graph.node("Erf", graph.node("Div", value, root)), one)
    return graph.node(
        "Mul", graph.node("Mul", value, error), graph.constant("half", 0.5, np.float32)
    )


def _pool(graph: _Graph, hidden: str, mask: str) -> None:
    axis = graph.constant("sequence_axis", [1])
    weights = graph.node("Unsqueeze", mask, graph.constant("feature_axis", [2]))
    total = graph.node("ReduceSum", graph.node("Mul", hidden, weights), axis, keepdims=0)
    count = graph.node("ReduceSum", mask, axis, keepdims=1)
    count = graph.node("Max", count, graph.constant("least", 1e-9, np.float32))
    mean = graph.node("Div", total, count)
    graph.node("LpNormalization", mean, output="embedding", axis=1, p=2)
