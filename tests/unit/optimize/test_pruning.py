"""Which weights become zero: the smallest of all, and two of each four along the inputs."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import ModelProto, NodeProto, helper, numpy_helper
from tests.corpus.models import build
from tests.unit.optimize.test_techniques import DENSE, FACTS, PRUNED

from tightship.optimize import graph, sparsity, techniques
from tightship.optimize.data import Dataset
from tightship.optimize.techniques import Applied, Material, Recipe, prune


@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=3), elements=st.floats(-9, 9, width=32)
    ),
    st.floats(0.1, 0.9),
)
def test_pruning_zeroes_the_smallest(weights: np.ndarray, sparsity: float) -> None:
    pruned = prune.zero_smallest(weights, sparsity)
    zeroed = (pruned == 0) & (weights != 0)
    assert (pruned == 0).sum() >= int(weights.size * sparsity)
    assert np.array_equal(pruned[pruned != 0], weights[pruned != 0])
    if zeroed.any() and (pruned != 0).any():
        assert np.abs(weights[zeroed]).max() < np.abs(pruned[pruned != 0]).min()


def test_candidates_of_zeros_alone_say_so() -> None:
    """So that none of them is chosen."""
    found = [p for p in techniques.propose(FACTS) if isinstance(p, Recipe)]
    assert {p.id for p in found if p.zeros} == PRUNED
    assert all("zeros bring no speed" in p.slow for p in found if p.zeros)


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 3).map(lambda n: 4 * n), st.integers(1, 3)),
        elements=st.integers(-3, 3),
    )
)
def test_two_largest_of_each_four_stay(weights: np.ndarray) -> None:
    kept = np.moveaxis(sparsity.two_of_four(weights, 1), 1, -1).reshape(-1, 4)
    magnitudes = np.abs(np.moveaxis(weights, 1, -1)).reshape(-1, 4)
    assert (kept.sum(1) == 2).all()
    assert (np.where(kept, magnitudes, 9).min(1) >= np.where(kept, -1, magnitudes).max(1)).all()


def of_four(folder: Path, model: ModelProto) -> tuple[dict[str, np.ndarray], Applied]:
    """Weights by name, and what the pass says, after prune-2-4."""
    graph.save(model, folder / "source.onnx")
    proposed = {p.id: p for p in techniques.propose(FACTS) if isinstance(p, Recipe)}
    params = proposed["prune-2-4"].passes[0].params
    material = Material(contract=DENSE, calibration=Dataset({}), batch=1)
    applied = prune.apply(folder / "source.onnx", folder / "target.onnx", params, material)
    tensors = graph.load(folder / "target.onnx").graph.initializer
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in tensors}, applied


RISING = np.arange(1, 33, dtype=np.float32).reshape(8, 4)
ALONG_ROWS = np.where(np.arange(4) < 2, 0, RISING)
ALONG_COLUMNS = np.where(np.arange(8)[:, None] % 4 < 2, 0, RISING)
LAYERS: dict[str, tuple[NodeProto, np.ndarray, np.ndarray]] = {
    "MatMul": (helper.make_node("MatMul", ["x", "w"], ["y"]), RISING, ALONG_COLUMNS),
    "Gemm": (helper.make_node("Gemm", ["x", "w"], ["y"]), RISING, ALONG_COLUMNS),
    "Gemm of turned weights": (
        helper.make_node("Gemm", ["x", "w"], ["y"], transB=1),
        RISING,
        ALONG_ROWS,
    ),
    "Conv": (
        helper.make_node("Conv", ["x", "w"], ["y"]),
        RISING.reshape(8, 4, 1, 1),
        ALONG_ROWS.reshape(8, 4, 1, 1),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_fours_lie_along_the_inputs(name: str, tmp_path: Path) -> None:
    node, weights, expected = LAYERS[name]
    tensor = numpy_helper.from_array(weights, "w")
    outer = [build.floats(name, ["n"] * weights.ndim) for name in ("x", "y")]
    model = build.model([node], outer[:1], outer[1:], [tensor])
    found, applied = of_four(tmp_path, model)
    assert np.array_equal(found["w"], expected)
    assert applied.coverage == {"zeroWeightShare": 0.5}
    assert (applied.notes, applied.ineffective) == ((), None)


def test_weights_whose_inputs_are_not_in_fours_stay(tmp_path: Path) -> None:
    """The first convolution reads three channels, a depthwise one a single one."""
    model = build.convnet()
    before = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    found, applied = of_four(tmp_path, model)
    changed = {name for name, each in found.items() if not np.array_equal(each, before[name])}
    weights = {node.name: node.input[1] for node, _ in graph.weighted_nodes(model)}
    assert changed == {weights["point"], weights["last"]}
    assert applied.notes == ("2 of 4 weight matrices stay: their inputs do not come in fours",)
    assert applied.ineffective is None


def test_weights_that_are_also_read_across_stay(tmp_path: Path) -> None:
    square = numpy_helper.from_array(RISING[:4], "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Gemm", ["a", "w"], ["y"], transB=1),
    ]
    model = build.model(nodes, [build.floats("x", [1, 4])], [build.floats("y", [1, 4])], [square])
    found, applied = of_four(tmp_path, model)
    assert np.array_equal(found["w"], RISING[:4])
    assert applied.ineffective == "no weight matrix was found to prune"
