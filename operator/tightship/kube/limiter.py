"""A token bucket: how many writes a second the operator may send."""

import asyncio
import time
from collections.abc import Awaitable, Callable


class TokenBucket:
    """Lets `rate` calls a second through, and `burst` at once after a rest.

    `pause` holds everything back, as when the API server answers "too many requests".
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._sleep = sleep
        self._tokens = float(burst)
        self._filled_at = clock()

    async def take(self) -> None:
        """Return when one call may be made. Callers are served in the order of their asking."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        self._tokens -= 1
        if self._tokens < 0:
            await self._sleep(-self._tokens / self._rate)

    def pause(self, seconds: float) -> None:
        """Let nothing through for this long."""
        self._tokens = min(self._tokens, -seconds * self._rate)
        self._filled_at = self._clock()
