"""Notices models that have stopped answering: when to doubt one, and how often it is loaded again.

Triton goes on calling a model ready whose process has died; only its counters tell. They are read
at an interval, and a model is asked for an answer only when requests to it have failed.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from tightship.agent.journal import Served
from tightship.agent.slot import Slot
from tightship.api.agent import ModelAssignment
from tightship.triton.client import TritonClient
from tightship.triton.errors import TritonError, TritonUnreachableError
from tightship.triton.metrics import parse

_LOOK_SECONDS = 2.0
_ASK_SECONDS = 10.0
_PAUSE_FIRST = 2.0
_PAUSE_MAX = 32.0
_FAILURES = "nv_inference_request_failure"
_EXECUTIONS = "nv_inference_exec_count"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Triton's counters of one model: requests that its backend failed, executions that went well.

    Requests that Triton itself refuses (shape, type, a full queue) are in neither, and answers from
    the response cache are no executions.
    """

    failures: float
    executions: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is remembered of a model between two looks."""

    failures: float  # of which it is known that they do not matter
    unfounded: int = 0  # questions in a row that the model has answered
    ask_after: float = 0.0  # monotonic seconds; no question before that


def look(before: Watch | None, failures: float, now: float) -> tuple[Watch, bool]:
    """One look at a model's failures; the second value says whether to ask the model now.

    At the first look, and where the count has begun anew, nothing is known of any failure: those
    that came right after the load are not missed, at the price of one question about old ones.
    Failures that a pause holds back are not forgotten: the question follows when it is over.
    """
    if before is None or failures < before.failures:
        before = Watch(failures=0.0)
    if now < before.ask_after:
        return before, False
    if failures == before.failures:
        return Watch(failures=failures), False
    unfounded = before.unfounded + 1
    pause = min(_PAUSE_MAX, _PAUSE_FIRST * 2.0 ** min(unfounded - 1, 30))
    return Watch(failures=failures, unfounded=unfounded, ask_after=now + pause), True


def stands_still(before: Counts, after: Counts) -> bool:
    """Whether a model only failed meanwhile: nothing was computed, and requests failed."""
    return after.failures > before.failures and after.executions <= before.executions


class Watchdog:
    """Looks at all served models, and asks those that fail their clients.

    `ask` gives the reason why a model refuses its golden samples, None when it answers them;
    `crashed` is told of a slot whose served model does not answer, with the reason.
    """

    def __init__(
        self,
        *,
        triton: TritonClient,
        ask: Callable[[ModelAssignment], Awaitable[str | None]],
        crashed: Callable[[Slot, str], None],
    ) -> None:
        self._triton = triton
        self._ask = ask
        self._crashed = crashed
        self._watches: dict[str, Watch] = {}

    async def run(self, slots: Callable[[], Iterable[Slot]]) -> None:
        """Looks again and again until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            served = {slot: slot.served for slot in slots() if slot.served and slot.idle}
            if not served:
                self._watches = {}
                continue
            try:
                await self._look(served)
            except (TritonError, ValueError) as error:
                log.info("the models' counters cannot be read: %s", error)

    async def _look(self, served: Mapping[Slot, Served | None]) -> None:
        """Asks the models whose failures have risen, all at once."""
        counts, now = await self._counts(), time.monotonic()
        watches, doubted = {}, []
        for slot in served:
            if slot.name in counts:
                watch = self._watches.get(slot.name)
                watches[slot.name], ask = look(watch, counts[slot.name].failures, now)
                doubted += [slot] if ask else []
        self._watches = watches
        reasons = await asyncio.gather(*(self._silent(s, counts[s.name]) for s in doubted))
        for slot, reason in zip(doubted, reasons, strict=True):
            if reason and slot.served is served[slot] and slot.idle:
                self._crashed(slot, reason)

    async def _silent(self, slot: Slot, before: Counts) -> str | None:
        """Why a model does not answer; None when it does, and when that cannot be told.

        Behind a dead process the queue is long: a question that is not answered in time counts as
        refused where the model has only failed meanwhile.
        """
        assert slot.served is not None  # noqa: S101 (only served models are looked at)
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                return await self._ask(slot.served.assignment)
        except (TimeoutError, TritonUnreachableError):
            after = (await self._counts()).get(slot.name)
        if after is not None and stands_still(before, after):
            return f"all requests of the last {_ASK_SECONDS:g} s failed"
        log.info("%s: fails requests, and has not answered its golden samples yet", slot.name)
        return None

    async def _counts(self) -> dict[str, Counts]:
        page = parse(await self._triton.metrics(), only=(_FAILURES, _EXECUTIONS))
        failures = page.totals(_FAILURES, by="model", reason="BACKEND")
        executions = page.totals(_EXECUTIONS, by="model")
        return {
            model: Counts(failures=count, executions=executions.get(model, 0.0))
            for model, count in failures.items()
        }
