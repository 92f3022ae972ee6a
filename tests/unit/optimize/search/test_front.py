"""The Pareto front, and who may go on to be timed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.optimize.search import world

from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.search import front
from tightship.optimize.search.front import Standing

Row = tuple[float, float, int]

FRONTS: dict[str, tuple[dict[str, Row], list[str]]] = {
    "nobody": ({}, []),
    "the original alone": ({"o": (1.0, 0.0, 100)}, ["o"]),
    "faster, worse, smaller": (
        {"o": (1.0, 0.0, 100), "a": (2.0, 0.01, 100), "b": (0.5, 0.02, 10)},
        ["a", "o", "b"],
    ),
    "beaten in everything": ({"o": (1.0, 0.0, 100), "a": (0.9, 0.01, 101)}, ["o"]),
    "beaten in one thing alone": ({"a": (1.0, 0.0, 100), "b": (1.0, 0.0, 101)}, ["a"]),
    "equals stay": ({"b": (1.0, 0.0, 100), "a": (1.0, 0.0, 100)}, ["a", "b"]),
    "better than the original in all": ({"o": (1.0, 0.0, 100), "a": (2.0, -0.01, 50)}, ["a"]),
}


@pytest.mark.parametrize("name", FRONTS)
def test_the_front(name: str) -> None:
    rows, ids = FRONTS[name]
    standings = [Standing(id=i, speedup=s, loss=d, bytes=b) for i, (s, d, b) in rows.items()]
    assert front.pareto(standings) == ids


@given(st.lists(st.tuples(*[st.integers(1, 4)] * 3), max_size=12))
def test_whoever_is_not_on_the_front_is_beaten_by_one_who_is(rows: list[Any]) -> None:
    standings = [
        Standing(id=str(i), speedup=float(s), loss=float(d), bytes=b)
        for i, (s, d, b) in enumerate(rows)
    ]
    best = set(front.pareto(standings))
    assert bool(best) == bool(standings)
    for one in standings:
        beaten = any(o.id in best and o.beats(one) for o in standings)
        assert beaten != (one.id in best)


def made(name: str, look: float, status: Status = Status.PASSED) -> Candidate:
    found = world.candidate(name)
    world.passed(found, look, drop=0.001)
    found.status = status
    return found


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        (Status.CHOSEN, True),
        (Status.PASSED, True),
        (Status.TOO_SLOW, True),
        (Status.OBJECTIVE_MISSED, True),
        (Status.TRITON_REFUSED, False),
        (Status.ERROR, False),
    ],
)
def test_who_stands(status: Status, *, counts: bool) -> None:
    assert (front.standing(made("a", 1.5, status)) is not None) == counts


def test_outside_the_gate_nobody_stands() -> None:
    found = world.candidate("a")
    world.failed(found, Status.GATE_FAILED)
    assert front.standing(found) is None


def test_the_slowest_are_given_up() -> None:
    trials = [made(str(look), look) for look in (1.2, 3.0, 2.0, 1.1)]
    trials.append(made("9", 9.0, Status.TOO_SLOW))
    assert [trial.id for trial in front.surplus(trials, most=2)] == ["1.2", "1.1"]
    trials[1].model = None
    assert [trial.id for trial in front.surplus(trials, most=2)] == ["1.1"]
