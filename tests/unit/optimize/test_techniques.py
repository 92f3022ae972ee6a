"""What is proposed for which model, and the arithmetic of half precision and pruning."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.corpus.models import build

from tightship.optimize import techniques
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.techniques import Facts, Ineligible, half, prune

DENSE = Contract(
    inputs=(Tensor("x", "float32", (None, 8)),),
    outputs=(Tensor("y", "float32", (None, 4)),),
    max_batch=8,
    opset=17,
    nodes=4,
    parameters=192,
    bytes=1000,
    operators={"MatMul": 2, "Relu": 1, "Softmax": 1},
)
FACTS = Facts(
    contract=DENSE,
    calibration=True,
    cpu_flags=frozenset({"avx512_vnni"}),
    quantize=True,
    half_precision=True,
    prune=True,
    sparsity=0.5,
)
TEXT = replace(DENSE, inputs=(Tensor("x", "string", (None,)),))

PROPOSALS = {
    "dense": (
        FACTS,
        {"dynamic-int8", "static-int8", "fp16", "prune-50", "prune-50+static-int8"},
        {},
    ),
    "large": (
        replace(FACTS, contract=replace(DENSE, operators={"MatMul": 48})),
        {
            "dynamic-int8",
            "dynamic-int8-mixed",
            "static-int8",
            "fp16",
            "prune-50",
            "prune-50+static-int8",
        },
        {},
    ),
    "without calibration data": (
        replace(FACTS, calibration=False),
        {"dynamic-int8", "fp16", "prune-50", "prune-50+dynamic-int8"},
        {"static-int8": "calibration data"},
    ),
    "convolutions": (
        replace(FACTS, contract=replace(DENSE, operators={"Conv": 3})),
        {"static-int8", "fp16", "prune-50", "prune-50+static-int8"},
        {"dynamic-int8": "no MatMul"},
    ),
    "trees": (
        replace(FACTS, contract=replace(DENSE, operators={"TreeEnsembleClassifier": 1})),
        {"fp16"},
        {"dynamic-int8": "no MatMul", "static-int8": "none of Conv", "prune-50": "none of Conv"},
    ),
    "text": (
        replace(FACTS, contract=TEXT),
        set(),
        {"dynamic-int8": "text", "static-int8": "text", "fp16": "text", "prune-50": "text"},
    ),
    "quantized already": (
        replace(FACTS, contract=replace(DENSE, operators={"MatMul": 1, "QuantizeLinear": 4})),
        set(),
        {
            "dynamic-int8": "quantized already",
            "static-int8": "quantized already",
            "fp16": "quantized already",
            "prune-50": "quantized already",
        },
    ),
    "only pruning is switched on": (
        replace(FACTS, quantize=False, half_precision=False, sparsity=0.8),
        {"prune-80"},
        {
            "dynamic-int8": "switched off",
            "static-int8": "switched off",
            "fp16": "switched off",
            "prune-80+static-int8": "switched off",
        },
    ),
}


@pytest.mark.parametrize("name", PROPOSALS)
def test_proposals(name: str) -> None:
    facts, recipes, refusals = PROPOSALS[name]
    proposed = techniques.propose(facts)
    ineligible = {p.id: p.reason for p in proposed if isinstance(p, Ineligible)}
    assert {p.id for p in proposed if not isinstance(p, Ineligible)} == recipes
    assert set(ineligible) == set(refusals)
    assert all(words in ineligible[key] for key, words in refusals.items())


@pytest.mark.parametrize(("flags", "reduced"), [({"avx512_vnni"}, False), ({"avx2"}, True)])
def test_range_is_reduced_only_without_vnni(flags: set[str], *, reduced: bool) -> None:
    proposed = techniques.propose(replace(FACTS, cpu_flags=frozenset(flags)))
    steps = [s for p in proposed if not isinstance(p, Ineligible) for s in p.passes]
    found = {s.params["reduce_range"] for s in steps if s.name.endswith("int8")}
    assert found == {reduced}


def test_unknown_technique_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a technique"):
        techniques.technique("os")


@pytest.mark.parametrize(
    ("greatest", "survives"),
    [
        (0.0, True),
        (1.0, True),
        (6.2e-5, True),
        (1e-5, False),
        (16376.0, True),
        (16377.0, False),
        (float("inf"), False),
    ],
)
def test_activations_in_half_precision(greatest: float, *, survives: bool) -> None:
    assert half.fits(greatest) is survives


WEIGHTS = {
    "usual": (np.array([0.1, -2.0]), True),
    "zeros": (np.zeros(5), True),
    "mask constant": (np.array(-3.4e38), False),
    "epsilon": (np.array(1e-12), False),
    "one small among many": (np.append(np.ones(200), 1e-12), True),
    "mostly small": (np.full(200, 1e-12), False),
    "not finite": (np.array([np.inf, 1.0]), False),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_in_half_precision(name: str) -> None:
    weights, survives = WEIGHTS[name]
    assert half.weights_fit(weights) is survives


def test_nodes_that_overflow_stay_in_fp32() -> None:
    model, types = half._typed(build.perceptron())
    names = [node.name for node in model.graph.node]
    calm = dict.fromkeys(["a", "b", "c", "y"], 1.0)

    assert half.half_nodes(model, types, calm) == frozenset(names)
    assert half.half_nodes(model, types, {**calm, "a": 1e5}) == frozenset(names[2:])


def test_converted_model_keeps_its_interface_and_halves_its_weights() -> None:
    model, types = half._typed(build.perceptron())
    everything = frozenset(node.name for node in model.graph.node)
    converted = half.converted(model, types, everything)
    assert [v.type.tensor_type.elem_type for v in converted.graph.output] == [1]
    assert {tensor.data_type for tensor in converted.graph.initializer} == {10}
    assert [n.op_type for n in converted.graph.node].count("Cast") == 2


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
