"""Leadership by a Lease: one operator writes, and only while enough of its lease is left."""

import asyncio
import datetime as dt
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from tightship.api import names
from tightship.api.agent import Fence
from tightship.kube.client import Client
from tightship.kube.errors import KubeError, NotFoundError, NotLeaderError
from tightship.kube.resources import LEASES, Object

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """Seconds. A holder renews every `renew`; it stops to write when less than `margin` is left."""

    duration: float = 15.0
    renew: float = 5.0
    retry: float = 2.0
    margin: float = 4.0


@dataclass(frozen=True, slots=True)
class Record:
    """The parts of a Lease that decide who leads."""

    holder: str
    transitions: int
    duration: float
    renewed: str

    @classmethod
    def of(cls, lease: Object) -> Self:
        """Reads a Lease; what is missing means that nobody holds it."""
        spec: dict[str, Any] = lease.get("spec") or {}
        return cls(
            str(spec.get("holderIdentity") or ""),
            int(spec.get("leaseTransitions") or 0),
            float(spec.get("leaseDurationSeconds") or 0),
            str(spec.get("renewTime") or ""),
        )


class Lease:
    """This process's view of the Lease.

    Clocks of other machines are never compared: another holder's lease is over when its record
    has not changed for its duration on our own clock, and ours is counted from before the request
    that renewed it was sent.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        *,
        times: LeaseTimes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._times = times or LeaseTimes()
        self._clock = clock
        self._seen: Record | None = None
        self._seen_at = 0.0
        self._held_until: float | None = None
        self._transitions = 0
        self._counter = 0
        self._bid = 0

    @property
    def held(self) -> bool:
        """Whether this process leads now."""
        return self._held_until is not None and self._clock() < self._held_until

    def allowance(self) -> float:
        """Seconds that a write may take.

        Raises:
            NotLeaderError: too little is left to begin one.
        """
        left = -1.0 if self._held_until is None else self._held_until - self._clock()
        if left < self._times.margin:
            raise NotLeaderError("not the leader, or not for long enough; the write is left out")
        return left

    def fence(self) -> Fence:
        """A fence greater than all that this and former leaders have given out.

        Raises:
            NotLeaderError: as `allowance`.
        """
        self.allowance()
        self._counter += 1
        return Fence(self._transitions, self._counter)

    def outbid(self, fence: Fence) -> None:
        """An agent holds a greater fence, from before a deletion of the Lease: pass it soon."""
        if fence.transitions > self._transitions:
            self._bid = max(self._bid, fence.transitions + 1)
        elif fence.transitions == self._transitions:
            self._counter = max(self._counter, fence.counter)

    async def acquire(self) -> None:
        """Return as soon as this process leads."""
        while not await self._try():  # noqa: ASYNC110 (asks the API server, not this process)
            await asyncio.sleep(self._times.retry * (0.8 + 0.4 * random.random()))  # noqa: S311

    async def hold(self) -> None:
        """Renew until the lease is lost; return then, `margin` seconds before it is over."""
        pause = self._times.renew
        while True:
            await asyncio.sleep(min(pause, self._left()))
            if self._left() <= 0:
                break
            renewed = await self._try()
            if not renewed and not self.held:
                break
            pause = self._times.renew if renewed else self._times.retry
        self._held_until = None
        _log.warning("leadership is lost", extra={"lease": self._name})

    async def release(self) -> None:
        """Give the lease back, so that another process need not wait for its end."""
        if not self.held:
            return
        self._held_until = None
        try:
            lease = await self._client.get(LEASES, self._namespace, self._name)
            if Record.of(lease).holder == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self._client.replace(lease, manager=names.MANAGER)
        except KubeError as error:
            _log.warning("the lease is not given back", extra={"error": str(error)})

    def _left(self) -> float:
        held_until = self._held_until if self._held_until is not None else self._clock()
        return max(0.0, held_until - self._clock() - self._times.margin)

    async def _try(self) -> bool:
        """Take or renew the lease; whether this process holds it afterwards."""
        asked_at = self._clock()
        try:
            seconds = min(self._times.duration, max(self._times.retry, self._left()))
            async with asyncio.timeout(seconds):
                return await self._take(asked_at)
        except (KubeError, TimeoutError) as error:
            _log.info("the lease is not renewed", extra={"error": str(error) or "no answer"})
            return False

    async def _take(self, asked_at: float) -> bool:
        try:
            lease = await self._client.get(LEASES, self._namespace, self._name)
        except NotFoundError:
            lease = LEASES.identity(self._namespace, self._name)
            lease["spec"] = self._spec(None)
            lease = await self._client.create(lease, manager=names.MANAGER)
        else:
            if not self._may_take(Record.of(lease)):
                self._held_until = None
                return False
            lease["spec"] = {**(lease.get("spec") or {}), **self._spec(Record.of(lease))}
            lease = await self._client.replace(lease, manager=names.MANAGER)
        self._won(Record.of(lease), asked_at)
        return True

    def _may_take(self, record: Record) -> bool:
        if record != self._seen:
            self._seen, self._seen_at = record, self._clock()
        if record.holder in ("", self._identity):
            return True
        return self._clock() - self._seen_at >= record.duration

    def _won(self, record: Record, asked_at: float) -> None:
        if record.transitions != self._transitions or self._held_until is None:
            _log.info("leading", extra={"lease": self._name, "transitions": record.transitions})
        if record.transitions != self._transitions:
            self._counter = 0
        self._transitions = record.transitions
        self._held_until = asked_at + self._times.duration
        self._seen, self._seen_at = record, self._clock()

    def _spec(self, old: Record | None) -> Object:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
        stamp = now.replace("+00:00", "Z")
        transitions = old.transitions if old else self._transitions
        taken = old is None or old.holder != self._identity
        if old and taken:
            transitions += 1
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._times.duration),
            "leaseTransitions": max(transitions, self._bid),
            "renewTime": stamp,
        } | ({"acquireTime": stamp} if taken else {})
