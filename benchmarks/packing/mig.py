"""Slices: ParvaGPU's scenarios S1 to S6, planned by Tightship, by ParvaGPU and without slices.

    python -m benchmarks.packing.mig

All go by the same measured tables and the same limit of latency, and every plan is checked against
the tables by `scenarios.faults`. The tables lack memory; what two models take of a slice together
is bounded by how many processes ran in one. The command prints; `make bench-packing` writes.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil

from benchmarks.packing import parvagpu
from benchmarks.packing.scenarios import (
    LATENCY_SHARE,
    NAMES,
    Cut,
    Demand,
    Plan,
    Use,
    demands,
    faults,
    process_memory,
    profiles,
    published,
)  # fmt: skip
from benchmarks.record import Bench

from tightship.plan.mig.choose import SlicePlan, choose
from tightship.plan.mig.geometry import A100_80
from tightship.plan.mig.profile import Point, Workload

MOST_PROCESSES = 3
"""The limit in ParvaGPU's published code. Some of its published plans have up to five."""
KINDS = {1: "1g.10gb", 2: "2g.20gb", 3: "3g.40gb", 4: "4g.40gb", 7: "7g.80gb"}
PUBLISHED_PROCESSES = 5
_SIZES = {kind: size for size, kind in KINDS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Devices of one scenario by each way to plan; bounds and seconds of planning of ours."""

    scenario: str
    whole: int
    published: int
    parvagpu: int
    alone: int
    alone_bound: int
    shared: int
    shared_bound: int
    seconds: tuple[float, float]
    shared_slices: int
    faults: tuple[str, ...]
    published_faults: tuple[str, ...]


def rows(most_processes: int = MOST_PROCESSES) -> Iterator[Row]:
    """Every scenario, planned and checked."""
    for name in NAMES:
        asked = demands(name)
        loads = workloads(asked, most_processes)
        plans: list[tuple[SlicePlan, float]] = []
        for sharing in (False, True):
            begin = time.perf_counter()
            planned = choose(loads, A100_80, sharing=sharing)
            plans.append((planned, time.perf_counter() - begin))
        (alone, alone_seconds), (shared, shared_seconds) = plans
        rule = parvagpu.plan(asked, most_processes)
        told = [why for plan in (cuts(alone), cuts(shared), rule) for why in faults(name, plan)]
        yield Row(
            scenario=name, whole=sum(whole_devices(one, most_processes) for one in asked),
            published=len(published(name)), parvagpu=len(rule), alone=len(alone.devices),
            alone_bound=alone.bound, shared=len(shared.devices), shared_bound=shared.bound,
            seconds=(alone_seconds, shared_seconds),
            shared_slices=sum(len(segment.tenants) > 1 for segment in shared.segments),
            faults=(*told, *(f"{model}: {why}" for model, why in shared.refused.items())),
            published_faults=tuple(faults(name, published(name))),
        )  # fmt: skip


def workloads(asked: tuple[Demand, ...], most_processes: int) -> list[Workload]:
    """A scenario as the planner takes it."""
    return [
        Workload(
            model=one.model, rate=one.rate, slo=one.slo, points=points(one.model, most_processes)
        )
        for one in asked
    ]


def points(model: str, most_processes: int) -> Mapping[str, tuple[Point, ...]]:
    """What was measured of a model, with as much memory as it may have taken."""
    found: dict[str, list[Point]] = {kind: [] for kind in _SIZES}
    for row in profiles()[model]:
        if row.processes <= most_processes:
            memory = int(row.processes * process_memory(model, row.batch))
            point = Point(
                batch=row.batch, processes=row.processes, rate=row.rate, latency=row.latency,
                memory=memory,
            )  # fmt: skip
            found[KINDS[row.size]].append(point)
    return {kind: tuple(each) for kind, each in found.items()}


def whole_devices(demand: Demand, most_processes: int) -> int:
    """Devices of a model that shares none and cuts none: as many as its rate takes."""
    rates = [
        row.rate
        for row in profiles()[demand.model]
        if row.size == max(KINDS)
        and row.processes <= most_processes
        and row.latency < LATENCY_SHARE * demand.slo
    ]
    return ceil(demand.rate / max(rates))


def cuts(plan: SlicePlan) -> Plan:
    """A plan of ours for the check."""
    return [
        [
            Cut(
                _SIZES[one.kind],
                tuple(
                    Use(each.model, each.point.batch, each.point.processes, each.turns)
                    for each in one.segment.tenants
                ),
                one.start,
            )
            for one in device
            if one.segment is not None
        ]
        for device in plan.devices
    ]


def run(bench: Bench) -> None:
    """Adds the figures and the table of all scenarios."""
    done = list(rows())
    bench.add("ParvaGPU total, one model a device", sum(one.whole for one in done), "devices")
    _published(bench, done)
    bench.add(
        "ParvaGPU total, its rule", sum(one.parvagpu for one in done), "devices",
        note=f"our implementation, at most {MOST_PROCESSES} processes, as for all below",
    )  # fmt: skip
    five = [len(parvagpu.plan(demands(name), PUBLISHED_PROCESSES)) for name in NAMES]
    note = f"with at most {PUBLISHED_PROCESSES} processes, as its published plans"
    bench.add("ParvaGPU total, its rule, more processes", sum(five), "devices", note=note)
    bound = sum(one.alone_bound for one in done)
    bench.add(
        "ParvaGPU total, one model a slice", sum(one.alone for one in done), "devices",
        note=f"no plan under these rules has fewer than {bound}",
    )  # fmt: skip
    bound = sum(one.shared_bound for one in done)
    slices = sum(one.shared_slices for one in done)
    bench.add(
        "ParvaGPU total, two models a slice", sum(one.shared for one in done), "devices",
        note=f"at least {bound}; {slices} slices are shared",
    )  # fmt: skip
    loads = [workloads(demands(name), PUBLISHED_PROCESSES) for name in NAMES]
    more = sum(len(choose(each, A100_80, sharing=False).devices) for each in loads)
    bench.add("ParvaGPU total, one model a slice, more processes", more, "devices", note=note)
    told = [f"{one.scenario} {why}" for one in done for why in one.faults]
    bench.add(
        "ParvaGPU faults", len(told), "", note="; ".join(told[:3]) or "rates, latency, places"
    )
    _seconds(bench, done)
    _table(bench, done)


def _published(bench: Bench, done: list[Row]) -> None:
    short = sum(len(one.published_faults) for one in done)
    bench.add(
        "ParvaGPU total, its published plans", sum(one.published for one in done), "devices",
        note=f"up to {PUBLISHED_PROCESSES} processes; {short} faults by its own tables",
    )  # fmt: skip


def _seconds(bench: Bench, done: list[Row]) -> None:
    for place, what in enumerate(("one model a slice", "two models a slice")):
        took = [one.seconds[place] for one in done]
        spread = f"{min(took):.2f} to {max(took):.2f}"
        bench.add(f"ParvaGPU planning, {what}", round(max(took), 2), "s", spread=spread)


def _table(bench: Bench, done: list[Row]) -> None:
    columns = (
        "scenario", "one a device", "published", "ParvaGPU's rule", "one a slice", "at least",
        "two a slice", "at least",
    )  # fmt: skip
    lines = [
        (
            one.scenario,
            *map(str, (one.whole, one.published, one.parvagpu, one.alone, one.alone_bound)),
            *map(str, (one.shared, one.shared_bound)),
        )
        for one in done
    ]
    bench.add_table("Devices for ParvaGPU's scenarios", columns, lines)


def main() -> int:
    """Prints the figures; 1 when one misses its target."""
    bench = Bench("packing")
    run(bench)
    return int(any(figure.ok is False for figure in bench.figures))


if __name__ == "__main__":
    sys.exit(main())
