"""Weights that change a model's time and size, and hardly its answers."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

WIDTH = 3072  # 36 MB of weights: some milliseconds wherever this runs
_PIXELS = 64
_CLASSES = 10


def heavy(model: onnx.ModelProto) -> onnx.ModelProto:
    """A classifier of 8 x 8 pixels with the same answers, far slower.

    That a small student of it wins is then no question of the machine.
    """
    graph = model.graph
    (scores,), (pixels,) = graph.output, graph.input
    answered = next(node for node in graph.node if scores.name in node.output)
    answered.output[list(answered.output).index(scores.name)] = "light"
    tables: dict[str, np.ndarray] = {
        "flat": np.array([0, _PIXELS], np.int64),
        "widen": np.full((_PIXELS, WIDTH), 1e-6, np.float32),
        "ballast": np.full((WIDTH, WIDTH), 1e-6, np.float32),
        "narrow": np.full((WIDTH, _CLASSES), 1e-6, np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(table, name) for name, table in tables.items())
    graph.node.extend(
        [
            helper.make_node("Reshape", [pixels.name, "flat"], ["row"]),
            helper.make_node("MatMul", ["row", "widen"], ["wide"]),
            helper.make_node("MatMul", ["wide", "ballast"], ["heavy"]),
            helper.make_node("MatMul", ["heavy", "narrow"], ["little"]),
            helper.make_node("Add", ["light", "little"], [scores.name]),
        ]
    )
    return model
