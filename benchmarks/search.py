"""Search strategies against an exhaustive run, by trials.

    python -m benchmarks.search [NAME ...]

For each model `tightship optimize --search grid` tries every point once; what it found is kept in
the cache, so that it costs once. Each strategy is then replayed on it, with ten seeds, after the
curated list. Regret is how much more time the best one found so far takes than the best of all, by
the quick look that searches go by. With names only these models run, and nothing is written.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.models import MODELS
from benchmarks.optimize import environment
from benchmarks.record import Bench
from tests.support import cache

from tightship.api.v1alpha1 import SearchStrategy
from tightship.optimize import machine
from tightship.optimize.candidate import Status
from tightship.optimize.contract import Contract
from tightship.optimize.search import explore, space
from tightship.optimize.search.space import Point
from tightship.optimize.search.strategies import Outcome, strategy
from tightship.optimize.techniques import Facts, Recipe, Space

NAMES = ("crepe", "ocr-angle", "nsfw")
TRIALS = (0, 5, 10, 20)
SEEDS = 10
_SOURCES = cache.REPOSITORY / "operator" / "tightship" / "optimize"
_REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class Landscape:
    """What every point of a model comes to, and which of them the curated list has."""

    spaces: list[Space]
    outcomes: dict[Point, Outcome]
    curated: list[Point]

    def best(self, points: list[Point]) -> float | None:
        """Least relative latency of those that pass; None where none does."""
        found = [self.outcomes[point] for point in points]
        return min((one.value for one in found if one.stage is None), default=None)


def exhaustive(name: str) -> dict[str, Any]:
    """The report of a conversion that tries everything; from the cache where it was made before."""
    sources = sorted([*(_SOURCES / "techniques").glob("*.py"), *(_SOURCES / "search").glob("*.py")])
    files = environment.files(name)

    def make(folder: Path) -> None:
        command = [
            sys.executable, "-m", "tightship", "optimize", files / "model.onnx",
            "--output", folder / "artifact", "--calibration", files / "calibration.npz",
            "--evaluation", files / "evaluation.npz", "--metric", MODELS[name].metric.value,
            "--search", "grid", "--trials", "1000", "--search-seconds", "36000",
            "--no-prune", "--json", "--no-cache",
        ]  # fmt: skip
        done = subprocess.run(
            [str(part) for part in command], cwd=cache.REPOSITORY, stdout=subprocess.PIPE,
            text=True, check=True,
        )  # fmt: skip
        (folder / _REPORT).write_text(done.stdout)

    folder = cache.made(f"bench-search-{name}-{cache.digest(*sources)}", make)
    report: dict[str, Any] = json.loads((folder / _REPORT).read_text())
    return report


def landscape(report: dict[str, Any]) -> Landscape:
    """The points of the model, with what the report says of each."""
    spaces = space.spaces(_facts(Contract.from_json(report["source"]["contract"])))
    points = list(space.points(spaces))
    named = {_told(space.recipe(spaces, point)): point for point in points}
    outcomes, curated = {}, []
    known = {point.id for point in points}
    for entry in report["candidates"]:
        point = named.get(_key(entry["engine"], entry["passes"]))
        if point is None or entry["status"] == Status.INELIGIBLE.value:
            continue
        outcomes[point] = _outcome(entry)
        if entry["id"] not in known:
            curated.append(point)
    lacking = set(points) - set(outcomes)
    if lacking:
        raise ValueError(f"the exhaustive run has not tried {sorted(p.id for p in lacking)}")
    return Landscape(spaces, outcomes, curated)


def _told(recipe: Recipe) -> str:
    """The recipe as a report tells it: ids do not tell whether two are the same work."""
    return _key(recipe.engine.told(), [asdict(step) for step in recipe.passes])


def _key(engine: Mapping[str, Any], passes: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"engine": engine, "passes": passes}, sort_keys=True)


def _facts(contract: Contract) -> Facts:
    return Facts(
        contract=contract,
        calibration=True,
        cpu_flags=machine.cpu_flags(),
        cache_bytes=machine.cache_bytes(),
        quantize=True,
        half_precision=True,
        prune=False,
        sparsity=0.5,
        openvino=True,
        accelerator=None,
    )


def _outcome(entry: dict[str, Any]) -> Outcome:
    """As `explore.outcome` of the candidate when the search judged it.

    What was timed afterwards may have been refused then; the search had seen it pass.
    """
    look, gate, status = entry["lookSpeedup"], entry["gate"], Status(entry["status"])
    relative = 1 / look if look else explore.WORST
    if gate is not None and gate["passes"]:
        return Outcome(relative)
    if status is Status.GATE_FAILED and gate is not None:
        return Outcome(gate["upper"], explore.STAGES.index(status))
    if status in explore.STAGES:
        return Outcome(relative, explore.STAGES.index(status))
    return Outcome(explore.WORST, -1)


def replay(found: Landscape, name: SearchStrategy, seed: int) -> dict[int, float | None]:
    """The best relative latency after so many trials, the curated list included."""
    walker = strategy(name, found.spaces, seed)
    for point in found.curated:
        walker.tell(point, found.outcomes[point])
    tried, best = list(found.curated), {0: found.best(found.curated)}
    for trial in range(1, max(TRIALS) + 1):
        asked = walker.ask()
        if asked is not None:
            walker.tell(asked, found.outcomes[asked])
            tried.append(asked)
        best[trial] = found.best(tried)
    return best


def run_model(bench: Bench, name: str) -> dict[SearchStrategy, list[float]]:
    """Adds a model's figures; returns each strategy's regrets after all trials."""
    found = landscape(exhaustive(name))
    best = found.best(list(found.outcomes))
    bench.add(f"{name}, points", len(found.outcomes), "", note=f"{len(found.curated)} curated")
    if best is None:
        bench.add(f"{name}, best speed-up", 1.0, "x", note="no point passes: the original")
        return {}
    bench.add(f"{name}, best speed-up", round(1 / best, 2), "x", note="exhaustive, quick look")
    last = {}
    for which in SearchStrategy:
        seeds = 1 if which is SearchStrategy.GRID else SEEDS
        replays = [replay(found, which, seed) for seed in range(seeds)]
        for trials in TRIALS:
            # Without any that passes the original is served, at a relative latency of 1.
            regrets = [(run[trials] or 1.0) / best - 1 for run in replays]
            _add(bench, f"{name}, regret, {which.value}, {trials} trials", regrets)
        last[which] = regrets
    return last


def _add(bench: Bench, name: str, regrets: list[float]) -> None:
    spread = f"{min(regrets):.3f} to {max(regrets):.3f}"
    bench.add(
        name, round(mean(regrets), 4), "", spread=spread, note=f"{spread}, {len(regrets)} runs"
    )


def main(names: list[str]) -> int:
    """Runs the models; 1 when a figure misses its target."""
    unknown = sorted(set(names) - set(MODELS))
    if unknown:
        sys.stderr.write(f"there is no model {unknown[0]!r}; there are {', '.join(MODELS)}\n")
        return 2
    bench = Bench("search")
    regrets = [run_model(bench, name) for name in names or NAMES]
    for which in SearchStrategy:
        all_of_it = [regret for one in regrets for regret in one.get(which, [])]
        if all_of_it:
            _add(bench, f"mean regret, {which.value}, {max(TRIALS)} trials", all_of_it)
    if not names:
        sys.stdout.write(f"written: {bench.write()}\n")
    return int(any(figure.ok is False for figure in bench.figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
