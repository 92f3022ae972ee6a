"""Judges one model file against the original, cheapest test first; runs in a child.

Smoke, a look at its speed, fidelity on a share of the samples, then the gate on all of them.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tightship.api.v1alpha1 import Metric
from tightship.optimize import data, engine, runtime
from tightship.optimize.budget import Budget, cpus
from tightship.optimize.contract import Contract
from tightship.optimize.data import Dataset
from tightship.optimize.engine import Executable
from tightship.optimize.gate import verdict
from tightship.optimize.gate.needs import Needs, needs
from tightship.optimize.gate.verdict import Demands, Verdict
from tightship.optimize.metrics import fidelity, own, registry
from tightship.optimize.metrics.base import Judged, Traits, Truth
from tightship.optimize.metrics.own import Asked, Own
from tightship.optimize.racing import LOOK_MARGIN
from tightship.optimize.runtime import Outputs, Session

_LOOK_BURSTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """What a candidate is judged on. Paths are the parent's scratch folders."""

    contract: Contract
    dataset: str
    reference: str  # the original's own answers
    original: str
    metric: str | None  # None: agreement with the original
    positive_class: int | None
    demands: Demands
    min_speedup: float
    threads: int
    own: Own | None = None  # instead of `metric`

    @property
    def traits(self) -> Traits:
        """Of what is judged by."""
        return self.own.traits if self.own else registry.traits(self.metric)

    @property
    def labelled(self) -> bool:
        """Whether answers are compared with labels."""
        return bool(self.metric or self.own)

    def to_json(self) -> dict[str, Any]:
        """JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Judging":
        """Reads what `to_json` wrote."""
        return cls(
            **{
                **raw,
                "contract": Contract.from_json(raw["contract"]),
                "demands": Demands(**raw["demands"]),
                "own": Own.from_json(raw["own"]) if raw.get("own") else None,
            }
        )


def baseline_task(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Child's entry for the original: {judging} -> its metric, what the data can show, oddities.

    Writes its answers.
    """
    judging = Judging.from_json(payload["judging"])
    dataset = Dataset.load(Path(judging.dataset))
    session = runtime.session(Path(judging.original), cpus(), spin=False)
    started = time.monotonic()
    answers = runtime.answers(session, judging.contract, dataset, Budget().evaluation_batch)
    seconds = time.monotonic() - started
    save_answers(answers, Path(judging.reference))
    asked = Asked(confidence=judging.demands.confidence, checks=True, bound=False)
    (found,) = judged(judging, dataset, answers, [answers], Path.cwd(), asked)
    return {
        "metric": found.value,
        "samples": len(found.parts),
        "needs": asdict(_needs(judging, dataset, found)),
        "lowestClass": _lowest(judging, dataset, found),
        "seconds": seconds,
        "notes": list(fidelity.describe(judging.contract, answers)),
    }


def _needs(judging: Judging, dataset: Dataset, found: Judged) -> Needs:
    labels = dataset.labels if judging.labelled else None
    return needs(judging.traits, found, judging.demands, labels)


def _lowest(judging: Judging, dataset: Dataset, found: Judged) -> dict[str, Any] | None:
    """The class that the original knows worst, where the gate asks for a recall of each."""
    if judging.demands.worst_class_value is None or dataset.labels is None:
        return None
    lowest = verdict.lowest_recall(found, dataset.labels)
    return dict(zip(("label", "n", "recall"), lowest, strict=True)) if lowest else None


