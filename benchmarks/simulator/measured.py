"""The simulator against what NVIDIA measured of Triton under closed loops.

A set-up's curve comes from its runs with one client: the mean compute time by batch. What a
request spends outside of Triton is taken from each run. The batches that form, the wait, the
sharing of the GPU by the two instances, and so throughput and latencies, are the simulator's.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.record import Bench

from tightship.simulate.attainment import attained
from tightship.simulate.tenants import Floats, tenants

DATA = Path(__file__).parent / "data"
NEAR = 0.2
INSIDE = 0.9
"""Of a request's time: with more of it outside of Triton, the network decides the tail."""
ROUNDS = 200
"""Simulated time in the longest batches."""

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Predicted over measured, of one run."""

    model: str
    gpu: str
    inside: float  # share of the measured latency that is spent in Triton
    throughput: float
    mean: float
    p99: float


def measure(bench: Bench) -> None:
    """Adds the figures, and a table by model and GPU."""
    found = ratios()
    bench.add("measured runs", len(found), "", note="closed loops of 8 to 256 clients")
    for name, told in _QUANTITIES.items():
        values = np.array([told(one) for one in found])
        spread = " to ".join(f"{value:.2f}" for value in np.quantile(values, [0.1, 0.9]))
        note = f"p10 to p90 {spread}"
        bench.add(f"{name}, predicted / measured", _median(values), "", spread=spread, note=note)
        bench.add(f"{name}, median error", _median(np.abs(values - 1)), "")
        near = float((np.abs(values - 1) <= NEAR).mean())
        bench.add(f"{name}, within {NEAR:.0%}", round(near, 3), "", note="share of runs")
    inside = np.array([one.p99 for one in found if one.inside >= INSIDE])
    note = f"{len(inside)} runs"
    name = f"p99 of runs with {INSIDE:.0%} of the latency in Triton"
    bench.add(f"{name}, predicted / measured", _median(inside), "", note=note)
    bench.add(f"{name}, median error", _median(np.abs(inside - 1)), "", note=note)
    kinds = sorted({(one.model.partition("/")[0], one.gpu) for one in found})
    bench.add_table(
        "Predicted over measured, median by model and GPU",
        ("model", "GPU", "runs", *_QUANTITIES),
        [_line(kind, found) for kind in kinds],
    )


_QUANTITIES: Mapping[str, Callable[[Ratio], float]] = {
    "throughput": lambda one: one.throughput,
    "mean latency": lambda one: one.mean,
    "p99": lambda one: one.p99,
}


def ratios() -> list[Ratio]:
    """One for each measured closed loop."""
    setups = rows("setups.csv")
    runs = rows("runs.csv")
    found = []
    for setup in setups:
        mine = [run for run in runs if run["setup"] == setup["setup"]]
        offline = [run for run in mine if run["scenario"] == "offline"]
        online = [run for run in mine if run["scenario"] == "online"]
        found += [predicted(setup, offline, run) for run in online]
    return found


def predicted(setup: Row, offline: Sequence[Row], run: Row) -> Ratio:
    """A run simulated with the curve of its set-up's offline runs."""
    items, clients = int(run["client_batch"]), int(run["concurrency"])
    batch = min(int(setup["max_batch"]) // items, clients)
    curve = _curve(offline, items * np.arange(1, batch + 1))
    outside = _seconds(run, "client_send_ms", "net_ms")
    loop = tenants(
        rate=0, clients=clients, pause=outside, slo=np.inf, curves=curve, max_batch=batch,
        instances=int(setup["instances"]),
    )  # fmt: skip
    longest = float(curve[-1]) + outside
    answer = attained(loop, seconds=ROUNDS * longest, warmup=ROUNDS / 10 * longest)
    mean, p99 = answer.mean[0] + outside, answer.p99[0] + outside
    return Ratio(
        model=setup["model"],
        gpu=setup["gpu"],
        inside=1 - outside / _seconds(run, "avg_ms"),
        throughput=clients * items / mean / float(run["infer_per_s"]),
        mean=mean / _seconds(run, "avg_ms"),
        p99=p99 / _seconds(run, "p99_ms"),
    )


def _curve(offline: Sequence[Row], batches: np.ndarray) -> Floats:
    """Seconds of compute at these batches, interpolated."""
    stages = ("compute_in_ms", "compute_infer_ms", "compute_out_ms")
    points = sorted((int(run["client_batch"]), _seconds(run, *stages)) for run in offline)
    sizes, seconds = np.array(points).T
    curve: Floats = np.interp(batches, sizes, seconds)
    return curve


def _seconds(run: Row, *columns: str) -> float:
    return sum(float(run[column]) for column in columns) / 1000


def rows(name: str) -> list[dict[str, str]]:
    """The lines of a file of the measurements."""
    with (DATA / name).open(newline="") as file:
        return list(csv.DictReader(file))


def _line(kind: tuple[str, str], found: Sequence[Ratio]) -> tuple[str, ...]:
    mine = [one for one in found if (one.model.partition("/")[0], one.gpu) == kind]
    medians = (_median(np.array([told(one) for one in mine])) for told in _QUANTITIES.values())
    return *kind, str(len(mine)), *(f"{value:.2f}" for value in medians)


def _median(values: Floats) -> float:
    return round(float(np.median(values)), 3)
