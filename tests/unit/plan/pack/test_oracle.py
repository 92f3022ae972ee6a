"""Small instances against exact answers: every partition, and a mixed-integer program."""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from tightship.plan.pack import DeviceType, Execution, Fleet, Model, Setting, pack, profile
from tightship.plan.pack.feasibility import RHO_MAX, Serving, burstiness, p99
from tightship.plan.pack.profile import Profile

GIB = 2**30


def _curve(alpha: float, beta: float, memory: int) -> Profile:
    batches = [1, 2, 4, 8]
    seconds = [alpha + beta * batch for batch in batches]
    return profile(batches, [1] * 4, seconds, memory=memory, max_batch=8)


def _drawn(seed: int, count: int, *, slo: tuple[float, ...]) -> list[Model]:
    draw = np.random.default_rng(seed)
    return [
        Model(
            name=f"m{at}",
            profiles={
                "gpu": _curve(
                    draw.uniform(1e-3, 6e-3), draw.uniform(1e-4, 1e-3),
                    int(draw.uniform(1, 7) * GIB),
                )
            },
            rate=float(draw.uniform(5, 40)),
            slo=float(draw.choice(slo)),
            cv=float(draw.choice([1.0, 2.0])),
        )
        for at in range(count)
    ]  # fmt: skip


def _fleet(execution: Execution = Execution.SHARED) -> Fleet:
    kind = DeviceType(name="gpu", memory=16 * GIB, count=20, execution=execution)
    return Fleet(types=(kind,))


def _partitions(items: list[int]) -> Iterator[list[list[int]]]:
    if not items:
        yield []
        return
    first, *rest = items
    for blocks in _partitions(rest):
        yield [[first], *blocks]
        for at, block in enumerate(blocks):
            yield [*blocks[:at], [first, *block], *blocks[at + 1 :]]


@pytest.mark.parametrize("execution", Execution)
@pytest.mark.parametrize("seed", range(6))
def test_latency_bound_instances_come_near_the_best_of_all_partitions(
    seed: int, execution: Execution
) -> None:
    """The oracle goes by the predictions alone, without levels, tables and shortcuts."""
    asked = _drawn(seed, 7, slo=(0.03, 0.06, 0.12))
    plan = pack(asked, _fleet(execution))
    assert all(setting.copies == 1 for setting in plan.settings.values())
    loads = [_load(model, plan.settings[model.name], execution) for model in asked]

    def kept(block: list[int]) -> bool:
        u, v = sum(loads[at].u for at in block), sum(loads[at].v for at in block)
        memory = sum(asked[at].profiles["gpu"].memory for at in block)
        told = [float(p99(loads[at], u, v, execution)) for at in block]
        objectives = [asked[at].slo for at in block]
        in_time = all(a <= b for a, b in zip(told, objectives, strict=True))
        return len(block) == 1 or bool(u <= RHO_MAX and memory <= 16 * GIB and in_time)

    best = min(len(blocks) for blocks in _partitions(list(range(7))) if all(map(kept, blocks)))
    assert plan.bound.devices["gpu"] <= best <= len(plan.devices) <= best + 1


def _load(model: Model, setting: Setting, execution: Execution) -> Serving:
    curve = model.profiles["gpu"]
    formed = min(max(1.0, 1.0 + model.rate * setting.delay), setting.batch)
    seconds = curve.latency(formed)
    return Serving(
        network=model.network,
        delay=setting.delay,
        longest=curve.latency(setting.batch),
        k=1.0 if execution is Execution.SHARED else float(burstiness(model.cv)),
        u=model.rate * seconds / formed,
        v=model.rate / formed * seconds**2,
    )


@pytest.mark.parametrize("seed", range(4))
def test_loose_instances_need_no_device_more_than_the_integer_program(seed: int) -> None:
    asked = _drawn(seed, 24, slo=(float("inf"),))
    plan = pack(asked, _fleet())
    loads = [_load(model, plan.settings[model.name], Execution.SHARED) for model in asked]
    time = np.array([load.u / RHO_MAX for load in loads])
    memory = np.array([model.profiles["gpu"].memory / (16 * GIB) for model in asked])
    best = _vector_packing(np.stack([time, memory]), len(plan.devices))
    assert plan.bound.devices["gpu"] <= best == len(plan.devices)


def _vector_packing(sizes: np.ndarray, most: int) -> int:
    """Fewest bins of size 1 in every dimension, by HiGHS: x[item, bin], then y[bin]."""
    items = sizes.shape[1]
    cost = np.concatenate([np.zeros(items * most), np.ones(most)])
    once = np.zeros((items, len(cost)))
    for item in range(items):
        once[item, item * most : (item + 1) * most] = 1
    rows = []
    for size in sizes:
        for bin_ in range(most):
            row = np.zeros(len(cost))
            row[bin_ : items * most : most] = size
            row[items * most + bin_] = -1
            rows.append(row)
    order = np.zeros((most - 1, len(cost)))
    for bin_ in range(most - 1):
        order[bin_, items * most + bin_], order[bin_, items * most + bin_ + 1] = 1, -1
    found = milp(
        cost,
        constraints=[
            LinearConstraint(once, 1, 1),
            LinearConstraint(np.array(rows), -np.inf, 1e-9),
            LinearConstraint(order, 0, np.inf),
        ],
        integrality=np.ones(len(cost)),
        bounds=Bounds(0, 1),
        options={"time_limit": 60},
    )
    assert found.success
    return round(float(found.fun))
