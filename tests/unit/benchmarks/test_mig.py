from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from benchmarks.packing import mig, parvagpu
from benchmarks.packing.scenarios import NAMES, Cut, Plan, Use, demands, faults, published

from tightship.plan.mig.choose import choose
from tightship.plan.mig.geometry import A100_80


def slices(plan: Plan) -> Counter[Cut]:
    return Counter(cut for device in plan for cut in device)


@pytest.mark.parametrize("name", ["S1", "S2", "S3", "S4", "S6"])
def test_parvagpus_rule_gives_its_published_plans(name: str) -> None:
    ours = parvagpu.plan(demands(name), mig.PUBLISHED_PROCESSES)
    assert slices(ours) == slices(published(name))
    assert len(ours) == len(published(name))


@pytest.mark.parametrize("name", NAMES)
def test_its_plans_keep_the_scenarios_by_the_same_check_as_ours(name: str) -> None:
    assert faults(name, published(name)) == []
    assert faults(name, parvagpu.plan(demands(name), mig.MOST_PROCESSES)) == []


def test_one_model_a_slice_takes_45_devices_and_cannot_take_fewer() -> None:
    plans = {
        name: choose(mig.workloads(demands(name), mig.MOST_PROCESSES), A100_80, sharing=False)
        for name in NAMES
    }
    assert [len(plan.devices) for plan in plans.values()] == [2, 3, 5, 7, 12, 16]
    assert all(len(plan.devices) == plan.bound for plan in plans.values())
    assert all(faults(name, mig.cuts(plan)) == [] for name, plan in plans.items())


def test_two_models_a_slice_save_a_device_and_keep_the_scenario() -> None:
    plan = choose(mig.workloads(demands("S1"), mig.MOST_PROCESSES), A100_80)
    assert len(plan.devices) == plan.bound == 1
    assert faults("S1", mig.cuts(plan)) == []


def use(model: str, batch: int, processes: int) -> Use:
    return Use(model, batch, processes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda plan: plan[1:], "items a second"),
        (lambda plan: [*plan[:-1], [*plan[-1], Cut(7, (use("bert", 1, 1),))]], "no legal places"),
        (
            lambda plan: [[replace(cut, start=3) for cut in plan[0]], *plan[1:]],
            "no legal places",
        ),
        (lambda plan: [*plan, [Cut(1, (use("vgg19", 32, 3),))]], "was not measured"),
        (lambda plan: [*plan, [Cut(1, (use("densenet121", 16, 2),))]], "s of"),
        (
            lambda plan: [*plan, [Cut(1, (use("bert", 128, 3), use("resnet50", 16, 2)))]],
            "s of",
        ),
        (
            lambda plan: [*plan, [Cut(1, (use("bert", 8, 4), use("resnet50", 1, 5)))]],
            "may take",
        ),
    ],
)
def test_a_broken_plan_is_found_out(change: object, told: str) -> None:
    assert callable(change)
    try:
        found = "; ".join(faults("S1", change(list(published("S1")))))
    except ValueError as error:
        found = str(error)
    assert told in found


def test_whole_devices_are_what_a_rate_takes() -> None:
    assert sum(mig.whole_devices(one, mig.MOST_PROCESSES) for one in demands("S6")) == 22
