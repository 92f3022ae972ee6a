"""What is proposed for which model, and the arithmetic of half precision."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from tests.corpus.models import build

from tightship.optimize import graph, machine, techniques
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.data import Dataset
from tightship.optimize.techniques import Facts, Ineligible, Material, half, weight_only

DENSE = Contract(
    inputs=(Tensor("x", "float32", (None, 8)),),
    outputs=(Tensor("y", "float32", (None, 4)),),
    max_batch=8,
    opset=17,
    nodes=4,
    parameters=192,
    bytes=1000,
    operators={"MatMul": 2, "Relu": 1, "Softmax": 1},
    weighted=2,
    product_bytes=768,
)
FACTS = Facts(
    contract=DENSE,
    calibration=True,
    cpu_flags=frozenset({"avx512_vnni", "avx512_bf16"}),
    cache_bytes=40 * 2**20,
    quantize=True,
    half_precision=True,
    prune=True,
    sparsity=0.5,
    openvino=False,
    accelerator=None,
)
TEXT = replace(DENSE, inputs=(Tensor("x", "string", (None,)),))

PRUNED = {"prune-50", "prune-2-4"}
USUAL = {"dynamic-int8", "fp16", "prune-50+static-int8"} | PRUNED
STATIC = {"static-int8", "static-int8-percentile"}
FITS = {"weight-only-int8": "fit the processor's cache"}
FEW = {
    "static-int8-no-depthwise": "no depthwise convolutions",
    "static-int8-no-ends": "fewer than 4 layers",
}
SOFTMAX = {"static-int8-wide": "8-bit Softmax would destroy"}
CONVOLUTIONS = replace(DENSE, operators={"Conv": 3, "Relu": 3}, weighted=3, product_bytes=0)


def contract(**changes: Any) -> Facts:  # noqa: ANN401 (fields of Contract)
    return replace(FACTS, contract=replace(DENSE, **changes))


PROPOSALS = {
    "dense": (
        FACTS,
        USUAL | STATIC,
        FITS | FEW | SOFTMAX,
    ),
    "large": (
        contract(operators={"MatMul": 48}, weighted=36),
        {
            "dynamic-int8",
            "dynamic-int8-mixed",
            "static-int8-no-ends",
            "static-int8-wide",
            "fp16",
            "prune-50+static-int8",
        }
        | PRUNED
        | STATIC,
        FITS | {"static-int8-no-depthwise": "no depthwise convolutions"},
    ),
    "weights beyond the cache": (
        contract(product_bytes=40 * 2**20 + 1),
        USUAL | STATIC | {"weight-only-int8", "weight-only-int4"},
        FEW | SOFTMAX,
    ),
    "weights just inside the cache": (
        contract(product_bytes=40 * 2**20),
        USUAL | STATIC,
        FITS | FEW | SOFTMAX,
    ),
    "an unknown cache": (
        replace(contract(product_bytes=33 * 2**20), cache_bytes=0),
        USUAL | STATIC | {"weight-only-int8", "weight-only-int4"},
        FEW | SOFTMAX,
    ),
    "without calibration data": (
        replace(FACTS, calibration=False),
        {"dynamic-int8", "fp16", "prune-50+dynamic-int8"} | PRUNED,
        FITS | {"static-int8": "calibration data"},
    ),
    "convolutions": (
        replace(FACTS, contract=CONVOLUTIONS),
        {"static-int8-wide", "fp16", "prune-50+static-int8"} | PRUNED | STATIC,
        FEW | {"dynamic-int8": "no MatMul", "weight-only-int8": "none of MatMul"},
    ),
    "depthwise convolutions": (
        replace(FACTS, contract=replace(CONVOLUTIONS, weighted=20, depthwise=9)),
        {
            "static-int8-no-depthwise",
            "static-int8-no-ends",
            "static-int8-wide",
            "fp16",
            "prune-50+static-int8",
        }
        | PRUNED
        | STATIC,
        {"dynamic-int8": "no MatMul", "weight-only-int8": "none of MatMul"},
    ),
    "norms in pieces": (
        contract(operators={"MatMul": 2, "Sqrt": 2, "Exp": 1}),
        USUAL | STATIC,
        FITS | FEW | {"static-int8-wide": "8-bit Exp, Sqrt would destroy"},
    ),
    "trees": (
        contract(operators={"TreeEnsembleClassifier": 1}),
        set(),
        dict.fromkeys(
            ("dynamic-int8", "static-int8", "weight-only-int8", "fp16", "prune-50"),
            "made of decision trees",
        ),
    ),
    "text": (
        replace(FACTS, contract=TEXT),
        set(),
        dict.fromkeys(
            ("dynamic-int8", "static-int8", "weight-only-int8", "fp16", "prune-50"), "text"
        ),
    ),
    "quantized already": (
        contract(operators={"MatMul": 1, "QuantizeLinear": 4}),
        set(),
        dict.fromkeys(
            ("dynamic-int8", "static-int8", "weight-only-int8", "fp16", "prune-50"),
            "quantized already",
        ),
    ),
    "only pruning is switched on": (
        replace(FACTS, quantize=False, half_precision=False, sparsity=0.8),
        {"prune-80", "prune-2-4"},
        dict.fromkeys(
            ("dynamic-int8", "static-int8", "weight-only-int8", "fp16", "prune-80+static-int8"),
            "switched off",
        ),
    ),
}


@pytest.mark.parametrize("name", PROPOSALS)
def test_proposals(name: str) -> None:
    facts, recipes, refusals = PROPOSALS[name]
    proposed = techniques.propose(facts)
    ineligible = {
        p.id: p.reason
        for p in proposed
        if isinstance(p, Ineligible) and not p.id.startswith(("openvino", "tensorrt"))
    }
    assert {p.id for p in proposed if not isinstance(p, Ineligible)} == recipes
    assert set(ineligible) == set(refusals)
    assert all(words in ineligible[key] for key, words in refusals.items())


def test_what_a_recipe_refers_to_stands_before_it() -> None:
    for facts, _, _ in PROPOSALS.values():
        before: set[str] = set()
        for proposal in techniques.propose(facts):
            if not isinstance(proposal, Ineligible):
                assert {*proposal.unless, *filter(None, [proposal.after])} <= before
            before.add(proposal.id)


OPENVINO = replace(FACTS, openvino=True)
INT8_BY_OPENVINO = ("openvino-int8", "openvino-int8-bf16", "openvino-int8-other")
BY_OPENVINO = {"openvino", "openvino-bf16", *INT8_BY_OPENVINO}
NOT_BY_OPENVINO = {
    "everything": (OPENVINO, {}),
    "switched off": (FACTS, dict.fromkeys(BY_OPENVINO, "technique openvino is switched off")),
    "a pool with accelerators": (
        replace(OPENVINO, accelerator="nvidia.com/gpu"),
        dict.fromkeys(BY_OPENVINO, "compute on nvidia.com/gpu"),
    ),
    "text": (replace(OPENVINO, contract=TEXT), dict.fromkeys(BY_OPENVINO, "takes text")),
    "trees": (
        replace(OPENVINO, contract=replace(DENSE, operators={"TreeEnsembleClassifier": 1})),
        dict.fromkeys(BY_OPENVINO, "ai.onnx.ml"),
    ),
    "a processor without bf16": (
        replace(OPENVINO, cpu_flags=frozenset({"avx2"})),
        dict.fromkeys(("openvino-bf16", "openvino-int8-bf16"), "does not compute in bf16"),
    ),
    "no half precision": (
        replace(OPENVINO, half_precision=False),
        dict.fromkeys(("openvino-bf16", "openvino-int8-bf16"), "halfPrecision is switched off"),
    ),
    "no calibration data": (
        replace(OPENVINO, calibration=False),
        dict.fromkeys(INT8_BY_OPENVINO, "calibration data"),
    ),
    "quantized already": (
        replace(OPENVINO, contract=replace(DENSE, operators={"MatMul": 1, "QuantizeLinear": 4})),
        dict.fromkeys(INT8_BY_OPENVINO, "quantized already"),
    ),
}


@pytest.mark.parametrize("name", NOT_BY_OPENVINO)
def test_who_is_run_by_openvino(name: str) -> None:
    facts, refusals = NOT_BY_OPENVINO[name]
    proposed = {
        re.sub("default$|transformer$", "other", p.id): p
        for p in techniques.propose(facts)
        if p.id.startswith("openvino")
    }
    ineligible = {name: p.reason for name, p in proposed.items() if isinstance(p, Ineligible)}
    assert set(proposed) == BY_OPENVINO
    assert set(ineligible) == set(refusals)
    assert all(words in ineligible[key] for key, words in refusals.items())


SCHEMES = {
    "convolutions": ({"Conv": 3, "GlobalAveragePool": 1, "ReduceMean": 1}, "default"),
    "plain products": ({"MatMul": 2, "Relu": 1}, "default"),
    "attention": ({"MatMul": 48, "Softmax": 6}, "transformer"),
    "a norm as its arithmetic": ({"MatMul": 2, "ReduceSum": 5, "Sqrt": 2}, "transformer"),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_norms_and_softmax_stay_in_floats(name: str) -> None:
    operators, scheme = SCHEMES[name]
    facts = replace(OPENVINO, contract=replace(DENSE, operators=operators))
    proposed = {p.id: p for p in techniques.propose(facts)}
    other = {"default": "transformer", "transformer": "default"}[scheme]
    int8, repair = proposed["openvino-int8"], proposed[f"openvino-int8-{other}"]
    assert not isinstance(int8, Ineligible)
    assert not isinstance(repair, Ineligible)
    assert (int8.passes[0].params, int8.unless) == ({"scheme": scheme}, ())
    assert (repair.passes[0].params, repair.unless) == ({"scheme": other}, ("openvino-int8",))


@pytest.mark.parametrize(("flags", "reduced"), [({"avx512_vnni"}, False), ({"avx2"}, True)])
def test_range_is_reduced_only_without_vnni(flags: set[str], *, reduced: bool) -> None:
    proposed = techniques.propose(replace(FACTS, cpu_flags=frozenset(flags)))
    steps = [s for p in proposed if not isinstance(p, Ineligible) for s in p.passes]
    found = {s.params["reduce_range"] for s in steps if s.name.endswith("c_int8")}
    assert found == {reduced}


def test_what_the_graph_tells_of_its_layers(tmp_path: Path) -> None:
    graph.save(build.convnet(classes=4), tmp_path / "model.onnx")
    told = graph.facts(tmp_path / "model.onnx")
    assert (told.weighted, told.depthwise, told.product_bytes) == (4, 1, 16 * 4 * 4)


def test_weights_in_constant_nodes_are_weights_too(tmp_path: Path) -> None:
    model = build.convnet()
    for tensor in list(model.graph.initializer):
        model.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
    del model.graph.initializer[:]
    graph.save(model, tmp_path / "model.onnx")
    told = graph.facts(tmp_path / "model.onnx")
    assert (told.weighted, told.depthwise) == (4, 1)


def test_products_of_two_activations_have_no_weights(tmp_path: Path) -> None:
    model = build.model(
        [helper.make_node("MatMul", ["x", "x"], ["y"])],
        [build.floats("x", [4, 4])],
        [build.floats("y", [4, 4])],
    )
    graph.save(model, tmp_path / "model.onnx")
    told = graph.facts(tmp_path / "model.onnx")
    assert (told.weighted, told.product_bytes) == (0, 0)


@pytest.mark.parametrize(("bits", "packed"), [(8, 64 * 16), (4, 64 * 16 // 2)])
def test_weight_only_packs_the_weights_of_products(bits: int, packed: int, tmp_path: Path) -> None:
    graph.save(build.perceptron(width=64, classes=16), tmp_path / "source.onnx")
    params = weight_only.recipe("w", bits, block=32).passes[0].params
    material = Material(contract=DENSE, calibration=Dataset({}), batch=1)

    applied = weight_only.apply(
        tmp_path / "source.onnx", tmp_path / "target.onnx", params, material
    )

    model = graph.load(tmp_path / "target.onnx")
    assert graph.operators(model) == {"MatMulNBits": 2, "Relu": 1, "Softmax": 1}
    assert packed in [len(tensor.raw_data) for tensor in model.graph.initializer]
    assert applied.coverage["integerNodes"] == 2
    assert applied.ineffective is None


CACHES = {
    "usual": ({"index0": ("1", "32K"), "index2": ("2", "2048K"), "index3": ("3", "36M")}, 36 << 20),
    "the greatest level, not the last folder": (
        {"index0": ("2", "1M"), "index1": ("1", "64K")},
        1 << 20,
    ),
    "not told": ({}, 0),
    "unreadable": ({"index0": ("1", "big")}, 0),
}


@pytest.mark.parametrize("name", CACHES)
def test_size_of_the_last_level_cache(name: str, tmp_path: Path) -> None:
    caches, size = CACHES[name]
    for folder, (level, told) in caches.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "level").write_text(f"{level}\n")
        (tmp_path / folder / "size").write_text(f"{told}\n")
    assert machine.cache_bytes(tmp_path) == size


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
    model, types = half.typed(build.perceptron())
    names = [node.name for node in model.graph.node]
    calm = dict.fromkeys(["a", "b", "c", "y"], 1.0)

    assert half.half_nodes(model, types, calm) == frozenset(names)
    assert half.half_nodes(model, types, {**calm, "a": 1e5}) == frozenset(names[2:])


def test_converted_model_keeps_its_interface_and_halves_its_weights() -> None:
    model, types = half.typed(build.perceptron())
    everything = frozenset(node.name for node in model.graph.node)
    converted = half.converted(model, types, everything)
    assert [v.type.tensor_type.elem_type for v in converted.graph.output] == [1]
    assert {tensor.data_type for tensor in converted.graph.initializer} == {10}
    assert [n.op_type for n in converted.graph.node].count("Cast") == 2
