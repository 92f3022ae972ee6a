"""Objectives on real models: what each of them chooses, and whether another choice suits it better.

    python -m benchmarks.objectives [NAME ...]

`tightship optimize` runs once for each objective, with its defaults and a real Triton; the four
runs of a model share a cache, so that what is no timing is done once. Gains are ratios to the
original in the runtime, by the run whose objective asks for them. With names only these models run,
and nothing is written.
"""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.models import MODELS
from benchmarks.optimize import environment, product
from benchmarks.optimize.rows import ratio
from benchmarks.record import Bench
from tests.support import triton

from tightship.api.v1alpha1 import Objective
from tightship.optimize.gains import Gains

NAMES = ("mnist", "magika")
COLUMNS = (
    "objective", "winner", *(each.value for each in Objective), "Triton, batch 1",
    "Triton, batched", "samples/s", "memory, MiB", "file, MB",
)  # fmt: skip
_ORIGINAL = "original"
_NONE = "-"

Report = Mapping[str, Any]
Reports = Mapping[Objective, Report]


def reports(name: str) -> tuple[dict[Objective, Report], float]:
    """What each objective's run of a model reports, and the seconds of all.

    Raises:
        ProductError: a run failed.
    """
    found: dict[Objective, Report] = {}
    seconds = 0.0
    files = environment.files(name)
    with tempfile.TemporaryDirectory(prefix=f"tightship-bench-{name}-") as folder:
        scratch = Path(folder)
        repository = scratch / "repository"
        repository.mkdir()
        with triton.serving(repository) as server:
            for objective in Objective:
                output = scratch / objective.value
                one = product.optimize(
                    name, files, output, server, objective=objective, cache=scratch / "cache"
                )
                found[objective], seconds = one.report, seconds + one.seconds
    return found, seconds


def winner(report: Report) -> str:
    """The id of what is served."""
    return str(report["selection"]["variant"])


def entry(report: Report, variant: str) -> Mapping[str, Any] | None:
    """A candidate of a run; None for the original."""
    return next((each for each in report["candidates"] if each["id"] == variant), None)


def gains(report: Report, variant: str) -> Gains | None:
    """What a variant gains in the runtime; None where the run has not timed it."""
    if variant == _ORIGINAL:
        return Gains(latency=1.0, throughput=1.0, memory=1.0, batch=1)
    found = entry(report, variant)
    timed = found["runtime"] if found else None
    if timed is None:
        return None
    return Gains(
        latency=timed["speedup"],
        throughput=timed["batched_speedup"],
        memory=timed["memory_ratio"],
        batch=report["runtime"]["batch"],
    )


def worth(found: Reports, objective: Objective) -> dict[str, float]:
    """What each run's winner gains toward the objective.

    By the objective's own run. What that has not timed, because it was far behind in its quick
    look, by the run that chose it.
    """
    worths = {}
    for report in found.values():
        variant = winner(report)
        gained = gains(found[objective], variant) or gains(report, variant)
        if gained is not None:
            worths[variant] = gained.toward(objective)
    return worths


def behind(found: Reports, objective: Objective) -> float:
    """How far another's winner is better than the objective's own, as a share; 0 when none is.

    What lies within the noise is no difference, nor does the original give way to a gain that is
    less than was asked for.
    """
    report, worths = found[objective], worth(found, objective)
    own = winner(report)
    level = 1 + (report["runtime"]["noise"] if report["runtime"] else 0.0)
    if own == _ORIGINAL:
        level = max(level, report["minSpeedup"])
    return max(0.0, max(worths.values()) / (worths[own] * level) - 1)


def line(objective: Objective, report: Report, variant: str) -> list[str]:
    """A winner's figures by its own run, as COLUMNS."""
    found, gained = entry(report, variant), gains(report, variant)
    races = (found["triton"] if found else None) or {}
    timed = found["runtime"] if found else report["runtime"]
    return [
        objective.value,
        variant,
        *(ratio(gained.toward(each) if gained else None) for each in Objective),
        *(ratio((races.get(race) or {}).get("speedup")) for race in ("race", "batched")),
        f"{_samples(report, timed):.0f}" if timed else _NONE,
        f"{timed['memory'] / 2**20:.1f}" if timed else _NONE,
        f"{(found['bytes'] if found else report['source']['bytes']) / 1e6:.2f}",
    ]


def _samples(report: Report, timed: Mapping[str, Any]) -> float:
    """Samples a second in the runtime, by the clock that counts."""
    runtime = report["runtime"]
    return float(runtime["batch"] / timed["batched"][f"{runtime['clock']}_p50"])


def add(bench: Bench, name: str, found: Reports, seconds: float) -> bool:
    """A model's figures and its table; whether the objectives choose differently."""
    for objective, report in found.items():
        own, worths = winner(report), worth(found, objective)
        others = [f"{variant} x{gain:.2f}" for variant, gain in worths.items() if variant != own]
        note = ", ".join([f"{own} is served", *others])
        bench.add(f"{objective.value}, {name}", round(worths[own], 3), "x", note=note)
        missed = round(behind(found, objective), 3)
        bench.add(f"behind another winner, {objective.value}, {name}", missed, "")
    winners = {winner(report) for report in found.values()}
    bench.add(f"different winners, {name}", len(winners), "", note=f"of {len(found)} objectives")
    bench.add(f"wall time, {name}", round(seconds, 1), "s", note="all objectives")
    title = f"{name}: {MODELS[name].title}"
    lines = [line(objective, report, winner(report)) for objective, report in found.items()]
    first = line(Objective.LATENCY, found[Objective.LATENCY], _ORIGINAL)
    bench.add_table(title, COLUMNS, [[_NONE, *first[1:]], *lines])
    return len(winners) > 1


def main(names: list[str]) -> int:
    """Runs the models; 1 when a figure misses its target."""
    unknown = sorted(set(names) - set(MODELS))
    if unknown:
        sys.stderr.write(f"there is no model {unknown[0]!r}; there are {', '.join(MODELS)}\n")
        return 2
    bench = Bench("objectives")
    chosen = names or NAMES
    try:
        differing = [add(bench, name, *reports(name)) for name in chosen]
    except product.ProductError as error:
        sys.stderr.write(f"the optimizer failed: {error}\n")
        return 1
    note = f"of {len(chosen)}"
    bench.add("models with different winners", sum(differing), "", note=note)
    if not names:
        sys.stdout.write(f"written: {bench.write()}\n")
    return int(any(figure.ok is False for figure in bench.figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
