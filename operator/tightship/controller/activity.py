"""When each watched scope last gave a sign of life."""

import time
from collections.abc import Callable, Sequence

import aiohttp
from yarl import URL

from tightship.kube.resources import Resource

Scope = tuple[Resource, str | None]
"""A watched kind, in one namespace or (None) in all."""


class Activity:
    """When each scope last gave a sign of life: a list's answer, an event, or a bookmark.

    kopf keeps bookmarks to itself, so signs are read where they arrive: answers to lists as they
    are decoded, streams by the count of bytes that have come in.
    """

    def __init__(
        self, scopes: Sequence[Scope], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._by_path = {
            resource.path(namespace): (resource, namespace) for resource, namespace in scopes
        }
        now = clock()
        self._last = dict.fromkeys(scopes, now)
        self._streams: dict[Scope, tuple[aiohttp.ClientResponse, int]] = {}

    def scope(self, url: URL) -> Scope | None:
        """The scope that a request was about."""
        return self._by_path.get(url.path)

    def sign(self, scope: Scope) -> None:
        """Something came in."""
        self._last[scope] = self._clock()

    def stream(self, scope: Scope, response: aiohttp.ClientResponse) -> None:
        """A watch has been opened."""
        self._streams[scope] = (response, -1)

    def begin(self) -> None:
        """Watching begins anew."""
        self._last = dict.fromkeys(self._last, self._clock())

    def ages(self) -> dict[Scope, float]:
        """Seconds since the last sign of each scope."""
        for scope, (response, seen) in list(self._streams.items()):
            total = response.content.total_bytes
            if total != seen:
                self._streams[scope] = (response, total)
                self.sign(scope)
        now = self._clock()
        return {scope: now - last for scope, last in self._last.items()}
