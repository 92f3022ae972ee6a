"""Carrying out a plan: its actions in their order; what fails does not stop the rest."""

import asyncio
import itertools
import logging
import time
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from tightship.controller import subjects
from tightship.controller.servers import AgentError
from tightship.controller.steps import Hands, Steps, TakenError
from tightship.kube.apply import Outcome
from tightship.kube.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    KubeError,
    NotLeaderError,
    UnavailableError,
)
from tightship.kube.store import PoolKey
from tightship.plan import actions
from tightship.plan.actions import Action, Owner

_log = logging.getLogger(__name__)

_AT_ONCE = 12
_TELL_AT_ONCE = 4  # so many statuses news may have to wait for
_TELL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one action."""

    action: Action
    outcome: Outcome | None
    error: Exception | None = None


class Executor:
    """Carries out actions in their order; those of a stage that follow each other go at once."""

    def __init__(self, hands: Hands) -> None:
        self._do = hands
        self._steps = Steps(hands)
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def carry_out(self, pool: PoolKey, wanted: Sequence[Action], news: int) -> list[Result]:
        """Carry out a plan; what became of all actions that were not fulfilled before.

        It stops early where the API server is gone or leadership is lost. Statuses and events stop
        as well when they take long and something newer than `news` has come in: the next plan
        would say something else in them.
        """
        results: list[Result] = []
        keys: set[Hashable] = set()
        for stage, group in itertools.groupby(wanted, key=_stage_of):
            members = [(subjects.key(action), action) for action in group]
            keys.update(key for key, _ in members)
            if stage is actions.ApplyConvertJob and _unlisted(results):
                continue
            done = await self._stage(pool, self._open(pool, members), news)
            results += done
            if any(isinstance(r.error, UnavailableError | NotLeaderError) for r in done):
                return results
        self._do.memory.keep(pool, keys)
        return results

    async def _stage(self, pool: PoolKey, members: list[Action], news: int) -> list[Result]:
        """One stage; what does not merely tell is always carried out whole."""
        results: list[Result] = []
        began = time.monotonic()
        telling = bool(members) and isinstance(members[0], _TELLING)
        size = _TELL_AT_ONCE if telling else len(members)
        for start in range(0, len(members), max(1, size)):
            part = members[start : start + size]
            results += await asyncio.gather(*(self._attempt(pool, action) for action in part))
            late = time.monotonic() - began > _TELL_SECONDS
            if late and telling and self._do.news(pool) > news:
                break
        return results

    def _open(self, pool: PoolKey, members: list[tuple[Hashable, Action]]) -> list[Action]:
        """Those that were not fulfilled before."""
        found, skipped = [], Counter[type]()
        for key, action in members:
            if self._do.memory.fulfilled(pool, key, action):
                skipped[type(action)] += 1
            else:
                found.append(action)
        for kind, count in skipped.items():
            self._do.telemetry.skipped.labels(kind.__name__).inc(count)
        return found

    async def _attempt(self, pool: PoolKey, action: Action) -> Result:
        try:
            async with self._slots:
                outcome = await self._steps.take(pool, action)
        except (KubeError, AgentError, TakenError) as error:
            await self._failed(pool, action, error)
            return Result(action, None, error)
        except Exception as error:  # noqa: BLE001 (a defect of one action must not stop the rest)
            _log.exception("an action broke", extra={"pool": pool, "action": type(action).__name__})
            self._count(action, error)
            return Result(action, None, error)
        if outcome is Outcome.WRITTEN:
            _log.info(subjects.describe(action), extra={"pool": pool, **subjects.about(action)})
        self._do.telemetry.decisions.labels(type(action).__name__, outcome.value).inc()
        return Result(action, outcome)

    async def _failed(self, pool: PoolKey, action: Action, error: Exception) -> None:
        self._count(action, error)
        _log.warning("an action failed: %s", error, extra={"pool": pool, **subjects.about(action)})
        owner = getattr(action, "owner", None)
        told = isinstance(error, InvalidError | ForbiddenError | ConflictError | TakenError)
        if isinstance(owner, Owner) and told:
            await self._do.events.record(
                subjects.reference(pool, owner),
                kind="Warning",
                reason="ApplyFailed",
                message=f"{subjects.describe(action)}: {error}",
                action="Apply",
            )

    def _count(self, action: Action, error: Exception) -> None:
        kind = type(error).__name__.removesuffix("Error")
        self._do.telemetry.failures.labels(type(action).__name__, kind).inc()


_TELLING = (actions.ApplyModelStatus, actions.ApplyPoolStatus, actions.RecordEvent)
_STAGES: dict[type, type] = {
    **dict.fromkeys(_TELLING, actions.RecordEvent),
    actions.PutAssignment: actions.RouteServer,  # each follows from what was seen, not from another
}


def _stage_of(action: Action) -> type:
    """Actions of one stage do not depend on each other."""
    kind = type(action)
    return _STAGES.get(kind, kind)


def _unlisted(results: Sequence[Result]) -> bool:
    """A conversion may find its artifact in the store; the clean-up has to know of it before."""
    return any(isinstance(r.action, actions.ApplySweep) and r.error for r in results)
