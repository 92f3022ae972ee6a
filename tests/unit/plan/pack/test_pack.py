import os
import random
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.plan.pack.invariants import GIB, check, fleets, workloads

from tightship.plan.pack import (
    DeviceType,
    Fleet,
    Model,
    Plan,
    Profile,
    Reason,
    pack,
    profile,
    replan,
)


def _profile(
    alpha: float = 0.002, beta: float = 0.0005, memory: int = GIB, most: int = 8
) -> Profile:
    batches = [b for b in (1, 2, 4, 8) if b <= most]
    seconds = [alpha + beta * b for b in batches]
    return profile(batches, [1] * len(batches), seconds, memory=memory, max_batch=most)


def _model(name: str = "m", *, rate: float = 20.0, slo: float = 0.1, **more: object) -> Model:
    profiles = {"gpu": _profile()}
    return replace(Model(name=name, profiles=profiles, rate=rate, slo=slo), **more)  # type: ignore[arg-type]


def _fleet(count: int = 10, **more: object) -> Fleet:
    kind = DeviceType(name="gpu", memory=16 * GIB, count=count)
    return Fleet(types=(replace(kind, **more),))  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(workloads(), fleets(), st.sampled_from([0.5, 1.0]))
def test_a_plan_keeps_capacity_spread_copies_taints_and_objectives(
    asked: list[Model], fleet: Fleet, kappa: float
) -> None:
    plan = pack(asked, fleet, kappa=kappa)
    check(plan, asked, fleet)
    assert plan.bound.cost <= plan.cost * (1 + 1e-9)
    for kind, least in plan.bound.devices.items():
        assert least <= sum(device.type == kind for device in plan.devices)


@settings(max_examples=40, deadline=None)
@given(workloads(), fleets(), st.randoms())
def test_the_order_of_models_and_types_does_not_matter(
    asked: list[Model], fleet: Fleet, order: random.Random
) -> None:
    plan = pack(asked, fleet)
    shuffled, types = list(asked), list(fleet.types)
    order.shuffle(shuffled)
    order.shuffle(types)
    assert _told(plan) == _told(pack(shuffled, Fleet(types=tuple(types))))


def _told(plan: Plan) -> tuple[object, ...]:
    return plan.assignments, plan.settings, plan.waits, repr(plan.predicted), plan.cost


@settings(max_examples=40, deadline=None)
@given(workloads(), st.integers(0, 6))
def test_where_devices_are_short_no_one_waits_for_a_lower_priority(
    asked: list[Model], count: int
) -> None:
    """A model of high priority that waits would not fit if there were high ones alone."""
    fleet = Fleet(types=(DeviceType(name="big", memory=24 * GIB, count=count),))
    plan = pack(asked, fleet)
    high = [model for model in asked if model.priority == 100]
    served = pack(high, fleet)
    among = {model.name for model in high}
    assert _missing(plan, among) == _missing(served, among)


def _missing(plan: Plan, among: set[str]) -> int:
    return sum(wait.missing for wait in plan.waits if wait.model in among)


def test_models_share_a_device_that_keeps_them_all() -> None:
    plan = pack([_model(f"m{at}") for at in range(8)], _fleet())
    assert len(plan.devices) == 1
    assert plan.waits == ()


def test_copies_lie_on_different_nodes() -> None:
    plan = pack([_model(min_copies=3)], _fleet(nodes=("a", "a", "a", "b", "b", "c")))
    assert {str(device) for device in plan.placement["m"]} == {"gpu/0", "gpu/3", "gpu/5"}


