"""The condition Fresh: whether what is served may still be believed, and when that has to be asked.

It is about knowledge alone: no model is taken out of service for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tightship.api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    known_condition,
    seconds_of,
    timestamp,
)
from tightship.api.failures import Failure
from tightship.plan.refresh import is_watched
from tightship.plan.snapshot import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tightship.plan.outcome import Outcome
    from tightship.plan.snapshot import ModelFact

_FIGURES = frozenset(
    {"evaluationTime", "dataDigest", "samples", "metric", "value", "best", "passed"}
)


def freshness(model: ModelFact, outcome: Outcome, retries: int, now: float) -> Condition | None:
    """What is known; None where neither refreshInterval, maxAge nor a schedule asks.

    `retries` are those of the pool: after so many looks that failed in a row somebody has to act.
    """
    if isinstance(model.spec, InvalidSpec):
        return known_condition(model.status, ConditionType.FRESH)
    age, schedule = model.spec.monitoring.max_age, model.spec.monitoring.schedule
    if age is None and schedule is None and not is_watched(model.spec):
        return None
    if not outcome.artifact:
        return _unknown(Reason.AWAITING_CONVERSION, "Nothing has been converted yet.")
    return (
        _missed(outcome)
        or _old(outcome, age, now)
        or _failing(outcome.refresh, "look at the source and its data", retries)
        or _failing(outcome.evaluation, "evaluation on the data as they are now", retries)
        or _outdated(outcome)
        or _undated(outcome, age)
        or _fresh(outcome, age)
    )


def ages_at(model: ModelFact, outcome: Outcome) -> float | None:
    """When the evaluation of what is served becomes older than it may be."""
    if isinstance(model.spec, InvalidSpec) or model.spec.monitoring.max_age is None:
        return None
    time = evaluated(outcome)
    return None if time is None else time + model.spec.monitoring.max_age


def evaluated(outcome: Outcome) -> float | None:
    """When the metric of what is served was last measured: in the conversion, or since."""
    parts = (outcome.optimization, _result(outcome))
    times = [seconds_of((part or {}).get("evaluationTime")) for part in parts]
    return max((time for time in times if time is not None), default=None)


def _result(outcome: Outcome) -> Mapping[str, Any]:
    """Of the last scheduled evaluation; empty where there was none."""
    found: Mapping[str, Any] = (outcome.evaluation or {}).get("result") or {}
    return found if found.keys() >= _FIGURES else {}


def _missed(outcome: Outcome) -> Condition | None:
    """The present data show that what is served is outside its gate."""
    found = _result(outcome)
    if not found or found["passed"]:
        return None
    fields = " and ".join(found.get("missed", ()))
    message = (
        f"{found['metric']} of what is served is {found['value']} on the evaluation data of "
        f"{found['evaluationTime']} ({found['samples']} samples, sha256 "
        f"{found['dataDigest'][:12]}), in truth no better than {found['best']}, and accuracyGate "
        f"({fields}) lets nothing worse than {found.get('allowed')} pass. It stays as it is. If "
        "the data are right, train the model on data like them and give it as the source; else "
        "correct them."
    )
    return _false(Reason.GATE_FAILED, message)


def _old(outcome: Outcome, age: float | None, now: float) -> Condition | None:
    time = evaluated(outcome)
    if age is None or time is None or now < time + age:
        return None
    message = (
        f"What is served was last evaluated at {timestamp(time)}, more than {age / 3600:g} h ago. "
        "Give newer evaluation data, which converts the model anew, have it evaluated by "
        "monitoring.evaluation, or raise monitoring.maxAge."
    )
    return _false(Reason.TOO_OLD, message)


def _failing(told: Mapping[str, Any] | None, what: str, retries: int) -> Condition | None:
    """The last look or evaluation failed, so nobody knows how things are now."""
    last = told or {}
    if not last.get("failure"):
        return None
    failure = Failure.from_json(last["failure"])
    message = (
        f"The last {what} failed: {failure.message} What is served stays as it is, and the next "
        "one comes by itself."
    )
    again = failure.retryable and int(last.get("attempts", 0)) <= retries
    return (_unknown if again else _false)(failure.reason, message)


def _outdated(outcome: Outcome) -> Condition | None:
    if outcome.condition.status is ConditionStatus.TRUE:
        return None
    message = "What is served is of a former source, data or spec, until the present ones are "
    if outcome.condition.status is ConditionStatus.FALSE:
        return _false(Reason.OUTDATED, f"{message}converted. Converted says what is in the way.")
    return _unknown(Reason.OUTDATED, f"{message}converted. Converted says how far that is.")


def _undated(outcome: Outcome, age: float | None) -> Condition | None:
    if age is None or evaluated(outcome) is not None:
        return None
    message = (
        "Its artifact does not say when it was evaluated, since an older converter made it. Newer "
        "evaluation data, which convert the model anew, end that."
    )
    return _unknown(Reason.NOT_EVALUATED, message)


def _fresh(outcome: Outcome, age: float | None) -> Condition:
    """Without the time of the last look, which would be another message each time."""
    time, found = evaluated(outcome), _result(outcome)
    told = [] if age is None or time is None else [f"It was evaluated at {timestamp(time)}."]
    if found:
        when, value = found["evaluationTime"], f"{found['metric']} was {found['value']}"
        told = [f"At {when} its {value} on {found['samples']} samples: the gate lets it pass."]
    if outcome.refresh:
        told.insert(0, "Source and data are those that it was converted from.")
    message = " ".join(told) or "Nothing newer is known."
    return _condition(ConditionStatus.TRUE, Reason.FRESH, message)


def _condition(status: ConditionStatus, reason: str, message: str) -> Condition:
    return Condition(type=ConditionType.FRESH, status=status, reason=reason, message=message)


def _unknown(reason: str, message: str) -> Condition:
    return _condition(ConditionStatus.UNKNOWN, reason, message)


def _false(reason: str, message: str) -> Condition:
    return _condition(ConditionStatus.FALSE, reason, message)
