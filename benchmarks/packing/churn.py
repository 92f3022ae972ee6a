"""Part `churn`: copies that move and devices that are held while load drifts for two days.

Each hour every rate follows a daily curve (±50 %, phases apart) and noise that persists: a walk
with a standard deviation of 12 % an hour that returns by a tenth of itself. The incremental plan
follows; a full plan of the same hour, which may move everything, tells what is needed at least.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import mean

import numpy as np
from benchmarks.packing import ours
from benchmarks.packing.profiles import Floats
from benchmarks.packing.workload import SEEDS, Workload, workload
from benchmarks.record import Bench, spread

from tightship.plan.pack import pack, replan

HOURS = 48
LARGEST = 1_000
"""Models beyond which two days of full plans take long and show nothing else."""

_NOISE, _RETURN, _SWING, _PHASES = 0.12, 0.9, 0.5, 0.3


@dataclass(frozen=True, slots=True)
class Hour:
    """Copies that run, those of them that moved, devices, and devices of a plan from nothing."""

    copies: int
    moved: int
    devices: int
    anew: int


def loads(models: int, seed: int) -> Iterator[Floats]:
    """Factors on the models' rates, an hour each."""
    draw = np.random.default_rng(seed)
    phase = draw.uniform(0, 2 * np.pi, models) * _PHASES
    walk = np.zeros(models)
    for hour in range(HOURS):
        walk = _RETURN * walk + draw.normal(0.0, _NOISE, models)
        yield (1 + _SWING * np.sin(2 * np.pi * hour / 24 + phase)) * np.exp(walk)


def drift(asked: Workload, seed: int, kappa: float = 1.0) -> list[Hour]:
    """Every hour after the first, which starts from a full plan."""
    fleet, plan, hours = ours.fleet(2 * len(asked)), None, []
    for factor in loads(len(asked), seed):
        models = ours.models(asked.loaded(factor))
        anew = pack(models, fleet, kappa=kappa)
        if plan is None:
            plan = anew
            continue
        change = replan(plan, models, fleet, kappa=kappa)
        moved = sum(move.source is not None and move.target is not None for move in change.moves)
        plan = change.plan
        hours.append(Hour(len(plan.model), moved, len(plan.devices), len(anew.devices)))
    return hours


def run(bench: Bench, sizes: Iterable[int]) -> Iterator[None]:
    """Adds the share of copies moved an hour and the devices over plans from nothing."""
    for size in (size for size in sizes if size <= LARGEST):
        with ProcessPoolExecutor(len(SEEDS)) as processes:
            asked = [workload(size, seed) for seed in SEEDS]
            days = list(processes.map(drift, asked, SEEDS))
        moved = [
            _percent([hour.moved for hour in day], [hour.copies for hour in day]) for day in days
        ]
        over = [
            _percent([hour.devices for hour in day], [hour.anew for hour in day]) - 100
            for day in days
        ]
        bench.add(
            f"churn, copies moved an hour, {size} models", mean(moved), "%", spread=spread(moved)
        )
        bench.add(
            f"churn, devices over plans from nothing, {size} models",
            mean(over), "%", spread=spread(over), note=f"{HOURS} hours",
        )  # fmt: skip
        yield


def _percent(of: list[int], per: list[int]) -> float:
    return 100 * sum(of) / sum(per)
