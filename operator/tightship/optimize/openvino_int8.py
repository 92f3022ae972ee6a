"""OpenVINO's own int8 quantizer (NNCF), in the schemes that differ in what they leave alone.

Imported in children only: with it come half a dozen libraries and two seconds.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino as ov

from tightship.optimize.techniques.openvino import TRANSFORMER

_WEIGHTED = ("MatMul", "Convolution", "GroupConvolution", "ConvolutionBackpropData")
_PASSING = ("Convert", "FakeQuantize", "Multiply", "Reshape", "Subtract", "Transpose")


def quantize(
    source: Path, target: Path, scheme: str, feeds: Sequence[dict[str, np.ndarray]]
) -> int:
    """Write the model with 8-bit weights and activations in OpenVINO's format.

    Floats stay f32. The scheme for transformers leaves norms and softmax in floats, and smooths
    activations before products. Returns how many places are quantized.
    """
    model = nncf.quantize(
        ov.Core().read_model(source),
        nncf.Dataset(list(feeds)),
        subset_size=len(feeds),
        model_type=nncf.ModelType.TRANSFORMER if scheme == TRANSFORMER else None,
    )
    ov.save_model(model, target, compress_to_fp16=False)
    return sum(node.get_type_name() == "FakeQuantize" for node in model.get_ops())


def table(file: Path) -> list[dict[str, Any]]:
    """As `layers.table`, of a model in OpenVINO's format."""
    nodes: Counter[tuple[str, str]] = Counter()
    numbers: Counter[tuple[str, str]] = Counter()
    for node in ov.Core().read_model(file).get_ops():
        stored = _weights(node) if node.get_type_name() in _WEIGHTED else None
        if stored is not None:
            row = (node.get_type_name(), stored.get_element_type().to_string())
            nodes[row] += 1
            numbers[row] += int(np.prod(stored.get_output_shape(0), dtype=np.int64))
    order = sorted(nodes, key=lambda row: (-numbers[row], row))
    return [
        {"operator": row[0], "weights": row[1], "nodes": nodes[row], "parameters": numbers[row]}
        for row in order
    ]


def _weights(node: Any) -> Any:  # noqa: ANN401 (nodes have no type information)
    """The constant behind the second input; None where that is computed."""
    place = node.input_value(1).get_node()
    while place.get_type_name() in _PASSING:
        place = place.input_value(0).get_node()
    return place if place.get_type_name() == "Constant" else None
