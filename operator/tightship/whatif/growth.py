"""What breaks first: how far the load may grow, on the servers in use and on all that may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tightship.plan.pack import Reason
from tightship.whatif import packed

if TYPE_CHECKING:
    from tightship.plan.pack import Plan, Wait
    from tightship.whatif.question import Question

PERCENTILE = 99
FACTOR_MAX = 64.0
"""Growth that is looked at; what holds there has no limit worth telling."""

_FACTOR_MIN = 1 / 64
_PRECISION = 1.01  # two factors as near as this are told as one


class Resource(StrEnum):
    """What is short when a plan breaks."""

    MEMORY = "memory"
    TIME = "time"  # duty, or the wait that neighbours cause
    COPIES = "copies"  # the model may have no more
    LATENCY = "latency"  # no number of copies makes one request fast enough
    DEVICE = "device"  # no server suits the model


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How far the load may grow on so many servers.

    `factor` multiplies all rates and still holds: below 1 the load of the question is too much
    already, 0 where even almost none is, None beyond FACTOR_MAX. `model` is the first that would
    wait or miss its objective above it, for want of `resource`.
    """

    servers: int
    factor: float | None
    model: str | None
    resource: Resource | None
    told: str


def limits(question: Question, used: int) -> tuple[Limit, ...]:
    """The limit of the servers in use, and that of all that the pool may have where it is more.

    Factors are exact to 1 %. Models are packed anew at each of them, so it is not said that nothing
    moves; packing is a heuristic, and a somewhat larger factor may hold again.
    """
    counts = sorted({min(used, question.server_limit), question.server_limit})
    return tuple(limit(question.afresh(count)) for count in counts)


def limit(question: Question) -> Limit:
    """The limit of a question with its number of servers."""
    holds, breaks, failed = _bracket(question)
    if failed is None:
        return Limit(servers=question.server_limit, factor=None, model=None, resource=None, told="")
    while holds > 0 and breaks / holds > _PRECISION:
        middle = math.sqrt(holds * breaks)
        plan = packed.plan(question.loaded(middle))
        if _first(question, plan) is None:
            holds = middle
        else:
            breaks, failed = middle, plan
    wait = _first(question, failed)
    return Limit(
        servers=question.server_limit,
        factor=holds,
        model=wait.model if wait else None,
        resource=_resource(question, failed, wait) if wait else None,
        told=wait.told if wait else "",
    )


def _bracket(question: Question) -> tuple[float, float, Plan | None]:
    """A factor that holds, one that does not and its plan; None where none was found."""
    plan = packed.plan(question)
    if _first(question, plan) is None:
        factor = 1.0
        while factor < FACTOR_MAX:
            more = packed.plan(question.loaded(2 * factor))
            if _first(question, more) is not None:
                return factor, 2 * factor, more
            factor *= 2
        return factor, math.inf, None
    factor = 1.0
    while factor > _FACTOR_MIN:
        less = packed.plan(question.loaded(factor / 2))
        if _first(question, less) is None:
            return factor / 2, factor, plan
        factor, plan = factor / 2, less
    return 0.0, factor, plan


def _first(question: Question, plan: Plan) -> Wait | None:
    """The most important model that waits or misses its objective."""
    priority = {m.name: m.resource.spec.serving.priority for m in question.models}
    waits = sorted(plan.waits, key=lambda wait: (-priority[wait.model], wait.model))
    return waits[0] if waits else None


def _resource(question: Question, plan: Plan, wait: Wait) -> Resource:
    if wait.reason is Reason.NO_SUITABLE_DEVICE:
        return Resource.DEVICE
    if wait.reason is Reason.TOO_FEW_COPIES:
        return Resource.COPIES
    if wait.reason is Reason.OBJECTIVE_UNREACHABLE:
        return Resource.LATENCY
    memory = {m.name: m.cost.profile.memory for m in question.models}
    wanted = sum(setting.copies * memory[name] for name, setting in plan.settings.items())
    kind = question.fleet()[question.pool.name]
    return Resource.MEMORY if wanted > kind.memory * question.server_limit else Resource.TIME
