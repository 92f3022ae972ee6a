"""Objects that bear a name we need but are not ours; looked at again from time to time."""

import time
from collections.abc import Callable

from tightship.kube.apply import is_ours
from tightship.kube.client import Client
from tightship.kube.errors import NotFoundError
from tightship.kube.resources import OPTIMIZED_MODELS, SERVICES
from tightship.kube.store import PoolKey, Store

RECHECK_SECONDS = 30.0


class Strangers:
    """What attempts to apply have found. Services of others are not watched but asked for."""

    def __init__(
        self, client: Client, store: Store, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._store = store
        self._clock = clock
        self._seen: dict[tuple[str, str], float] = {}

    def add(self, namespace: str, name: str) -> None:
        """A Service of this name is not ours."""
        self._seen[namespace, name] = self._clock()

    async def services(self, pool: PoolKey) -> set[str]:
        """Which of the pool's models bear the name of a stranger's Service, looked at lately.

        Raises:
            KubeError: a Service could not be looked at.
        """
        found = set()
        for (namespace, name), seen_at in list(self._seen.items()):
            model = self._store.get(OPTIMIZED_MODELS, namespace, name)
            if model is None:
                del self._seen[namespace, name]
            elif pool in model.pools:
                fresh = self._clock() - seen_at < RECHECK_SECONDS
                if fresh or await self._still_there(namespace, name):
                    found.add(name)
                else:
                    del self._seen[namespace, name]
        return found

    async def _still_there(self, namespace: str, name: str) -> bool:
        try:
            live = await self._client.get(SERVICES, namespace, name)
        except NotFoundError:
            return False
        if is_ours(live):
            return False
        self._seen[namespace, name] = self._clock()
        return True
