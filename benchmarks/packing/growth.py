"""Part `time`: seconds and memory of a full plan and of an incremental one, by number of models."""

import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from typing import TypeVar

import numpy as np
from benchmarks.packing import ours
from benchmarks.packing.workload import workload
from benchmarks.record import Bench, spread

from tightship.plan.pack import Plan, pack, replan

T = TypeVar("T")

DEVICES = 1_000
RUNS = 5
NOISE = 0.12
"""Standard deviation of the change of each rate before an incremental plan."""

_SEED = 1


def run(bench: Bench, sizes: Iterable[int]) -> Iterator[None]:
    """Adds the figures of each size and a table of their growth."""
    rows = [_size(bench, size) for size in sizes]
    columns = ("models", "copies", "devices", "full, s", "incremental, ms", "memory, MiB")
    bench.add_table(f"Time of a plan on up to {DEVICES} devices, one core", columns, rows)
    yield


def _size(bench: Bench, size: int) -> Sequence[str]:
    asked, devices = workload(size, _SEED), ours.fleet(DEVICES)
    models = ours.models(asked)
    full, plan = _timed(lambda: pack(models, devices))
    bench.add(f"plan {size:,} models, full", median(full), "s", spread=spread(full))
    noise = np.exp(np.random.default_rng(_SEED).normal(0.0, NOISE, size))
    drifted = ours.models(asked.loaded(noise))
    again, change = _timed(lambda: replan(plan, drifted, devices))
    milliseconds = [1000 * seconds for seconds in again]
    bench.add(
        f"plan {size:,} models, incremental", median(milliseconds), "ms",
        spread=spread(milliseconds), note=f"{len(change.moves)} moves",
    )  # fmt: skip
    memory = _memory(lambda: pack(models, devices))
    bench.add(f"plan {size:,} models, memory of a full plan", memory, "MiB", note="by tracemalloc")
    return _row(size, plan, median(full), median(milliseconds), memory)


def _row(size: int, plan: Plan, full: float, again: float, memory: float) -> Sequence[str]:
    return (
        f"{size:,}", f"{len(plan.model):,}", f"{len(plan.devices):,}", f"{full:.3f}",
        f"{again:.1f}", f"{memory:.0f}",
    )  # fmt: skip


def _timed(make: Callable[[], T]) -> tuple[list[float], T]:
    """Processor seconds of each run, since other work on the machine is none of the planner's."""
    seconds, made = [], make()
    for _ in range(RUNS):
        begin = time.process_time()
        made = make()
        seconds.append(time.process_time() - begin)
    return seconds, made


def _memory(make: Callable[[], object]) -> float:
    """MiB that are allocated at most while it runs."""
    tracemalloc.start()
    try:
        make()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
