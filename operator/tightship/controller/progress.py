"""How far conversions are: the end of each running converter's log, read now and then."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tightship.api.progress import Position, read
from tightship.kube.client import Client
from tightship.kube.errors import ForbiddenError, KubeError
from tightship.kube.store import PoolKey

_log = logging.getLogger(__name__)

INTERVAL = 15.0  # seconds between two looks at a log, and so between two writes of a status
CONTAINER = "convert"
_LINES = 50


@dataclass(frozen=True, slots=True)
class Log:
    """Of one pod's container `convert`."""

    pool: PoolKey
    pod: str


@dataclass(slots=True)
class _Reading:
    log: Log
    task: asyncio.Task[None] | None = None
    position: Position | None = None


class Positions:
    """Follows the logs of all running conversions. Belongs to one event loop."""

    def __init__(
        self, client: Client, changed: Callable[[PoolKey], None], *, interval: float = INTERVAL
    ) -> None:
        self._client, self._changed, self._interval = client, changed, interval
        self._readings: dict[str, _Reading] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._refused = False

    def follow(self, pool: PoolKey, logs: Mapping[str, Log]) -> None:
        """Read exactly these logs of a pool, by pod uid."""
        for uid, reading in list(self._readings.items()):
            if reading.log.pool == pool and uid not in logs:
                self._stop(uid)
        for uid, log in logs.items():
            if uid not in self._readings and not self._refused:
                reading = self._readings[uid] = _Reading(log)
                reading.task = asyncio.create_task(self._follow(reading), name=f"log {log.pod}")

    def position(self, uid: str) -> Position | None:
        """Where the conversion in that pod was lately; None while nobody knows."""
        reading = self._readings.get(uid)
        return reading.position if reading else None

    async def close(self) -> None:
        """Read nothing any more."""
        self._refused = True
        for uid in list(self._readings):
            self._stop(uid)
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _follow(self, reading: _Reading) -> None:
        while True:
            try:
                await self._look(reading)
            except ForbiddenError as error:
                self._refused = True
                _log.warning(
                    "statuses will not say how far conversions are: grant get of pods/log",
                    extra={"error": str(error)},
                )
                return
            except KubeError as error:  # the next look may do better; nothing depends on it
                _log.debug(
                    "a log was not read", extra={"pod": reading.log.pod, "error": str(error)}
                )
            await asyncio.sleep(self._interval)  # which bounds the writes of statuses

    async def _look(self, reading: _Reading) -> None:
        log = reading.log
        text = await self._client.log(log.pool[0], log.pod, CONTAINER, lines=_LINES)
        found = next(filter(None, map(read, reversed(text.splitlines()))), None)
        if found is not None and found != reading.position:
            reading.position = found
            self._changed(log.pool)

    def _stop(self, uid: str) -> None:
        task = self._readings.pop(uid).task
        if task:
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
