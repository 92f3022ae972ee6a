"""Evaluations of what is served, on the data as they are by then: when one is due, what it found.

The conversion has evaluated it too, so its time is the first from which the schedule counts. Times
that were missed are made up for by one evaluation: the next one is after the end of the last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tightship.api.artifact import EvaluationResult
from tightship.api.conditions import seconds_of
from tightship.plan import checks, figures
from tightship.plan.checks import Check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tightship.api.schedule import Schedule
    from tightship.plan.snapshot import JobFact, ModelFact

Evaluation = Check[EvaluationResult]
"""The last evaluation of the artifact on the data that `inputs` is the hash of."""


def last_evaluation(
    model: ModelFact, inputs: str, optimization: Mapping[str, Any], job: JobFact | None
) -> Evaluation:
    """What the model's status and the Job for these inputs tell together."""
    converted = seconds_of(optimization.get("evaluationTime"))
    time = model.created if converted is None else converted
    first = Evaluation(inputs=inputs, time=time, known=False)
    before = checks.remembered(model.status.get("evaluation"), inputs, first)
    return checks.learned(before, job, EvaluationResult)


def due(evaluation: Evaluation, schedule: Schedule, retries: int) -> float:
    """When to evaluate again: as the schedule says, or earlier where a retry may help."""
    return evaluation.due(schedule.after(evaluation.time), retries)


def told(evaluation: Evaluation, model: ModelFact) -> dict[str, Any] | None:
    """`status.evaluation`: an evaluation that failed leaves the result of the one before."""
    own = evaluation.to_json()
    if own is None:
        return None
    before = model.status.get("evaluation") or {}
    result = before.get("result") if before.get("inputs") == evaluation.inputs else None
    if evaluation.found is not None:
        result = figures.evaluation_json(evaluation.found)
    return {**own, "result": result} if result else own
