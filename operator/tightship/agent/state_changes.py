"""Changes of the state that the API shows: its etag, and who waits for another one (long polls)."""

import asyncio
import hashlib
import json
from collections.abc import Callable

from tightship.api.agent import ServerState


class StateChanges:
    """Wakes who waits; the state is asked for anew each time."""

    def __init__(self, state: Callable[[], ServerState]) -> None:
        self._state = state
        self._changed = asyncio.Event()

    async def wait(self, etag: str, seconds: float) -> None:
        """Returns when the state's etag differs from `etag`, or the time is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while state_etag(self._state()) == etag and loop.time() < end:
            try:
                async with asyncio.timeout_at(end):
                    await self._changed.wait()
            except TimeoutError:
                return

    def notify(self) -> None:
        """Wakes who waits for another state."""
        self._changed.set()
        self._changed = asyncio.Event()


def state_etag(state: ServerState) -> str:
    """A hash of the state's content."""
    canonical = json.dumps(state.to_json(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