def task(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Child's entry for a candidate: {judging, model, simulation, known} -> verdicts to first miss.

    `known` are the verdicts of an earlier run, or None: then only the quick look is taken anew.
    """
    judging = Judging.from_json(payload["judging"])
    model = Executable.from_json(payload["model"])
    race = _Race(judging, model, payload["simulation"])
    if known := payload["known"]:
        return race.looked(known)
    return {"computed": engine.computed(model), **race.run()}


def save_answers(answers: Outputs, folder: Path) -> None:
    """Keep outputs by name for other children."""
    plain = {n: a.astype(np.str_) if a.dtype == object else a for n, a in answers.items()}
    Dataset(plain).save(folder)


def load_answers(folder: Path) -> dict[str, np.ndarray]:
    """What `save_answers` wrote."""
    return dict(Dataset.load(folder).arrays)


def judged(
    judging: Judging,
    dataset: Dataset,
    reference: Outputs,
    answers: Sequence[Outputs],
    scratch: Path,
    asked: Asked | None = None,
) -> list[Judged]:
    """What the task metric, or else the agreement with the original, finds in models' answers.

    A metric of the user's own is asked in a child, in a folder of its own below `scratch`.

    Raises:
        RefusalError: no output fits the metric, or the user's own does not work.
    """
    if judging.own and dataset.labels is not None:
        asked = asked or Asked(confidence=judging.demands.confidence)
        return own.judge(judging.own, dataset.labels, answers, asked, scratch / "metric")
    truth = None
    if judging.metric and dataset.labels is not None:
        truth = Truth(
            labels=dataset.labels, charset=dataset.charset, positive_class=judging.positive_class
        )
    return [registry.judge(judging.metric, truth, reference, each) for each in answers]


class _Race:
    """The stages for one candidate, cheapest first."""

    def __init__(self, judging: Judging, model: Executable, simulation: str | None) -> None:
        self._judging, self._model, self._simulation = judging, model, simulation
        self._budget = Budget()
        self._dataset = Dataset.load(Path(judging.dataset))
        self._reference = load_answers(Path(judging.reference))
        self._metric = Metric(judging.metric) if judging.metric else None

    @cached_property
    def _session(self) -> Session:
        return engine.load(self._model, cpus(), spin=False)

    def looked(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """What `run` would give, where all but the speed is known already."""
        if (known.get("stopped") or {}).get("stage") == "smoke":
            return dict(known)
        result: dict[str, Any] = {}
        if reason := self._look(result):
            stopped = {"stage": "look", "reason": reason}
            return {"computed": known["computed"], **result, "stopped": stopped}
        return {**known, **result}

    def run(self) -> dict[str, Any]:
        """Results so far, and the first miss as `stopped` {stage, reason}."""
        result: dict[str, Any] = {}
        for stage in (self._smoke, self._look, self._fidelity, self._full):
            reason = stage(result)
            if reason:
                name = stage.__name__.removeprefix("_")
                return {**result, "stopped": {"stage": name, "reason": reason}}
        return result

    def _sessions(self) -> list[Session]:
        """The model as it runs here, and as it would compute on hardware of its precision."""
        simulated: list[Session] = []
        if self._simulation:
            file = Path(self._simulation)
            simulated = [runtime.session(file, cpus(), optimise=False, spin=False)]
        return [self._session, *simulated]

    def _some(self, limit: int, session: Session) -> tuple[Dataset, Outputs, Outputs]:
        labels = self._dataset.labels
        rows = data.chosen_rows(labels, len(self._dataset), limit, self._metric)
        part = data.subset(self._dataset, rows, self._metric)
        batch = self._budget.evaluation_batch
        answers = runtime.answers(session, self._judging.contract, part, batch)
        return part, {name: values[rows] for name, values in self._reference.items()}, answers

    def _smoke(self, result: dict[str, Any]) -> str | None:
        del result
        _, expected, answers = self._some(self._budget.smoke_samples, self._session)
        for name, values in expected.items():
            got = answers[name]
            if got.shape != values.shape or got.dtype.kind != values.dtype.kind:
                return (
                    f"output '{name}' has shape {list(got.shape)} instead of {list(values.shape)}"
                )
            if got.dtype.kind == "f" and np.isfinite(values).all() and not np.isfinite(got).all():
                return f"output '{name}' holds values that are not finite"
        return None

    def _fidelity(self, result: dict[str, Any]) -> str | None:
        share = int(len(self._dataset) * self._budget.fidelity_share)
        limit = max(self._budget.fidelity_samples, share)
        for session in self._sessions():
            part, expected, answers = self._some(limit, session)
            result["fidelity"] = fidelity.fidelity(expected, answers)
            found = self._verdict(part, expected, answers)
            if found.hopeless:
                result["gate"] = found.to_json()
                return self._outside(found)
        return None

    def _look(self, result: dict[str, Any]) -> str | None:
        ratio = self._quick_ratio()
        result["lookSpeedup"] = ratio
        if ratio * LOOK_MARGIN < self._judging.min_speedup:
            return f"x{ratio:.2f} of the original's speed in a quick look"
        return None

    def _quick_ratio(self) -> float:
        judging = self._judging
        models = [Executable(Path(judging.original)), self._model]
        rivals = [engine.load(model, judging.threads) for model in models]
        feed = runtime.feed(judging.contract, self._dataset.arrays, slice(0, 1))
        spent: list[list[float]] = [[], []]
        seconds = self._budget.look_seconds / _LOOK_BURSTS / len(rivals)
        for _ in range(_LOOK_BURSTS):
            for rival, times in zip(rivals, spent, strict=True):
                times.append(median(burst(rival, feed, seconds)[0]))
        return median(spent[0][1:]) / median(spent[1][1:])

    def _full(self, result: dict[str, Any]) -> str | None:
        verdicts = []
        for session in self._sessions():
            batch = self._budget.evaluation_batch
            answers = runtime.answers(session, self._judging.contract, self._dataset, batch)
            if session is self._session:
                save_answers(answers, self._model.file.parent / "answers")
            result["fidelity"] = fidelity.fidelity(self._reference, answers)
            verdicts.append(self._verdict(self._dataset, self._reference, answers))
        worst = max(verdicts, key=lambda found: (len(found.failed), found.upper))
        result["gate"] = worst.to_json()
        return None if worst.passes else self._outside(worst)

    def _verdict(self, part: Dataset, reference: Outputs, answers: Outputs) -> Verdict:
        judging = self._judging
        both = [reference, answers]
        before, after = judged(judging, part, reference, both, Path.cwd())
        labels = part.labels if judging.labelled else None
        return verdict.judge(judging.traits, before, after, judging.demands, labels)

    def _outside(self, found: Verdict) -> str:
        return verdict.explained(self._judging.traits, found, self._judging.demands)


def burst(
    session: Session, feed: Outputs, seconds: float, least: int = 3
) -> tuple[list[float], list[float]]:
    """CPU and wall seconds of each call for that long, `least` calls at least."""
    cpu: list[float] = []
    wall: list[float] = []
    end = time.perf_counter() + seconds
    while len(wall) < least or time.perf_counter() < end:
        started, used = time.perf_counter(), time.process_time()
        session.run(None, feed)
        cpu.append(time.process_time() - used)
        wall.append(time.perf_counter() - started)
    return cpu, wall
