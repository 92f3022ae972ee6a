"""ParvaGPU's profiles, scenarios and published plans, and what a plan has to keep.

The checks read the measured tables themselves and share nothing with the planner.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

DATA = Path(__file__).parent / "data" / "parvagpu"
NAMES = ("S1", "S2", "S3", "S4", "S5", "S6")
PLACES = {1: (1, range(7)), 2: (2, (0, 2, 4)), 3: (4, (0, 4)), 4: (4, (0,)), 7: (8, (0,))}
"""Memory slots and first slots of the slices of an A100 by their compute slices."""
SLOT_MEMORY = 9728 * 2**20
"""Bytes of a memory slot of an A100 with 80 GB."""
LATENCY_SHARE = 0.9 / 2
_ABSENT = "N/A"


@dataclass(frozen=True, slots=True)
class Row:
    """A measured line: items a second of all processes together, seconds of a batch."""

    size: int
    batch: int
    processes: int
    rate: float
    latency: float


@dataclass(frozen=True, slots=True)
class Demand:
    """What a scenario asks of a model: items a second within seconds."""

    model: str
    rate: float
    slo: float


@dataclass(frozen=True, slots=True)
class Use:
    """A model in a slice; `turns` of a cycle where it is not alone there."""

    model: str
    batch: int
    processes: int
    turns: int = 1


@dataclass(frozen=True, slots=True)
class Cut:
    """A slice by its compute slices. Where no start is told, any legal one will do."""

    size: int
    uses: tuple[Use, ...]
    start: int | None = None


Plan = Sequence[Sequence[Cut]]


@cache
def profiles() -> Mapping[str, tuple[Row, ...]]:
    """What was measured, by model: lines of configurations that ran."""
    found = {}
    for path in sorted((DATA / "prof_data").glob("*.csv")):
        lines = [[float(cell) for cell in line] for line in _lines(path)[1:]]
        found[path.stem] = tuple(
            Row(int(size), int(batch), int(processes), rate * processes, latency)
            for size, batch, processes, rate, latency in lines
            if rate > 0
        )
    return found


@cache
def demands(name: str) -> tuple[Demand, ...]:
    """The models of a scenario."""
    place = NAMES.index(name)
    rates = _lines(DATA / "SLO" / "SLO_req_rate.csv")[place]
    latencies = _lines(DATA / "SLO" / "SLO_latency.csv")[place]
    rows = zip(profiles(), rates, latencies, strict=True)
    return tuple(
        Demand(model, float(rate), float(latency) / 1000)
        for model, rate, latency in rows
        if rate != _ABSENT
    )


def published(name: str) -> Plan:
    """The plan that ParvaGPU's authors wrote for a scenario."""
    place = NAMES.index(name) + 1
    path = DATA / "deployment" / f"SLO{place}" / f"SLO{place}_ParvaGPU_deploy.csv"
    devices: dict[tuple[str, str], list[Cut]] = {}
    for node, device, model, _, size, batch, processes in _lines(path)[1:]:
        use = Use(model, int(batch), int(processes))
        devices.setdefault((node, device), []).append(Cut(int(size), (use,)))
    return list(devices.values())


def _lines(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


@cache
def process_memory(model: str, batch: int) -> float:
    """Bytes of a process at the most: so many of them ran in a slice with this batch or more."""
    return min(
        PLACES[row.size][0] * SLOT_MEMORY / row.processes
        for row in profiles()[model]
        if row.batch >= batch
    )


def faults(name: str, plan: Plan) -> list[str]:
    """What the plan does not keep of the scenario, by the measured tables."""
    asked = {demand.model: demand for demand in demands(name)}
    given = dict.fromkeys(asked, 0.0)
    told = []
    for number, device in enumerate(plan):
        if not _legal(device):
            told.append(f"device {number}: no legal places for {[cut.size for cut in device]}")
        for cut in device:
            told += [f"device {number}: {why}" for why in _slice_faults(cut, asked)]
            for model, rate in _rates(cut).items():
                given[model] += rate
    for model, demand in asked.items():
        if given[model] < demand.rate * (1 - 1e-9):
            told.append(f"{model}: {given[model]:.1f} of {demand.rate:.1f} items a second")
    return told


def _legal(device: Sequence[Cut]) -> bool:
    choices = [
        PLACES[cut.size][1] if cut.start is None else (cut.start,)
        for cut in sorted(device, key=lambda one: -one.size)
    ]
    spans = [PLACES[cut.size][0] for cut in sorted(device, key=lambda one: -one.size)]
    known = all(cut.start in PLACES[cut.size][1] for cut in device if cut.start is not None)
    return known and any(_apart(starts, spans) for starts in product(*choices))


def _apart(starts: Sequence[int], spans: Sequence[int]) -> bool:
    taken = [
        slot
        for start, span in zip(starts, spans, strict=True)
        for slot in range(start, start + span)
    ]
    return len(set(taken)) == len(taken)


def _row(size: int, use: Use) -> Row:
    wanted = (size, use.batch, use.processes)
    for row in profiles()[use.model]:
        if (row.size, row.batch, row.processes) == wanted:
            return row
    raise ValueError(f"{use.model} was not measured with (size, batch, processes) {wanted}")


def _turn(row: Row) -> float:
    return max(row.latency, row.batch * row.processes / row.rate)


def _slice_faults(cut: Cut, asked: Mapping[str, Demand]) -> Iterator[str]:
    rows = [_row(cut.size, use) for use in cut.uses]
    budget = LATENCY_SHARE * min(asked[use.model].slo for use in cut.uses)
    took = [_turn(row) * use.turns for row, use in zip(rows, cut.uses, strict=True)]
    seconds = rows[0].latency if len(rows) == 1 else sum(took)
    if seconds >= budget:
        yield f"{cut.uses} take {seconds:.4f} s of {budget:.4f} s"
    memory = sum(use.processes * process_memory(use.model, use.batch) for use in cut.uses)
    if len(rows) > 1 and memory > PLACES[cut.size][0] * SLOT_MEMORY + 1:
        yield f"{cut.uses} may take {memory / 2**30:.1f} GiB"


def _rates(cut: Cut) -> dict[str, float]:
    rows = [_row(cut.size, use) for use in cut.uses]
    if len(rows) == 1:
        return {cut.uses[0].model: rows[0].rate}
    pairs = list(zip(rows, cut.uses, strict=True))
    cycle = sum(_turn(row) * use.turns for row, use in pairs)
    return {use.model: use.turns * use.batch * use.processes / cycle for _, use in pairs}
