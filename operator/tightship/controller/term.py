"""One term of leadership: store, queue, watch and workers, dropped at its end."""

import asyncio
import gc
import logging
import random
import time
from collections import Counter
from collections.abc import Collection, Sequence

from tightship.api import names
from tightship.controller.activity import Scope
from tightship.controller.certificates import CertificateBook
from tightship.controller.observe import Observer
from tightship.controller.progress import Positions
from tightship.controller.reconcile import Decide, Reconciler
from tightship.controller.servers import Servers
from tightship.controller.steps import Hands
from tightship.controller.strangers import Strangers
from tightship.controller.telemetry import Telemetry
from tightship.controller.watch import Watch
from tightship.kube.apply import Applier, Memory
from tightship.kube.client import Client
from tightship.kube.connection import Connection
from tightship.kube.events import Events
from tightship.kube.inventory import Inventory
from tightship.kube.lease import Lease
from tightship.kube.limiter import TokenBucket
from tightship.kube.queue import Queue
from tightship.kube.resources import INVENTORY, Object, Resource
from tightship.kube.store import PoolKey, Store
from tightship.settings import Settings

_log = logging.getLogger(__name__)

SILENT_SECONDS = 150.0  # without a list, event or bookmark of a kind: the watch is begun anew
DEAD_SECONDS = 600.0  # and when that does not help, the process is
_SAMPLE_SECONDS = 5.0
_LASTED_SECONDS = 60.0  # a watch that lasted so long was healthy; its end is no repetition


def set_aside() -> None:
    """Keep the garbage collector from all that lives now; what is garbage by now is freed first.

    Stored objects live long and hold no cycles, but with many of them each full collection stops
    everything for 70 ms.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


class Term:
    """Everything that a leader needs. Also the feed of the watch."""

    def __init__(
        self,
        connection: Connection,
        lease: Lease,
        settings: Settings,
        telemetry: Telemetry,
        decide: Decide,
        *,
        agent_port: int = names.AGENT_PORT,
        inventory: Sequence[Resource] = (),
    ) -> None:
        self.store = Store()
        self._inventory = Inventory() if inventory else None
        self.queue: Queue[PoolKey] = Queue()
        self.synced = asyncio.Event()
        self.watch = Watch(connection, settings.namespaces, self, inventory)
        self._settings = settings
        self._telemetry = telemetry
        self._missing: set[Scope] = set(self.watch.scopes)
        self._client = Client(
            connection,
            limiter=TokenBucket(settings.write_rate, settings.write_burst),
            allowance=lease.allowance,
            record=telemetry.request,
        )
        self._news: Counter[PoolKey] = Counter()
        self._servers = Servers(self._told, self._doubted, port=agent_port)
        self._positions = Positions(self._client, self._told)
        self._observer = Observer(
            self.store, self._servers.view, self._positions.position, inventory=self._inventory
        )
        self._certificates = CertificateBook(self._client)
        self._reconciler = Reconciler(
            Hands(
                applier=Applier(self._client, self.store, changed=self._enqueue),
                memory=Memory(self.store),
                store=self.store,
                servers=self._servers,
                positions=self._positions,
                certificates=self._certificates,
                events=Events(self._client, settings.identity),
                lease=lease,
                observer=self._observer,
                strangers=Strangers(self._client, self.store),
                telemetry=telemetry,
                news=self._news.__getitem__,
            ),
            decide,
        )

    async def run(self) -> None:
        """Lead until cancelled."""
        self._telemetry.watch_depth(lambda: self.queue.depth)
        parts = [self._keep_watching(), self._resync()]
        parts += [self._work() for _ in range(self._settings.workers)]
        tasks = {asyncio.create_task(part) for part in parts}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            # Connections first: aiohttp ends one in use at once, and for good.
            await self._servers.close()
            await self._positions.close()
            await self._client.close()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def silence(self) -> tuple[float, str]:
        """The greatest age of a sign of life of any watch, and the kind that is so silent."""
        ages = self.watch.activity.ages()
        (resource, _), age = max(ages.items(), key=lambda item: item[1])
        return age, resource.plural

    def listed(self, scope: Scope, items: Sequence[Object]) -> None:
        """A part of a list has come."""
        for item in items:
            if self._inventory and scope[0] in INVENTORY:
                self._tell_all(self._inventory.put(scope[0], item, listed=True))
            else:
                self._tell(self.store.put(scope[0], item, listed=True))

    def complete(self, scope: Scope, uids: frozenset[str], version: str) -> None:
        """A list is complete: what it lacks was deleted unseen."""
        if self._inventory and scope[0] in INVENTORY:
            self._tell_all(self._inventory.relisted(scope[0], uids, version))
        else:
            self._tell(self.store.relisted(scope[0], scope[1], uids, version))
        self._missing.discard(scope)
        if not self._missing and not self.synced.is_set():
            self._observer.watching_since = time.time()
            self.synced.set()
            set_aside()
            _log.info("all kinds are listed", extra={"pools": len(self.store.pools())})

    def changed(self, resource: Resource, kind: str | None, value: Object) -> None:
        """A watch event has come."""
        if self._inventory and resource in INVENTORY:
            change = self._inventory.remove if kind == "DELETED" else self._inventory.put
            self._tell_all(change(resource, value))
        elif kind == "DELETED":
            self._tell(self.store.remove(resource, value))
        else:
            self._tell(self.store.put(resource, value))

    def _tell_all(self, changed: bool) -> None:  # noqa: FBT001 (an answer of the inventory)
        """The nodes are others now: what every pool can have of them may be another."""
        if changed:
            self._tell(self.store.pools())

    def _tell(self, pools: Collection[PoolKey]) -> None:
        """Something came in about these pools."""
        for pool in pools:
            self._told(pool)

    def _told(self, pool: PoolKey) -> None:
        self._news[pool] += 1
        self.queue.add(pool)

    def _enqueue(self, pools: Collection[PoolKey]) -> None:
        for pool in pools:
            self.queue.add(pool)

    def _doubted(self, pool: PoolKey) -> None:
        self._certificates.doubt(pool)
        self.queue.add(pool)

    async def _work(self) -> None:
        await self.synced.wait()
        await self.queue.work(self._reconciler.reconcile)

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync)
            set_aside()
            self._enqueue(self.store.pools())

    async def _keep_watching(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            reason = await self._watch_once()
            failures = 0 if time.monotonic() - began > _LASTED_SECONDS else failures + 1
            self._telemetry.watch_restarts.labels(reason.partition(":")[0]).inc()
            _log.warning("the watch ended, it begins anew: %s", reason)
            pause = min(5.0, 0.1 * 2.0 ** min(failures, 10))
            await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311 (spreads load)

    async def _watch_once(self) -> str:
        """Watch until kopf gives up or a kind has been silent for too long; why it ended."""
        run = asyncio.create_task(self.watch.run(), name="kopf")
        try:
            while not run.done():
                await asyncio.wait({run}, timeout=_SAMPLE_SECONDS)
                age, kind = self._sample()
                if age > SILENT_SECONDS:
                    return f"Silence: nothing of {kind} for {age:.0f} s"
            error = run.exception()
            return f"{type(error).__name__}: {error}" if error else "Ended"
        finally:
            run.cancel()
            await asyncio.wait({run})

    def _sample(self) -> tuple[float, str]:
        for (resource, _), age in self.watch.activity.ages().items():
            self._telemetry.watch_age.labels(resource.kind).set(age)
        return self.silence()
