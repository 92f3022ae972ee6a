"""Part `b1`: devices that each rule needs for the same models at equal shares of satisfied ones.

Every rule is swept over its own knob, simulated at each setting, and read on its own Pareto front
at 98 % and at 99.5 % of the models (frontier.py).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from math import ceil
from statistics import mean

from benchmarks.packing import ours
from benchmarks.packing.baselines import alone, first_fit, lru, nexus, parva
from benchmarks.packing.frontier import Point, needed
from benchmarks.packing.judge import satisfied
from benchmarks.packing.placement import Placement
from benchmarks.packing.workload import SEEDS, Workload, workload
from benchmarks.record import Bench, spread

SHARES = (0.98, 0.995)

KAPPAS = (1.0, 0.6, 0.4, 0.25, 0.15, 0.1, 0.05)
BATCHINGS = (0.4, 0.1)
"""Calibrations by which the planner chooses first fit's batches: both are tried at every cap."""

CAPS = (0.45, 0.52, 0.6, 0.67, 0.75, 0.85)
NEXUS_HEADROOMS = (1.0, 1.4, 2.0, 3.0, 4.0)
PARVA_HEADROOMS = (1.0, 1.5, 2.5)
LRU_FLEETS = (1.0, 2.0)
"""ModelMesh's devices, as multiples of ours at the planner's default."""

LOOSE = 50.0
"""Factor on the objectives at which latency binds nobody."""

OURS, FIRST_FIT, NEXUS, LRU = "Tightship", "first fit by memory", "Nexus", "ModelMesh, LRU"
ALONE, PARVA, PARVA_SLICES = "one copy a device", "ParvaGPU, whole", "ParvaGPU, ideal slices"

Swept = Iterator[tuple[str, Placement]]
Points = Mapping[str, list[Point]]


def _ours(asked: Workload) -> Swept:
    for kappa in KAPPAS:
        yield f"kappa {kappa:g}", ours.plan(asked, kappa)


def _first_fit(asked: Workload) -> Swept:
    for kappa in BATCHINGS:
        batching, copies = ours.batching(asked, kappa)
        split = batching.split(copies)
        for cap in CAPS:
            yield f"cap {cap:g}, batches by {kappa:g}", first_fit.plan(asked, split, cap)


def _nexus(asked: Workload) -> Swept:
    for headroom in NEXUS_HEADROOMS:
        yield f"{headroom:g} x rate", nexus.plan(asked, headroom)


def _parva(asked: Workload) -> Swept:
    yield "its rule", parva.plan(asked)


def _parva_slices(asked: Workload) -> Swept:
    for headroom in PARVA_HEADROOMS:
        yield f"{headroom:g} x rate", parva.plan(asked, headroom, parva.SLICES)


def _alone(asked: Workload) -> Swept:
    batching, copies = ours.batching(asked, 1.0)
    yield "copies by the planner", alone.plan(batching.split(copies))


RULES: Mapping[str, Callable[[Workload], Swept]] = {
    OURS: _ours,
    FIRST_FIT: _first_fit,
    NEXUS: _nexus,
    PARVA_SLICES: _parva_slices,
    PARVA: _parva,
    ALONE: _alone,
}


def _lru(asked: Workload, devices: int, seed: int) -> Swept:
    batching, _ = ours.batching(asked, 1.0)
    for factor in LRU_FLEETS:
        fleet = ceil(factor * devices)
        yield f"{factor:g} x our devices", lru.plan(asked, batching, fleet, seed)


def swept(asked: Workload, seed: int) -> dict[str, list[Point]]:
    """Every rule's points on a workload."""
    points = {name: _judged(rule(asked), asked, seed) for name, rule in RULES.items()}
    devices = next(point.devices for point in points[OURS] if point.setting == "kappa 1")
    points[LRU] = _judged(_lru(asked, devices, seed), asked, seed)
    return points


def _judged(settings: Swept, asked: Workload, seed: int) -> list[Point]:
    return [Point(told, made.devices, satisfied(made, asked, seed)) for told, made in settings]


