"""The product's planner on the benchmark's models: settings by model, and whole plans."""

import numpy as np
from benchmarks.packing.placement import Copies, Placement
from benchmarks.packing.profiles import MEASURED_BATCHES
from benchmarks.packing.workload import DEVICE_MEMORY, Workload

from tightship.plan.pack import DeviceType, Fleet, Model, Plan, Profile, pack
from tightship.plan.pack.choice import choose
from tightship.plan.pack.columns import columns, curves

TYPE = "a100"
_GIB = 2**30
_MANY = 2
"""Devices a model that the fleet has: more than any plan takes."""


def models(workload: Workload) -> list[Model]:
    """The models as the planner takes them, in the workload's order, which their names keep."""
    return [_model(workload, row) for row in range(len(workload))]


def _model(workload: Workload, row: int) -> Model:
    largest = int(workload.max_batch[row])
    batches = tuple(batch for batch in MEASURED_BATCHES if batch <= largest)
    profile = Profile(
        batches=batches,
        seconds=tuple(float(workload.seconds[row, batch - 1]) for batch in batches),
        memory=int(workload.memory[row] * _GIB),
        max_batch=largest,
    )
    return Model(
        name=f"model-{row:06d}",
        profiles={TYPE: profile},
        rate=float(workload.rate[row]),
        cv=float(workload.cv[row]),
        slo=float(workload.slo[row]),
    )


def fleet(devices: int) -> Fleet:
    """So many A100 80 GB at most, each on a node of its own."""
    return Fleet(types=(DeviceType(name=TYPE, memory=int(DEVICE_MEMORY * _GIB), count=devices),))


def planned(workload: Workload, kappa: float) -> Plan:
    """The product's full plan, of as many devices as it wants."""
    return pack(models(workload), fleet(_MANY * len(workload)), kappa=kappa)


def plan(workload: Workload, kappa: float) -> Placement:
    """The full plan as a placement."""
    return placed(planned(workload, kappa), workload)


def batching(
    workload: Workload, kappa: float
) -> tuple[Copies, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """What the planner chooses for each model, a row a model, and how many copies it takes.

    Other rules are given the same choice, so that only the packing differs.
    """
    kind = fleet(len(workload))[TYPE]
    ordered, figures = columns(models(workload))
    found = choose(figures, curves(ordered, kind), kind, kappa=kappa)
    whole = Copies(
        model=np.arange(len(workload)),
        rate=workload.rate,
        delay=found.delay,
        max_batch=found.batch.astype(np.int64),
        duty=found.u * found.copies,
    )
    return whole, found.copies


def placed(plan: Plan, workload: Workload) -> Placement:
    """A plan as a placement; requests are spread evenly over a model's copies."""
    rows = np.array([int(name.rpartition("-")[2]) for name in plan.models])
    model = rows[plan.model]
    settings = [plan.settings[name] for name in plan.models]
    count = np.bincount(plan.model, minlength=len(rows))[plan.model]
    copies = Copies(
        model=model,
        rate=workload.rate[model] / count,
        delay=np.array([one.delay for one in settings])[plan.model],
        max_batch=np.array([one.batch for one in settings])[plan.model],
        duty=np.zeros(len(model)),
    )
    return Placement(copies, plan.device)
