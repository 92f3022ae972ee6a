"""The Pareto front of what was timed and is inside the gate."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.optimize.search import world

from tightship.optimize.candidate import Status
from tightship.optimize.search import front
from tightship.optimize.search.front import Standing
from tightship.optimize.timing import Latency, Timed

LATENCY = Latency(cpu_p50=1.0, wall_p50=1.0, wall_p99=1.0, calls=1, spread=(1.0, 1.0))
TIMED = Timed(
    latency=LATENCY,
    speedup=1.5,
    speedups=(1.5,),
    batched=LATENCY,
    batched_speedup=2.5,
    memory=1,
    memory_ratio=3.5,
)
ORIGINAL = Standing(id="o")

FRONTS: dict[str, tuple[list[Standing], list[str]]] = {
    "nobody": ([], []),
    "the original alone": ([ORIGINAL], ["o"]),
    "each is better in something": (
        [
            ORIGINAL,
            Standing(id="a", latency=2.0, loss=0.01),
            Standing(id="b", latency=0.5, throughput=2.0, loss=0.02),
            Standing(id="c", latency=0.4, memory=2.0, loss=0.02),
        ],
        ["a", "o", "b", "c"],
    ),
    "worse in everything": ([ORIGINAL, Standing(id="a", latency=0.9, loss=0.01)], ["o"]),
    "worse in one thing, better in none": ([ORIGINAL, Standing(id="a", memory=0.9)], ["o"]),
    "equals stay": ([Standing(id="b"), Standing(id="a")], ["a", "b"]),
    "better than the original": ([ORIGINAL, Standing(id="a", latency=2.0, loss=-0.01)], ["a"]),
}


@pytest.mark.parametrize("name", FRONTS)
def test_the_front(name: str) -> None:
    standings, ids = FRONTS[name]
    assert front.pareto(standings) == ids


@given(st.lists(st.tuples(*[st.integers(1, 3)] * 4), max_size=12))
def test_whoever_is_not_on_the_front_is_beaten_by_one_who_is(rows: list[Any]) -> None:
    standings = [
        Standing(id=str(i), latency=a, throughput=b, memory=c, loss=d)
        for i, (a, b, c, d) in enumerate(rows)
    ]
    best = set(front.pareto(standings))
    assert bool(best) == bool(standings)
    for one in standings:
        beaten = any(o.id in best and o.beats(one) for o in standings)
        assert beaten != (one.id in best)


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        (Status.CHOSEN, True),
        (Status.PASSED, True),
        (Status.TOO_SLOW, True),
        (Status.OBJECTIVE_MISSED, True),
        (Status.TRITON_REFUSED, False),
        (Status.GATE_FAILED, False),
        (Status.ERROR, False),
    ],
)
def test_who_stands(status: Status, *, counts: bool) -> None:
    found = world.candidate("a")
    world.passed(found, 9.0, drop=0.001)
    found.status, found.timed = status, TIMED
    expected = Standing(id="a", latency=1.5, throughput=2.5, memory=3.5, loss=0.001)
    assert front.standing(found) == (expected if counts else None)


def test_what_was_not_timed_does_not_stand() -> None:
    found = world.candidate("a")
    world.passed(found, 9.0)
    assert front.standing(found) is None