def run(bench: Bench, sizes: Iterable[int]) -> Iterator[None]:
    """Adds the figures of each size, a table of devices by rule and one of all settings."""
    for size in sizes:
        found = _swept(size)
        _compare(bench, size, found)
        _equal_fleet(bench, size, found)
        _loose(bench, size)
        bench.add_table(
            f"GPUs B1, {size} models, by rule (mean of {len(SEEDS)} workloads)",
            ("rule", *(f"at {share:.1%} of models" for share in SHARES)),
            [_row(name, found) for name in found[0]],
        )
        bench.add_table(
            f"GPUs B1, {size} models, every setting (mean of {len(SEEDS)} workloads)",
            ("rule", "setting", "GPUs", "share of models at 99 %"),
            [row for name in found[0] for row in _settings(name, found)],
        )
        yield


def _swept(size: int) -> list[dict[str, list[Point]]]:
    """The points of each seed, each by a process of its own."""
    with ProcessPoolExecutor(len(SEEDS)) as processes:
        return list(processes.map(swept, [workload(size, seed) for seed in SEEDS], SEEDS))


def _needed(found: Sequence[Points], rule: str, share: float) -> list[float] | None:
    """Devices in each workload; None where a setting that reaches the share is lacking in one."""
    each = [needed(points[rule], share) for points in found]
    told = [one for one in each if one is not None]
    return told if len(told) == len(each) else None


def _compare(bench: Bench, size: int, found: Sequence[Points]) -> None:
    for share in SHARES:
        mine = _needed(found, OURS, share)
        if mine is None:
            continue
        bench.add(f"GPUs B1 {size} models, at {share:.1%}", mean(mine), "", spread=spread(mine))
        for rule in (FIRST_FIT, NEXUS):
            theirs = _needed(found, rule, share)
            if theirs is None:
                continue
            fewer = [100 * (1 - a / b) for a, b in zip(mine, theirs, strict=True)]
            bench.add(
                f"GPUs B1 fewer than {rule} at {share:.1%}, {size} models",
                mean(fewer), "%", spread=spread(fewer), note=f"against {mean(theirs):.1f}",
            )  # fmt: skip


def _equal_fleet(bench: Bench, size: int, found: Sequence[Points]) -> None:
    """The share of satisfied models on the devices that the planner takes by default."""
    default = [_at(points[OURS], "kappa 1") for points in found]
    cached = [_at(points[LRU], "1 x our devices") for points in found]
    for name, points in ((OURS, default), (LRU, cached)):
        shares = [100 * point.share for point in points]
        bench.add(
            f"GPUs B1 models satisfied on equal fleets, {name}, {size} models",
            mean(shares), "%", spread=spread(shares),
            note=f"{mean(point.devices for point in points):.1f} GPUs",
        )  # fmt: skip


def _at(points: Sequence[Point], setting: str) -> Point:
    return next(point for point in points if point.setting == setting)


def _loose(bench: Bench, size: int) -> None:
    ratios = []
    for seed in SEEDS:
        plan = ours.planned(workload(size, seed).loosened(LOOSE), 1.0)
        ratios.append(len(plan.devices) / plan.bound.devices[ours.TYPE])
    bench.add(
        f"GPUs B1 times the lower bound, loose objectives, {size} models",
        mean(ratios), "x", spread=spread(ratios), note="plan and bound with the same batches",
    )  # fmt: skip


def _row(rule: str, found: Sequence[Points]) -> tuple[str, ...]:
    cells = []
    for share in SHARES:
        devices = _needed(found, rule, share)
        cells.append(f"{mean(devices):.1f}" if devices else "not reached")
    return (rule, *cells)


def _settings(rule: str, found: Sequence[Points]) -> Iterator[tuple[str, ...]]:
    for each in zip(*(points[rule] for points in found), strict=True):
        devices, share = mean(one.devices for one in each), mean(one.share for one in each)
        yield rule, each[0].setting, f"{devices:.1f}", f"{share:.2%}"
