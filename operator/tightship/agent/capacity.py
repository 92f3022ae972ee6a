"""The server's memory as a ledger: what is held, what is asked for, and what is about to leave."""

import asyncio

from tightship.agent.failures import NO_MEMORY, LoadingError

_MIB = 1 << 20


class Capacity:
    """At most `limit` bytes are held at any time, by whatever names they are held."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: dict[str, int] = {}
        self._leaving: set[str] = set()
        self._changed = asyncio.Condition()

    @property
    def used(self) -> int:
        """Bytes that are held."""
        return sum(self._held.values())

    async def take(self, name: str, size: int) -> None:
        """Holds `size` bytes under a name instead of what it held; waits for what is leaving.

        Raises:
            LoadingError: NoMemory, when it does not fit though nothing more is leaving.
        """
        async with self._changed:
            while not self._fits(name, size):
                if not self._leaving & self._held.keys():
                    raise LoadingError(NO_MEMORY, self._refusal(name, size))
                await self._changed.wait()
            self._held[name] = size

    async def leave(self, name: str) -> None:
        """Announces that what is held under the name will be released soon."""
        async with self._changed:
            self._leaving.add(name)

    async def release(self, name: str) -> None:
        """Holds nothing under the name any more."""
        async with self._changed:
            self._held.pop(name, None)
            self._leaving.discard(name)
            self._changed.notify_all()

    async def rename(self, old: str, new: str) -> None:
        """What was held under `old` is held under `new`, whose own is released."""
        async with self._changed:
            self._held[new] = self._held.pop(old)
            self._leaving.discard(new)
            self._changed.notify_all()

    def _fits(self, name: str, size: int) -> bool:
        return self.used - self._held.get(name, 0) + size <= self.limit

    def _refusal(self, name: str, size: int) -> str:
        others = self.used - self._held.get(name, 0)
        return (
            f"the model needs {size / _MIB:.1f} MiB, {others / _MIB:.1f} of the server's "
            f"{self.limit / _MIB:.1f} MiB are taken; give the server more memory, "
            "allow the pool more servers, or remove a model"
        )
