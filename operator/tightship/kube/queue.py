"""Work to do, by key: equal keys become one, none is worked on twice at once, failures back off."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")

_log = logging.getLogger(__name__)

_BACKOFF_FIRST = 0.2
_BACKOFF_MAX = 60.0
_BACKOFF_STEPS = 12  # of doubling, before the exponent stops to grow


class WorkError(Exception):
    """Work on a key that is to be tried again, for a reason that is no defect of the program."""


class Queue(Generic[K]):
    """A coalescing queue of keys.

    `rest` is the shortest time in seconds between the end of a key's work and its next begin, so
    that a burst of events becomes one piece of work.
    """

    def __init__(self, *, rest: float = 0.02, jitter: Callable[[], float] = random.random) -> None:
        self._rest = rest
        self._jitter = jitter
        self._ready: deque[K] = deque()
        self._queued: set[K] = set()
        self._working: set[K] = set()
        self._resting: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._delayed: dict[K, asyncio.TimerHandle] = {}
        self._signal = asyncio.Event()

    @property
    def depth(self) -> int:
        """Keys that wait for a worker now."""
        return len(self._ready)

    def add(self, key: K) -> None:
        """Ask for work on a key; while it is worked on, once more afterwards."""
        timer = self._delayed.pop(key, None)
        if timer:
            timer.cancel()
        if key in self._working or key in self._resting:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
            self._signal.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Ask for work on a key later; of several such wishes the earliest counts."""
        loop = asyncio.get_running_loop()
        timer = self._delayed.get(key)
        if timer:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._delayed[key] = loop.call_later(seconds, self.add, key)

    def forget(self, key: K) -> None:
        """Drop a key that no longer exists: its backoff and its delayed work."""
        self._failures.pop(key, None)
        timer = self._delayed.pop(key, None)
        if timer:
            timer.cancel()

    def backoff(self, key: K) -> float:
        """The pause after a key's failures so far: doubling, capped, between half and whole."""
        steps = min(self._failures.get(key, 0), _BACKOFF_STEPS)
        whole = min(_BACKOFF_MAX, _BACKOFF_FIRST * 2.0**steps)
        return whole * (0.5 + 0.5 * self._jitter())

    async def work(self, task: Callable[[K], Awaitable[float | None]]) -> None:
        """Work on keys, one after another, until cancelled; start several for more at once.

        `task` answers in how many seconds it wants the key again (None: not by itself). An
        exception of it is logged and the key comes again after a backoff.
        """
        while True:
            key = await self._take()
            try:
                await self._attempt(key, task)
            finally:
                self._finish(key)

    async def _attempt(self, key: K, task: Callable[[K], Awaitable[float | None]]) -> None:
        try:
            again = await task(key)
        except WorkError as error:
            _log.warning("tried again: %s", error, extra=self._retry(key))
            return
        except Exception:  # noqa: BLE001 (a defect of one key must not stop the others)
            _log.exception("the work failed; it is tried again", extra=self._retry(key))
            return
        self._failures.pop(key, None)
        if again is not None:
            self.add_after(key, again)

    def _retry(self, key: K) -> dict[str, object]:
        pause = self.backoff(key)
        self._failures[key] = self._failures.get(key, 0) + 1
        self.add_after(key, pause)
        return {"key": key, "pause": round(pause, 2)}

    async def _take(self) -> K:
        while not self._ready:
            self._signal.clear()
            await self._signal.wait()
        key = self._ready.popleft()
        self._queued.discard(key)
        self._working.add(key)
        return key

    def _finish(self, key: K) -> None:
        self._working.discard(key)
        self._resting.add(key)
        asyncio.get_running_loop().call_later(self._rest, self._rested, key)

    def _rested(self, key: K) -> None:
        self._resting.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
