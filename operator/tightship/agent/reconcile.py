"""Carries out the assignment, level-triggered: a task for each model, and one eye on Triton."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from tightship.agent.artifacts import ArtifactCache
from tightship.agent.capacity import Capacity
from tightship.agent.failures import LOAD_FAILED, NO_MEMORY, LoadingError, pause
from tightship.agent.journal import Journal, Served
from tightship.agent.life import TritonLife
from tightship.agent.loader import Loader
from tightship.agent.metrics import Telemetry
from tightship.agent.slot import Slot, SupersededError
from tightship.agent.state_changes import StateChanges
from tightship.agent.watchdog import Watchdog
from tightship.api.agent import AssignmentRequest, ServerState
from tightship.api.failures import MODEL_CRASHED
from tightship.triton.client import READY, TritonClient
from tightship.triton.errors import TritonError
from tightship.triton.memory import ServerProcess

_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


class Reconciler:
    """The server's models: what is assigned, what is held, and the way between."""

    def __init__(
        self,
        *,
        journal: Journal,
        loader: Loader,
        cache: ArtifactCache,
        capacity: Capacity,
        triton: TritonClient,
        process: Callable[[], ServerProcess | None],
        telemetry: Telemetry,
        restore_seconds: float,
    ) -> None:
        self._journal = journal
        self._loader = loader
        self._cache = cache
        self._capacity = capacity
        self._triton = triton
        self._process = process
        self._telemetry = telemetry
        self._watchdog = Watchdog(triton=triton, ask=loader.ask, crashed=self._crashed)
        self._life = TritonLife(restore_seconds)
        self.changes = StateChanges(self.state)
        self._slots: dict[str, Slot] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._earlier = {s.assignment.name: s for s in journal.record.verified}
        self._restoring = set(self._earlier)
        self._doubted: dict[str, Served] = {}  # verified in a Triton that is gone

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            self._adjust()
            self._tasks.create_task(self._watchdog.run(self._slots.values))
            while True:
                await self._look()
                await asyncio.sleep(_LOOK_SECONDS)

    def assign(self, request: AssignmentRequest) -> None:
        """Takes over a new assignment; the caller has compared fence and etag.

        Raises:
            OSError: it cannot be written down; the old one stays in force.
        """
        self._journal.write(fence=request.fence, assignment=request.assignment)
        self._adjust()
        self.changes.notify()

    def state(self) -> ServerState:
        """The server as the API shows it."""
        record = self._journal.record
        return ServerState(
            etag=record.assignment.etag,
            assignment=record.assignment,
            fence=record.fence,
            ready=self.waiting_for() is None,
            triton_live=self._life.live.is_set(),
            models=tuple(slot.view() for _, slot in sorted(self._slots.items())),
            memory_used=self._capacity.used,
            memory_limit=self._capacity.limit,
            restarts=record.restarts,
        )

    def slots(self) -> Iterable[Slot]:
        """The models of this server."""
        return self._slots.values()

    def waiting_for(self) -> str | None:
        """Why the server is not ready, without model names; None when it is."""
        if not self._life.live.is_set():
            return f"waiting for Triton to be live: {self._life.trouble or 'not asked yet'}"
        if self._restoring and self._life.restoring:
            return f"waiting for {len(self._restoring)} models that were verified before"
        return None

    def _adjust(self) -> None:
        """Gives each slot its wish, and each new model a slot with its task."""
        if self._tasks is None:
            return
        assigned = {model.name: model for model in self._journal.record.assignment.models}
        for name in assigned.keys() - self._slots.keys():
            self._slots[name] = Slot(name, self.changes.notify)
            self._tasks.create_task(self._carry(self._slots[name]))
        for name, slot in self._slots.items():
            wanted = assigned.get(name)
            if slot.wanted != wanted:
                slot.want(wanted)
        self._restoring &= assigned.keys()

    async def _carry(self, slot: Slot) -> None:
        """Brings one model to what is wanted, again and again, until it is not wanted and gone."""
        while True:
            slot.wake.clear()
            await self._life.live.wait()
            if slot.wanted is not None and slot.converged:
                await slot.wake.wait()
                continue
            rest = slot.rest(time.monotonic()) or await self._attempt(slot)
            self._remember(slot)
            if slot.wanted is None and slot.served is None and rest == 0:
                del self._slots[slot.name]
                self.changes.notify()
                return
            try:
                async with asyncio.timeout(rest):
                    await slot.wake.wait()
            except TimeoutError:
                continue

    async def _attempt(self, slot: Slot) -> float | None:
        """One attempt; the pause before the next, None for ever."""
        slot.busy = True
        try:
            await self._step(slot)
        except SupersededError:
            return 0
        except LoadingError as error:
            slot.failed(error.failure)
        except TritonError as error:
            log.warning("%s: %s", slot.name, error)
            return _RETRY_SECONDS
        except Exception as error:  # one model's trouble must not take the others down
            log.exception("%s: unexpected error", slot.name)
            message = f"the agent failed unexpectedly ({type(error).__name__}); its log says more"
            slot.failed(LoadingError(LOAD_FAILED, message).failure)
        else:
            self._wake_refused()
            return 0
        finally:
            slot.busy = False
        assert slot.failure is not None  # noqa: S101 (both branches above have set it)
        log.warning("%s: %s: %s", slot.name, slot.failure.reason, slot.failure.message)
        self._telemetry.failed(slot.failure.reason)
        rest = pause(slot.failure, slot.attempts)
        if rest is None:
            self._restored(slot.name)
        return rest

    async def _step(self, slot: Slot) -> None:
        wanted = slot.wanted
        if wanted is None:
            self._earlier.pop(slot.name, None)
            await self._loader.take_down(slot)
        elif slot.served is None:
            earlier = self._earlier.get(slot.name)
            if earlier is None or not await self._loader.adopt(slot, earlier):
                await self._loader.bring_up(slot, slot.next or wanted)
                self._telemetry.loaded(slot.served)
            self._earlier.pop(slot.name, None)
        else:
            await self._loader.swap(slot, wanted)
            self._telemetry.loaded(slot.served)

    def _remember(self, slot: Slot) -> None:
        """Writes down what is verified now, and makes room on disk."""
        if slot.served is not None:
            self._restored(slot.name)
        verified = {s.name: s.served for s in self._slots.values() if s.served is not None}
        kept: dict[str, Served] = {**self._unverified_yet(), **verified}
        self._note(verified=tuple(kept[name] for name in sorted(kept)))

    def _note(self, **changes: Any) -> None:  # noqa: ANN401 (fields of the journal's record)
        """Writes into the journal and trims the disk; a full disk must not stop the reconciling."""
        try:
            self._journal.write(**changes)
            self._cache.trim(self._journal.needed())
        except OSError as error:
            log.error("the journal cannot be written: %s", error)  # noqa: TRY400 (says it all)

    def _unverified_yet(self) -> dict[str, Served]:
        """Models that were verified before, are wanted, and are on their way back."""
        before = {s.assignment.name: s for s in self._journal.record.verified}
        return {name: before[name] for name in self._restoring if name in before}

    def _restored(self, name: str) -> None:
        self._restoring.discard(name)
        self.changes.notify()

    def _wake_refused(self) -> None:
        """Something has changed in memory: who was refused for it may try again."""
        for slot in self._slots.values():
            if slot.failure is not None and slot.failure.reason in (NO_MEMORY, MODEL_CRASHED):
                slot.wake.set()

    async def _look(self) -> None:
        """Compares what Triton says it serves with what is believed, and acts on a new Triton."""
        candidates = [s for s in self._slots.values() if s.served is not None and not s.busy]
        process = self._process()
        try:
            index = await self._triton.index()
        except TritonError as error:
            self._gone(error)
            return
        ready = {entry.name for entry in index if entry.state == READY}
        ended = {entry.name: entry.state.lower() for entry in index if entry.state}
        if self._life.answered(process):
            self._started_anew()
        for slot in candidates:
            if slot.busy:
                continue
            doubted = self._doubted.pop(slot.name, None)
            if doubted is not None and doubted is slot.served:
                await self._lost(slot, "Triton has started anew")
            elif slot.name in ready:
                continue
            elif slot.name in ended:
                self._crashed(slot, f"Triton lists it as {ended[slot.name]}")
            else:
                await self._lost(slot, "Triton does not serve it any more")
        if not self._life.live.is_set():
            await self._welcome()

    def _started_anew(self) -> None:
        """Counts it; what the former Triton served or refused for good is judged in this one."""
        self._note(restarts=self._journal.record.restarts + 1)
        for slot in self._slots.values():
            if slot.served is not None:
                self._doubted[slot.name] = slot.served
            elif not slot.busy:
                slot.again()

    async def _welcome(self) -> None:
        """Cleans up behind an earlier life and lets the models' tasks go on."""
        try:
            await self._loader.sweep(keep=self._slots.keys())
        except TritonError as error:
            self._gone(error)
            return
        self._life.welcome()
        self.changes.notify()

    async def _lost(self, slot: Slot, why: str) -> None:
        """Begins its way back: what Triton has loaded by itself is verified, the rest is loaded."""
        if slot.served is None:
            return
        log.warning("%s: %s; it is brought back", slot.name, why)
        self._earlier[slot.name] = slot.served
        self._restoring.add(slot.name)
        await self._capacity.release(slot.name)
        slot.lost()

    def _crashed(self, slot: Slot, reason: str) -> None:
        """Takes one model out of service that Triton has, but that does not answer.

        Its memory stays taken, so that its way back is not barred, and the server stays ready.
        """
        slot.crashed(reason, time.monotonic())
        log.warning("%s: it does not answer any more, and is loaded again: %s", slot.name, reason)
        self._telemetry.crashed()
        self._telemetry.failed(MODEL_CRASHED)

    def _gone(self, error: TritonError) -> None:
        if self._life.gone(error):
            self.changes.notify()
        if self._life.overdue:
            self._loader.clear()
