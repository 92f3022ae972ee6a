"""What breaks first: how far the load may grow, on the servers in use and on all that may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tightship.plan.pack import Reason
from tightship.whatif import packed
from tightship.whatif.question import SERVERS_MAX

if TYPE_CHECKING:
    from tightship.plan.pack import Plan, Wait
    from tightship.whatif.question import Question

PERCENTILE = 99
FACTOR_MAX = 64.0
"""Growth that is looked at; what holds there has no limit worth telling."""

_FACTOR_MIN = 1 / 64
_STEP = 1.08  # from a guess to its first neighbour; each further step is the square of the last
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
    growth = _Growth(question)
    counts = sorted({min(used, question.server_limit), question.server_limit})
    return tuple(_limit(question, count, growth) for count in counts)


class _Growth:
    """Whether so many servers hold the load at a factor."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._many: dict[float, Plan] = {}

    def holds(self, factor: float, servers: int) -> bool:
        """Whether no model waits or misses its objective, on servers without number first.

        That is told sooner where the load is too much; now and then a plan is found on few servers
        where the one on many takes more, so that a limit is looked for further up.
        """
        many = self._on_many(factor)
        few = not many.waits and len(many.devices) <= servers
        return few and not self.plan(factor, servers).waits

    def plan(self, factor: float, servers: int) -> Plan:
        """The plan of the load at a factor on at most so many servers."""
        return packed.plan(self._question.afresh(servers).loaded(factor))

    def bracket(self, servers: int) -> tuple[float, float]:
        """A factor that holds and one that does not; 0 or infinite where none is worth telling."""
        low = high = self._guess(servers)
        step = _STEP
        if self.holds(low, servers):
            while low < FACTOR_MAX:
                high = min(low * step, FACTOR_MAX)
                if not self.holds(high, servers):
                    return low, high
                low, step = high, step**2
            return low, math.inf
        while high > _FACTOR_MIN:
            low = max(high / step, _FACTOR_MIN)
            if self.holds(low, servers):
                return low, high
            high, step = low, step**2
        return 0.0, high

    def _guess(self, servers: int) -> float:
        """Where the limit is if servers follow the load."""
        needed = len(self._on_many(1.0).devices)
        return min(max(servers / max(1, needed), _FACTOR_MIN), FACTOR_MAX)

    def _on_many(self, factor: float) -> Plan:
        if factor not in self._many:
            self._many[factor] = self.plan(factor, SERVERS_MAX)
        return self._many[factor]


def _limit(question: Question, servers: int, growth: _Growth) -> Limit:
    holds, breaks = growth.bracket(servers)
    if math.isinf(breaks):
        return Limit(servers=servers, factor=None, model=None, resource=None, told="")
    while holds > 0 and breaks / holds > _PRECISION:
        middle = math.sqrt(holds * breaks)
        if growth.holds(middle, servers):
            holds = middle
        else:
            breaks = middle
    while not (failed := growth.plan(breaks, servers)).waits:
        holds, breaks = breaks, breaks * _PRECISION
    wait = _first(question, failed)
    return Limit(
        servers=servers,
        factor=holds,
        model=wait.model,
        resource=_resource(question.afresh(servers), failed, wait),
        told=wait.told,
    )


def _first(question: Question, plan: Plan) -> Wait:
    """The most important model that waits or misses its objective."""
    priority = {m.name: m.resource.spec.serving.priority for m in question.models}
    return min(plan.waits, key=lambda wait: (-priority[wait.model], wait.model))


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