def test_more_copies_than_nodes_are_spread_evenly() -> None:
    plan = pack([_model(min_copies=4)], _fleet(count=6, nodes=("a", "a", "a", "b", "b", "b")))
    assert sorted(device.number // 3 for device in plan.placement["m"]) == [0, 0, 1, 1]


def test_a_load_of_many_devices_gets_as_many_copies() -> None:
    plan = pack([_model(rate=5000.0)], _fleet())
    one = plan.settings["m"]
    assert one.copies == len(plan.devices) > 3
    assert plan.predicted["m"] <= 0.1


def test_copies_that_are_too_few_are_told_with_what_they_take() -> None:
    plan = pack([_model(rate=50_000.0, max_copies=2)], _fleet())
    (wait,) = plan.waits
    assert (wait.reason, wait.missing) == (Reason.TOO_FEW_COPIES, 0)
    assert "raise max_copies" in wait.told
    assert plan.predicted["m"] == np.inf


def test_an_objective_that_no_one_can_keep_is_served_and_told() -> None:
    plan = pack([_model(slo=0.002)], _fleet())
    (wait,) = plan.waits
    assert (wait.reason, len(plan.devices)) == (Reason.OBJECTIVE_UNREACHABLE, 1)
    assert plan.predicted["m"] > 0.002


def test_a_model_that_is_not_measured_has_a_device_of_its_own() -> None:
    prior = _model("new", profiles={"gpu": profile([], [], [], memory=GIB, max_batch=1)})
    plan = pack([_model("old"), prior], _fleet())
    assert sorted(plan.assignments.values()) == [("new",), ("old",)]
    assert np.isnan(plan.predicted["new"])


@pytest.mark.parametrize(
    "unfit",
    [
        {"profiles": {}},
        {"profiles": {"gpu": _profile(memory=17 * GIB)}},
        {"profiles": {"other": _profile()}},
    ],
)
def test_what_suits_no_device_waits_with_the_reason(unfit: dict[str, object]) -> None:
    (wait,) = pack([_model(**unfit)], _fleet()).waits  # type: ignore[arg-type]
    assert wait.reason is Reason.NO_SUITABLE_DEVICE


def test_taints_keep_away_who_does_not_tolerate_them() -> None:
    fleet = _fleet(taints=frozenset({"gpu"}))
    plan = pack([_model("a"), _model("b", tolerations=frozenset({"gpu", "x"}))], fleet)
    assert plan.placement.keys() == {"b"}
    assert [(wait.model, wait.reason) for wait in plan.waits] == [("a", Reason.NO_SUITABLE_DEVICE)]


def test_a_model_goes_where_it_is_cheapest_and_elsewhere_when_that_is_full() -> None:
    dear = DeviceType(name="dear", memory=16 * GIB, count=4, price=3.0)
    cheap = DeviceType(name="cheap", memory=16 * GIB, count=1, price=1.0)
    both = dict.fromkeys(("dear", "cheap"), _profile(memory=9 * GIB))
    asked = [_model(f"m{at}", profiles=both) for at in range(2)]
    plan = pack(asked, Fleet(types=(dear, cheap)))
    assert sorted(device.type for device in plan.devices) == ["cheap", "dear"]
    more = pack(asked, Fleet(types=(dear, replace(cheap, count=2))))
    assert [device.type for device in more.devices] == ["cheap", "cheap"]


def test_exclusive_execution_keeps_an_objective_that_sharing_does_not() -> None:
    def devices(execution: str) -> int:
        fleet = Fleet(types=(replace(_fleet().types[0], execution=execution),))  # type: ignore[arg-type]
        return len(pack([_model(f"m{n}", rate=15.0, slo=0.03) for n in range(30)], fleet).devices)

    assert devices("Exclusive") <= devices("Shared")


def test_a_lower_calibration_never_needs_more_devices_here() -> None:
    asked = [_model(f"m{n}", rate=60.0, slo=0.03) for n in range(40)]
    sizes = [len(pack(asked, _fleet(40), kappa=kappa).devices) for kappa in (2.0, 1.0, 0.5)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_refuses_equal_names_an_empty_fleet_and_a_senseless_calibration() -> None:
    with pytest.raises(ValueError, match="two models are named m"):
        pack([_model(), _model()], _fleet())
    with pytest.raises(ValueError, match="at least one type"):
        pack([_model()], Fleet(types=()))
    with pytest.raises(ValueError, match="kappa"):
        pack([_model()], _fleet(), kappa=0.0)


_DIGEST = """
from tests.unit.plan.pack.test_pack import digest
print(digest())
"""


def digest() -> str:
    """What a fixed workload is planned and replanned to, as a hash of its text."""
    draw = np.random.default_rng(5)
    profiles = {"gpu": _profile()}
    asked = [
        Model(
            name=f"m{at}", profiles=profiles, rate=float(draw.uniform(5, 60)), slo=0.05,
            min_copies=1 + at % 2, tolerations=frozenset({"a", "b", "c"}),
        )
        for at in range(60)
    ]  # fmt: skip
    fleet = _fleet(30, taints=frozenset({"a", "b"}))
    plan = pack(asked, fleet)
    busier = [replace(model, rate=model.rate * float(draw.uniform(0.5, 2))) for model in asked]
    change = replan(plan, busier, fleet, lost=plan.devices[:1])
    return sha256(repr((_told(plan), _told(change.plan), change.moves)).encode()).hexdigest()


def test_the_hash_seed_of_the_process_does_not_matter() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", _DIGEST], check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout.strip()
        for seed in ("0", "1", "4242")
    }  # fmt: skip
    assert told == {digest()}


def test_busy_models_get_more_copies_where_memory_is_short_and_the_bound_stays() -> None:
    """A copy at 70 % duty would leave half of its device's memory to nobody."""
    busy = Model(
        name="busy", rate=700, profiles={"gpu": profile([1], [1], [0.004], memory=GIB, max_batch=1)}
    )
    idle = [
        Model(
            name=f"idle-{at:02}", rate=10,
            profiles={"gpu": profile([1], [1], [0.004], memory=5 * GIB, max_batch=1)},
        )
        for at in range(24)
    ]  # fmt: skip
    kind = DeviceType(name="gpu", memory=16 * GIB, count=40)
    plan = pack([busy, *idle], Fleet(types=(kind,)))
    fewest = pack([replace(busy, max_copies=4), *idle], Fleet(types=(kind,)))
    assert fewest.settings["busy"].copies == 4
    assert plan.settings["busy"].copies > 4
    assert len(plan.devices) < len(fewest.devices)
    assert plan.bound.devices == fewest.bound.devices
