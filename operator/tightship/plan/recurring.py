"""Jobs that come again while a model is served: looks at its source, evaluations of its artifact.

They take the slots of intakes that no intake waits for, looks first. Nothing is evaluated while a
conversion is wanted: its Job, where one runs, is not needed any more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tightship.api.conditions import ConditionStatus
from tightship.plan import figures, inputs, reevaluation, refresh
from tightship.plan.snapshot import JobKind, JobState
from tightship.plan.work import Work, spec_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tightship.plan.checks import Check
    from tightship.plan.figures import Artifact
    from tightship.plan.memo import Memo
    from tightship.plan.outcome import Outcome
    from tightship.plan.reevaluation import Evaluation
    from tightship.plan.refresh import Look
    from tightship.plan.remembered import Parts
    from tightship.plan.snapshot import JobFact, ModelFact

KINDS = (JobKind.REFRESH, JobKind.EVALUATE)
"""In the order in which they begin."""


class Recurring:
    """What is known of the recurring Jobs of a pool's models, and which of them are due."""

    def __init__(
        self,
        jobs: Mapping[tuple[JobKind, str], JobFact],
        retries: int,
        now: float,
        memo: Memo,
    ) -> None:
        self._jobs = jobs
        self._retries = retries
        self._now = now
        self._memo = memo
        self._evaluations: dict[str, Evaluation] = {}
        self._artifacts: dict[str, Artifact] = {}  # by the inputs of their evaluations
        self.looks: dict[str, Look] = {}
        self.needed: set[tuple[JobKind, str]] = set()
        self.wake: float | None = None

    def look(self, name: str, model: ModelFact) -> None:
        """The model's inputs, whose hash is `name`, may change."""
        if not refresh.is_watched(spec_of(model)):
            return
        intake, again = (self._jobs.get((kind, name)) for kind in (JobKind.INTAKE, JobKind.REFRESH))
        look = self._memo.of(model.name, refresh.last_look, model, name, intake, again)
        self.looks[model.name] = look
        self._need(JobKind.REFRESH, look)

    def evaluate(self, name: str, model: ModelFact, parts: Parts) -> None:
        """The model is converted: `parts` tell its artifact, `name` is its inputs' hash."""
        if spec_of(model).monitoring.schedule is None:
            return
        artifact = self._memo.of(model.name, figures.read_artifact, *parts)
        if artifact is None:
            return
        work = self._memo.of(model.name, inputs.evaluation_hash, name, artifact.digest)
        job = self._jobs.get((JobKind.EVALUATE, work))
        last = reevaluation.last_evaluation
        evaluation = self._memo.of(model.name, last, model, work, parts[1], job)
        self._evaluations[model.name] = evaluation
        self._artifacts[work] = artifact
        self._need(JobKind.EVALUATE, evaluation)

    def due(self, models: Iterable[ModelFact], outcomes: Mapping[str, Outcome]) -> list[Work]:
        """Work that is due, in the order in which it begins; `wake` is when there is more of it."""
        works: dict[tuple[JobKind, str], Work] = {}
        for model in models:
            for kind, check, time in self._turns(model, outcomes[model.name]):
                if self._now < time:
                    self.wake = min(time, self.wake or time)
                    continue
                name = (kind, check.inputs)
                found = Work(kind=kind, name=check.inputs, intake=None)
                work = works.setdefault(name, found)
                work.job, work.artifact = self._jobs.get(name), self._artifacts.get(check.inputs)
                work.users.append(model)
        return sorted(works.values(), key=lambda work: (KINDS.index(work.kind), work.order))

    def _turns(
        self, model: ModelFact, outcome: Outcome
    ) -> Iterator[tuple[JobKind, Check[Any], float]]:
        """What the model has another look or evaluation of, and when; not before a Job is told."""
        look, evaluation = self.looks.get(model.name), self._evaluations.get(model.name)
        settled = outcome.condition.status is not ConditionStatus.UNKNOWN
        if look and settled and not look.news:
            interval = spec_of(model).model.refresh_interval
            yield JobKind.REFRESH, look, refresh.due(look, interval, self._retries)
        schedule = spec_of(model).monitoring.schedule
        if evaluation and schedule and not evaluation.news:
            due = self._memo.of(model.name, reevaluation.due, evaluation, schedule, self._retries)
            yield JobKind.EVALUATE, evaluation, due

    def told(self, model: ModelFact, outcome: Outcome) -> Outcome:
        """The outcome with `refresh` and `evaluation`."""
        look, evaluation = self.looks.get(model.name), self._evaluations.get(model.name)
        if look is None and spec_of(model).monitoring.schedule is None:
            return outcome
        return self._memo.of(model.name, _told, model, outcome, look, evaluation)

    def _need(self, kind: JobKind, check: Check[Any]) -> None:
        """A Job that has told everybody is not needed."""
        job = self._jobs.get((kind, check.inputs))
        if job and (check.news or job.state is not JobState.SUCCEEDED):
            self.needed.add((kind, check.inputs))


def _told(
    model: ModelFact, outcome: Outcome, look: Look | None, evaluation: Evaluation | None
) -> Outcome:
    """While there is no artifact of the present spec, what is told of the former one stays."""
    told = model.status.get("evaluation") if outcome.artifact else None
    if evaluation is not None:
        told = reevaluation.told(evaluation, model)
    elif spec_of(model).monitoring.schedule is None:
        told = None
    return replace(outcome, refresh=look.to_json() if look else None, evaluation=told)
