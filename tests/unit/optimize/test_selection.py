"""Selection: order of contenders, refusals, the objective, the noise floor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.api.v1alpha1 import Objective
from tightship.optimize import selection
from tightship.optimize.gains import Gains
from tightship.optimize.selection import Contender


def contender(
    name: str,
    speedup: float,
    drop: float = 0.0,
    passes: int = 1,
    throughput: float = 1.0,
    memory: float = 1.0,
) -> Contender:
    gains = Gains(latency=speedup, throughput=throughput, memory=memory, batch=8)
    return Contender(id=name, gains=gains, drop=drop, passes=passes, bytes=100, slow="zeros")


RANKINGS = {
    "fastest first": ([contender("a", 1.5), contender("b", 2.0)], 0.02, ("b", "a")),
    "equal within the noise: fewer passes": (
        [contender("a", 2.05, passes=2), contender("b", 2.0)],
        0.05,
        ("b", "a"),
    ),
    "equal within the noise: smaller drop": (
        [contender("a", 2.05, drop=0.01), contender("b", 2.0, drop=0.002)],
        0.05,
        ("b", "a"),
    ),
    "equal in all: by name": ([contender("b", 2.0), contender("a", 2.0)], 0.05, ("a", "b")),
    "slower ones are left out": ([contender("a", 1.04), contender("b", 2.0)], 0.0, ("b",)),
    "within the noise is no gain": ([contender("a", 1.2)], 0.3, ()),
    "nothing": ([], 0.1, ()),
}


@pytest.mark.parametrize("name", RANKINGS)
def test_ranking(name: str) -> None:
    contenders, noise, expected = RANKINGS[name]
    ranking = selection.rank(contenders, Objective.LATENCY, noise, 1.05)
    assert ranking.order == expected
    assert set(ranking.refused) == {c.id for c in contenders} - set(expected)


RIVALS = [
    contender("quick", 2.5, throughput=1.5, memory=1.1),
    contender("broad", 1.5, throughput=3.0, memory=1.2),
    contender("small", 1.1, throughput=1.1, memory=4.0),
    contender("lean", 1.2, throughput=2.2, memory=2.2),
    contender("slow", 0.8, throughput=4.0, memory=5.0),
]
WINNERS = {
    Objective.LATENCY: "quick",
    Objective.THROUGHPUT: "broad",
    Objective.MEMORY: "small",
    Objective.COST: "lean",
}


@pytest.mark.parametrize("objective", Objective)
def test_each_objective_has_its_own_winner_and_none_takes_a_slower_model(
    objective: Objective,
) -> None:
    ranking = selection.rank(RIVALS, objective, 0.02, 1.05)
    assert ranking.order[0] == WINNERS[objective]
    assert "slow" in ranking.refused


SHORTFALLS = {
    Objective.THROUGHPUT: "x1.01 of the original's throughput at batch 8, below",
    Objective.MEMORY: "the original takes x1.02 of its memory, below",
    Objective.COST: "the original takes x1.01 of its time and memory, below",
}


@pytest.mark.parametrize("objective", SHORTFALLS)
def test_what_was_not_gained_is_named(objective: Objective) -> None:
    alike = contender("a", 1.3, throughput=1.01, memory=1.02)
    refused = selection.rank([alike], objective, 0.0, 1.05).refused["a"]
    assert refused.startswith(SHORTFALLS[objective])


def test_a_throughput_within_the_noise_is_no_gain() -> None:
    alike = contender("a", 1.3, throughput=1.2)
    refused = selection.rank([alike], Objective.THROUGHPUT, 0.3, 1.05).refused["a"]
    assert "within the measured noise of 30%" in refused


def test_reason_names_figure_and_cause() -> None:
    refused = selection.rank([contender("a", 1.01)], Objective.LATENCY, 0.0, 1.05).refused["a"]
    assert "x1.01" in refused
    assert "x1.05" in refused
    assert refused.endswith(": zeros")


@given(
    st.lists(st.floats(0.1, 5), max_size=8),
    st.floats(0, 0.5),
    st.floats(1, 2),
    st.randoms(use_true_random=False),
)
def test_ranking_is_complete_and_does_not_depend_on_the_order_given(
    speeds: list[float], noise: float, least: float, random: object
) -> None:
    contenders = [contender(f"c{index}", speed) for index, speed in enumerate(speeds)]
    shuffled = list(contenders)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    ranking = selection.rank(contenders, Objective.LATENCY, noise, least)
    assert ranking == selection.rank(shuffled, Objective.LATENCY, noise, least)
    assert sorted([*ranking.order, *ranking.refused]) == sorted(c.id for c in contenders)
    speed = {c.id: c.gains.latency for c in contenders}
    assert all(speed[name] >= least and speed[name] > 1 + noise for name in ranking.order)


@pytest.mark.parametrize(
    ("latency", "target", "met"), [(0.01, None, True), (0.05, 0.05, True), (0.051, 0.05, False)]
)
def test_objective(latency: float, target: float | None, met: bool) -> None:  # noqa: FBT001 (a table)
    assert selection.meets(latency, target) is met


def test_noise_floor_leaves_out_the_worst_fifth() -> None:
    pairs = [(1.0, 1.0), (1.0, 1.1), (1.05, 1.0), (1.0, 1.0), (9.0, 1.0)]
    assert selection.deviation(pairs) == pytest.approx(0.1)
    assert selection.deviation(pairs, 1.0) == pytest.approx(8.0)
    assert selection.noise_floor(pairs) == pytest.approx(0.1 * 2 / 5**0.5)


def test_noise_floor_is_at_least_what_the_median_of_ratios_is_off_by() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        ratios = np.exp(rng.normal(0, 0.2, 8))
        pairs = [(float(a), 1.0) for a in np.exp(rng.normal(0, 0.2, 8))]
        held += abs(float(np.median(ratios)) - 1) <= selection.noise_floor(pairs)
    assert held > 0.85 * 400
