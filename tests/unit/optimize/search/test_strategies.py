"""Which point comes next: never one twice, all of them in the end, the same for the same seed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.optimize.search.world import FACTS

from tightship.api.v1alpha1 import SearchStrategy
from tightship.optimize.search import space
from tightship.optimize.search.space import Point
from tightship.optimize.search.strategies import Outcome, Strategy, strategy

SPACES = space.spaces(FACTS)
POINTS = list(space.points(SPACES))
FEW = list(space.points(SPACES[:1]))


def fate(point: Point) -> Outcome:
    """A made-up model: only static int8 without the depthwise convolutions is fast and right."""
    if point.space != "static-int8":
        return Outcome(2.0, 1)
    if "depthwise32" not in point.words:
        return Outcome(0.3, 2)
    bonus = sum(word in point.words for word in ("all", "percentile", "first8", "last8"))
    return Outcome(0.9 - 0.1 * bonus)


def walked(walker: Strategy, steps: int) -> list[Point]:
    found = []
    for _ in range(steps):
        point = walker.ask()
        if point is None:
            break
        found.append(point)
        walker.tell(point, fate(point))
    return found


@pytest.mark.parametrize("name", SearchStrategy)
def test_every_point_comes_once(name: SearchStrategy) -> None:
    found = walked(strategy(name, SPACES), len(POINTS) + 1)
    assert len(found) == len(POINTS)
    assert set(found) == set(POINTS)


@pytest.mark.parametrize("name", SearchStrategy)
def test_equal_outcomes_give_equal_points(name: SearchStrategy) -> None:
    assert walked(strategy(name, SPACES), 24) == walked(strategy(name, SPACES), 24)


@pytest.mark.parametrize("name", [SearchStrategy.RANDOM, SearchStrategy.TPE])
def test_another_seed_gives_other_points(name: SearchStrategy) -> None:
    assert walked(strategy(name, SPACES, 1), 8) != walked(strategy(name, SPACES, 2), 8)


def test_the_grid_is_in_order() -> None:
    assert walked(strategy(SearchStrategy.GRID, SPACES), 30) == POINTS[:30]


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(SearchStrategy), st.sets(st.sampled_from(FEW)))
def test_what_it_was_told_of_is_not_asked_for(name: SearchStrategy, known: set[Point]) -> None:
    walker = strategy(name, SPACES[:1])
    for point in sorted(known, key=lambda p: p.id):
        walker.tell(point, fate(point))
    found = walked(walker, len(FEW))
    assert set(found) == set(FEW) - known
    assert len(found) == len(FEW) - len(known)


@pytest.mark.parametrize("name", SearchStrategy)
def test_nothing_to_search(name: SearchStrategy) -> None:
    assert strategy(name, []).ask() is None


def test_tpe_finds_the_best_in_a_third_of_the_points() -> None:
    """Two of 74 points are best; as many points by chance miss both with half of the seeds."""
    best = min(fate(point).value for point in POINTS if fate(point).stage is None)
    for seed in range(5):
        found = walked(strategy(SearchStrategy.TPE, SPACES, seed), 25)
        assert min(fate(p).value for p in found if fate(p).stage is None) == best
