"""One model on this server: what is wanted, what is served, and where the way between them is."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Coroutine
from dataclasses import asdict, replace
from typing import Any, TypeVar

from tightship.agent.failures import Crashes
from tightship.agent.journal import Served
from tightship.api.agent import DriftReport, HeldModel, LoadState, ModelAssignment
from tightship.api.failures import Failure
from tightship.api.traffic import Traffic

STAGING_SUFFIX = "__staging"  # no model of a user can bear it: underscores are not allowed there


def identity(assignment: ModelAssignment) -> str:
    """What a served model is: its bytes and its serving settings, as one path component."""
    config = json.dumps(asdict(assignment.config), sort_keys=True).encode()
    return f"{assignment.digest[:32]}-{hashlib.sha256(config).hexdigest()[:8]}"


T = TypeVar("T")


class SupersededError(Exception):
    """What was being fetched or waited for is not wanted any more."""


class Slot:
    """The state of one model; every change of it wakes who waits for the server's state."""

    def __init__(self, name: str, changed: Callable[[], None]) -> None:
        self.name = name
        self.wanted: ModelAssignment | None = None
        self.served: Served | None = None
        self.busy = False
        self.attempts = 0
        self.failure: Failure | None = None
        self.crashes = Crashes()
        self.owed: ModelAssignment | None = None  # what crashed, until something is served again
        self.drift: DriftReport | None = None  # of what is served, where its requests are sampled
        self.traffic: Traffic | None = None  # of what is served, once it was watched long enough
        self.wake = asyncio.Event()
        self._step = LoadState.PENDING
        self._changed = changed
        self._interruptible: asyncio.Task[Any] | None = None

    @property
    def converged(self) -> bool:
        """Whether what is served is what is wanted."""
        if self.wanted is None or self.served is None:
            return self.wanted is None and self.served is None
        return identity(self.served.assignment) == identity(self.wanted)

    @property
    def idle(self) -> bool:
        """Whether nothing is done in Triton for it: no attempt, or one that fetches or waits."""
        return not self.busy or self._interruptible is not None

    @property
    def next(self) -> ModelAssignment | None:
        """What to load where nothing is served: in turn what crashed and what is wanted."""
        return self.owed if self.owed is not None and self.attempts % 2 == 0 else self.wanted

    def rest(self, now: float) -> float:
        """Seconds until what crashed may be loaded again; 0 where nothing holds it back."""
        return 0.0 if self.owed is None or self.wanted is None else self.crashes.rest(now)

    def want(self, wanted: ModelAssignment | None) -> None:
        """Takes a new wish; the failures of an old one are forgotten."""
        old, self.wanted = self.wanted, wanted
        if old is None or wanted is None or identity(old) != identity(wanted):
            self._forget()
            self._cut_short()
        self.wake.set()
        self._changed()

    async def unless_superseded(self, work: Coroutine[Any, Any, T]) -> T:
        """Awaits work that a changed wish cuts short.

        Raises:
            SupersededError: something else is wanted now.
        """
        task = asyncio.create_task(work)
        self._interruptible = task
        try:
            return await task
        except asyncio.CancelledError as error:
            if error.args == (SupersededError.__name__,):
                raise SupersededError from None
            task.cancel()
            raise
        finally:
            self._interruptible = None

    def enter(self, step: LoadState) -> None:
        """Notes a step on the way to what is wanted."""
        self._step = step
        self._changed()

    def reached(self, served: Served | None) -> None:
        """Notes what Triton serves now, verified."""
        self.served = served
        if served is not None and (self.converged or self.owed is not None):
            self.attempts, self.failure, self.owed = 0, None, None
            self._step = LoadState.LOADED if self.converged else LoadState.PENDING
        self._changed()

    def failed(self, failure: Failure) -> None:
        """Notes that the way ended in a failure; the way back of what crashed is tried again."""
        self.attempts += 1
        self.failure = failure if self.owed is None else self.crashes.unhealed(failure)
        self._step = LoadState.FAILED
        self._changed()

    def lost(self) -> None:
        """Notes that Triton does not serve the model any more; failures before that are history."""
        self.served = None
        self.again()

    def again(self) -> None:
        """Forgets all failures, and wakes the way to what is wanted."""
        self._forget()
        self.wake.set()
        self._changed()

    def crashed(self, reason: str, now: float) -> None:
        """Notes that what is served has stopped answering; it is owed, after the crashes' pause."""
        if self.served is None:
            raise ValueError(f"nothing is served as '{self.name}' that could stop answering")
        self.owed, self.served = self.served.assignment, None
        self.crashes = self.crashes.another(now)
        self.attempts, self.failure = 0, self.crashes.failure(reason)
        self._step = LoadState.FAILED if self.crashes.pause else LoadState.LOADING
        self._cut_short()
        self.wake.set()
        self._changed()

    def sampled(self, report: DriftReport | None) -> None:
        """Notes what sampled requests show."""
        if report != self.drift:
            self.drift = report
            self._changed()

    def observed(self, traffic: Traffic | None) -> None:
        """Notes what clients ask of it."""
        if traffic != self.traffic:
            self.traffic = traffic
            self._changed()

    def view(self) -> HeldModel:
        """The model as the API shows it."""
        served = self.served
        if self.wanted is None:
            return HeldModel(name=self.name, state=LoadState.UNLOADING)
        if served is None:
            wanted = self.next or self.wanted
            target = None if self._step is LoadState.PENDING else wanted.digest
            return HeldModel(
                name=self.name,
                state=self._step,
                target_digest=target,
                target_state=self._step if target else None,
                failure=self.failure,
            )
        loaded = HeldModel(
            name=self.name,
            state=LoadState.LOADED,
            digest=served.assignment.digest,
            config=served.assignment.config,
            memory=served.memory,
            load_seconds=served.load_seconds,
            drift=self.drift,
            traffic=self.traffic,
        )
        if self.converged:
            return loaded
        return replace(
            loaded,
            target_digest=self.wanted.digest,
            target_state=self._step,
            failure=self.failure,
        )

    def _forget(self) -> None:
        self.attempts, self.failure, self._step = 0, None, LoadState.PENDING
        self.crashes, self.owed = Crashes(), None

    def _cut_short(self) -> None:
        """Ends fetching and waiting for what was wanted until now."""
        if self._interruptible is not None:
            self._interruptible.cancel(SupersededError.__name__)
