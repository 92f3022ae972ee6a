"""How kopf watches: its timeouts and pauses, and all that it does beside watching switched off."""

import random
from collections.abc import Iterator

import kopf

from tightship.api import names
from tightship.kube.resources import CHILD_SELECTOR, CHILDREN

_CHUNK = 500
_SERVER_SECONDS = 240
_CLIENT_SECONDS = 300
_CONNECT_SECONDS = 10
_SILENCE_SECONDS = 70  # bookmarks come every minute
_REQUEST_SECONDS = 30


def watching_only() -> kopf.OperatorSettings:
    """The settings of every life of kopf."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.server_timeout = _SERVER_SECONDS
    settings.watching.client_timeout = _CLIENT_SECONDS
    settings.watching.connect_timeout = _CONNECT_SECONDS
    settings.watching.inactivity_timeout = _SILENCE_SECONDS
    settings.watching.chunk_size = _CHUNK
    settings.networking.request_timeout = _REQUEST_SECONDS
    settings.networking.connect_timeout = _CONNECT_SECONDS
    settings.networking.error_backoffs = Backoffs()
    settings.queueing.worker_limit = None
    settings.queueing.idle_timeout = 1.0
    settings.process.ultimate_exiting_timeout = None  # it would kill this process
    settings.persistence.finalizer = f"{names.GROUP}/unused"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=names.GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=names.GROUP)
    for resource in CHILDREN:
        settings.watching.label_selectors[resource.group, resource.plural] = CHILD_SELECTOR
    return settings


class Backoffs:
    """Endless pauses with jitter, from a fifth of a second to a cap; each use begins anew.

    kopf gives its watching up when its error_backoffs come to an end.
    """

    def __init__(self, cap: float = 5.0) -> None:
        self._cap = cap

    def __iter__(self) -> Iterator[float]:
        pause = 0.2
        while True:
            yield pause * (0.5 + random.random())  # noqa: S311 (spreads load)
            pause = min(self._cap / 1.5, pause * 2)
