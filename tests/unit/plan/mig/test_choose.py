"""The choice of slices: legal, within objectives, enough, and the least where it says so."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from tightship.plan.mig.choose import SlicePlan, choose
from tightship.plan.mig.exact import fit
from tightship.plan.mig.geometry import A30, A100_80, Geometry
from tightship.plan.mig.problem import build
from tightship.plan.mig.profile import Point, Workload
from tightship.plan.mig.segments import alone_everywhere

GIB = 2**30
SLOW = settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])


def point(compute: int, batch: int, fixed: float, each: float) -> Point:
    """A batch takes a fixed time and a time for each item, less in a larger slice."""
    latency = fixed + each * batch / compute
    return Point(batch=batch, processes=1, rate=batch / latency, latency=latency, memory=GIB)


def workload(
    model: str, rate: float, slo: float = 0.1, fixed: float = 0.002, each: float = 0.004,
    geometry: Geometry = A100_80,
) -> Workload:  # fmt: skip
    points = {
        kind.name: tuple(point(kind.compute, batch, fixed, each) for batch in (1, 4, 16))
        for kind in geometry.kinds
    }
    return Workload(model=model, rate=rate, slo=slo, points=points)


@st.composite
def mixes(draw: st.DrawFn, geometry: Geometry = A100_80) -> list[Workload]:
    count = draw(st.integers(1, 6))
    return [
        workload(
            f"m{number}",
            draw(st.floats(1, 1500)),
            draw(st.sampled_from([0.03, 0.1, 0.4])),
            draw(st.sampled_from([0.001, 0.004])),
            draw(st.sampled_from([0.002, 0.005])),
            geometry,
        )
        for number in range(count)
    ]


def check(plan: SlicePlan, workloads: list[Workload], geometry: Geometry) -> None:
    asked = {one.model: one for one in workloads if one.model not in plan.refused}
    given_rates = dict.fromkeys(asked, 0.0)
    for device in plan.devices:
        runs = sorted((cut.start, cut.start + geometry.kind(cut.kind).span) for cut in device)
        assert all(cut.start in geometry.kind(cut.kind).starts for cut in device)
        assert all(end <= start for (_, end), (start, _) in pairwise(runs))
        assert any(cut.segment for cut in device), "a device that nobody needs"
    for segment in plan.segments:
        cycle = sum(tenant.busy for tenant in segment.tenants)
        assert sum(tenant.memory for tenant in segment.tenants) <= geometry.memory(segment.kind)
        assert len({tenant.model for tenant in segment.tenants}) == len(segment.tenants) <= 2
        for tenant in segment.tenants:
            assert tenant.point in asked[tenant.model].points[segment.kind]
            assert cycle < asked[tenant.model].budget
            assert tenant.rate <= tenant.items / cycle * (1 + 1e-9)
            given_rates[tenant.model] += tenant.rate
    assert all(given_rates[one.model] >= one.rate * (1 - 1e-6) for one in asked.values())
    assert len(plan.devices) >= plan.bound


@SLOW
@given(mixes(), st.booleans())
def test_every_plan_is_legal_and_enough(workloads: list[Workload], sharing: bool) -> None:  # noqa: FBT001
    check(choose(workloads, A100_80, sharing=sharing), workloads, A100_80)


@SLOW
@given(mixes(A30))
def test_other_accelerators_have_other_slices(workloads: list[Workload]) -> None:
    check(choose(workloads, A30), workloads, A30)


def least(workloads: list[Workload]) -> int:
    """What another solver says that is needed with one model a slice."""
    problem = build(workloads, alone_everywhere(workloads, A100_80), A100_80)
    cost = np.concatenate([np.zeros(len(problem.segments)), np.ones(len(problem.configurations))])
    found = milp(
        cost,
        constraints=LinearConstraint(problem.matrix, problem.needed, np.inf),
        integrality=np.ones(len(cost)),
        bounds=Bounds(0, np.inf),
    )
    return round(float(found.fun))


@SLOW
@given(mixes())
def test_with_one_model_a_slice_no_solver_finds_fewer_devices(workloads: list[Workload]) -> None:
    able = [one for one in workloads if one.usable("7g.80gb")]
    plan = choose(able, A100_80, sharing=False)
    if able:
        assert len(plan.devices) == plan.bound == least(able)


@SLOW
@given(mixes())
def test_sharing_never_takes_more_devices(workloads: list[Workload]) -> None:
    alone = choose(workloads, A100_80, sharing=False)
    assert len(choose(workloads, A100_80).devices) <= len(alone.devices)


def test_two_models_of_little_use_share_the_only_slice_that_serves_them() -> None:
    loads = [
        Workload(model=name, rate=10, slo=0.2, points={"7g.80gb": (point(7, 4, 0.01, 0.01),)})
        for name in "ab"
    ]
    assert len(choose(loads, A100_80, sharing=False).devices) == 2
    plan = choose(loads, A100_80)
    assert len(plan.devices) == plan.bound == 1
    (segment,) = plan.segments
    assert [tenant.model for tenant in segment.tenants] == ["a", "b"]


def test_the_order_of_models_changes_nothing() -> None:
    loads = [workload(f"m{number}", 100.0 * (number + 1)) for number in range(5)]
    assert choose(loads, A100_80) == choose(loads[::-1], A100_80)


def test_copies_of_a_model_are_on_different_devices() -> None:
    plan = choose([workload("a", 4000.0), workload("b", 4000.0)], A100_80, sharing=False)
    holding = [
        {tenant.model for cut in device if cut.segment for tenant in cut.segment.tenants}
        for device in plan.devices
    ]
    assert len(plan.devices) > 1
    assert all(sum(name in models for models in holding) > 1 for name in "ab")


def test_many_models_are_planned_in_groups() -> None:
    loads = [workload(f"m{number}", 60.0 + number, 0.1 + 0.01 * number) for number in range(20)]
    plan = choose(loads, A100_80)
    check(plan, loads, A100_80)
    assert {tenant.model for one in plan.segments for tenant in one.tenants} == {
        one.model for one in loads
    }


@pytest.mark.parametrize(
    ("load", "told"),
    [
        (
            workload("slow", 10.0, 0.001),
            "a batch takes 2.57 ms at the least and may take 0.45 ms: allow more latency",
        ),
        (
            Workload(model="new", rate=10.0, slo=0.1, points={}),
            "nothing is measured in a slice of A100-80GB: profile the model in one",
        ),
    ],
)
def test_who_cannot_be_planned_is_told_why_and_the_others_are_planned(
    load: Workload, told: str
) -> None:
    plan = choose([load, workload("good", 10.0)], A100_80)
    assert plan.refused == {load.model: told}
    assert len(plan.devices) == 1
    assert choose([load], A100_80).devices == ()


@pytest.mark.parametrize(
    ("loads", "told"),
    [
        ([workload("a", 1.0), workload("a", 2.0)], "a is there twice: add up its rates"),
        ([workload("a", 0.0)], "a needs a rate and an objective above 0"),
        ([workload("a", float("nan"))], "a needs a rate and an objective above 0"),
        ([workload("a", 1.0, 0.0)], "a needs a rate and an objective above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(loads: list[Workload], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        choose(loads, A100_80)


@pytest.mark.parametrize(
    ("counts", "devices", "expected"),
    [
        ((7, 0), 1, [1]),
        ((8, 0), 1, None),
        ((8, 0), 2, [0, 0]),
        ((9, 0), 2, [0, 1]),
        ((0, 0), 0, []),
    ],
)
def test_slices_are_fitted_to_devices(
    counts: tuple[int, ...], devices: int, expected: list[int] | None
) -> None:
    assert fit(counts, ((4, 1), (7, 0)), devices) == expected
