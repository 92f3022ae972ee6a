from __future__ import annotations

import pytest

from tightship.plan.mig.profile import Point, Workload
from tightship.plan.mig.segments import alone, shared, tenancies

GIB = 2**30


def point(batch: int, latency: float, processes: int = 1, *, memory: int | None = GIB) -> Point:
    rate = batch * processes / latency
    return Point(batch=batch, processes=processes, rate=rate, latency=latency, memory=memory)


def load(*points: Point, model: str = "a", rate: float = 1000.0, slo: float = 0.1) -> Workload:
    return Workload(model=model, rate=rate, slo=slo, points={"1g.10gb": points})


def test_alone_the_highest_rate_within_the_objective() -> None:
    found = alone(
        load(point(1, 0.01), point(4, 0.02), point(16, 0.044), point(32, 0.046)), "1g.10gb"
    )
    assert found is not None
    (tenant,) = found.tenants
    assert (tenant.point.batch, tenant.rate) == (16, 16 / 0.044)


def test_a_model_that_is_too_slow_for_a_slice_has_no_segment_there() -> None:
    assert alone(load(point(1, 0.05)), "1g.10gb") is None
    assert alone(load(point(1, 0.01)), "7g.80gb") is None


def test_what_takes_longer_for_less_is_no_choice() -> None:
    found = tenancies(load(point(1, 0.01), point(2, 0.01), point(2, 0.02)), "1g.10gb", 2)
    assert [(one.point.batch, one.turns) for one in found] == [(2, 1), (2, 2)]


def test_less_memory_is_a_choice_of_its_own() -> None:
    found = tenancies(load(point(4, 0.01, memory=3), point(2, 0.02, memory=1)), "1g.10gb", 1)
    assert [one.memory for one in found] == [3, 1]


@pytest.mark.parametrize(
    ("ours", "theirs", "slo", "memory", "expected"),
    [
        # A cycle of 30 ms: 4 items of the one, 8 of the other.
        (point(4, 0.01), point(8, 0.02), 0.1, 2 * GIB, [(4 / 0.03, 8 / 0.03)]),
        # The cycle does not stay below 0.45 x 60 ms.
        (point(4, 0.01), point(8, 0.02), 0.06, 2 * GIB, []),
        # They do not fit the slice together.
        (point(4, 0.01), point(8, 0.02), 0.1, 2 * GIB - 1, []),
        # Nobody knows what they take of its memory.
        (point(4, 0.01, memory=None), point(8, 0.02), 0.1, 2 * GIB, []),
        # Two processes compute their batches at once.
        (point(4, 0.01, 2), point(8, 0.02), 0.1, 2 * GIB, [(8 / 0.03, 8 / 0.03)]),
    ],
)
def test_two_models_in_turns(
    ours: Point, theirs: Point, slo: float, memory: int, expected: list[tuple[float, float]]
) -> None:
    loads = load(ours, slo=slo), load(theirs, model="b", slo=2 * slo)
    choices = tenancies(loads[0], "1g.10gb", 1), tenancies(loads[1], "1g.10gb", 1)
    found = shared("1g.10gb", choices, min(one.budget for one in loads), memory)
    rates = [tuple(tenant.rate for tenant in segment.tenants) for segment in found]
    assert rates == [pytest.approx(pair) for pair in expected]


def test_turns_in_a_row_shift_the_slice_from_one_model_to_the_other() -> None:
    loads = load(point(4, 0.01)), load(point(4, 0.01), model="b")
    choices = tenancies(loads[0], "1g.10gb", 3), tenancies(loads[1], "1g.10gb", 3)
    found = shared("1g.10gb", choices, 0.045, 2 * GIB)
    turns = [tuple(tenant.turns for tenant in segment.tenants) for segment in found]
    assert turns == [(3, 1), (2, 1), (1, 1), (1, 2), (1, 3)]


def test_a_rounded_latency_does_not_make_a_turn_shorter_than_its_rate_allows() -> None:
    rounded = Point(batch=8, processes=1, rate=1000.0, latency=0.007)
    assert rounded.turn == 8 / 1000
