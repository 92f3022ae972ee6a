"""What there is to search for which model."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.optimize.search.world import CONTRACT, FACTS

from tightship.optimize import techniques
from tightship.optimize.search import space
from tightship.optimize.techniques import Facts, Recipe


def facts(**changes: Any) -> Facts:  # noqa: ANN401 (fields of Contract)
    return replace(FACTS, contract=replace(CONTRACT, **changes))


SIZES = {
    "convolutions and products": (FACTS, {"dynamic-int8": 10, "static-int8": 64}),
    "no depthwise convolutions": (
        facts(depthwise=0),
        {"dynamic-int8": 10, "static-int8": 32},
    ),
    "norms": (
        facts(operators={"MatMul": 9, "LayerNormalization": 2}, depthwise=0),
        {"dynamic-int8": 10, "static-int8": 16},
    ),
    "few layers": (
        facts(operators={"MatMul": 3}, weighted=3, depthwise=0),
        {"dynamic-int8": 2, "static-int8": 8},
    ),
    "large weights": (
        facts(operators={"MatMul": 3}, weighted=3, depthwise=0, product_bytes=1001),
        {"dynamic-int8": 2, "static-int8": 8, "weight-only": 6},
    ),
    "OpenVINO": (
        replace(FACTS, openvino=True, cpu_flags=frozenset({"avx512_vnni", "avx512_bf16"})),
        {"dynamic-int8": 10, "static-int8": 64, "openvino": 6},
    ),
    "OpenVINO without bf16": (
        replace(FACTS, openvino=True, calibration=False),
        {"dynamic-int8": 10, "openvino": 1},
    ),
    "no calibration data": (replace(FACTS, calibration=False), {"dynamic-int8": 10}),
    "quantizing is switched off": (replace(FACTS, quantize=False), {}),
    "trees": (facts(operators={"TreeEnsembleClassifier": 1}), {}),
}


@pytest.mark.parametrize("name", SIZES)
def test_how_many_points_a_model_has(name: str) -> None:
    given, sizes = SIZES[name]
    found = space.spaces(given)
    points = list(space.points(found))
    assert {one.id: sum(p.space == one.id for p in points) for one in found} == sizes


def test_points_are_recipes_of_their_own() -> None:
    found = space.spaces(replace(facts(product_bytes=1001), openvino=True))
    recipes = [space.recipe(found, point) for point in space.points(found)]
    assert len({recipe.id for recipe in recipes}) == len(recipes)
    assert len({space.identity(recipe) for recipe in recipes}) == len(recipes)


@pytest.mark.parametrize("name", SIZES)
def test_the_curated_quantizations_are_points(name: str) -> None:
    """So that a search does not try them again, and learns from them."""
    given, _ = SIZES[name]
    found = space.spaces(given)
    known = {space.identity(space.recipe(found, point)) for point in space.points(found)}
    curated = [p for p in techniques.propose(given) if isinstance(p, Recipe)]
    quantizing = [r for r in curated if not r.id.startswith(("fp16", "prune"))]
    assert {space.identity(recipe) for recipe in quantizing} <= known


@pytest.mark.parametrize("name", SIZES)
def test_no_point_is_called_as_a_candidate_of_the_curated_list(name: str) -> None:
    """Candidates have folders of their names."""
    given, _ = SIZES[name]
    points = {point.id for point in space.points(space.spaces(given))}
    assert not points & {proposal.id for proposal in techniques.propose(given)}


def test_a_point_keeps_in_fp32_what_its_words_say() -> None:
    found = space.spaces(FACTS)
    words = ("percentile", "all", "depthwise32", "first8", "last32", "tensor")
    made = space.recipe(found, space.Point("static-int8", words))
    assert made.id == "static-int8.percentile.all.depthwise32.first8.last32.tensor"
    assert made.passes[0].params == {
        "calibration": "Percentile",
        "operators": "all",
        "excluded": ["depthwise", "last"],
        "per_channel": False,
        "reduce_range": False,
    }
