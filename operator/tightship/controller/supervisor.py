"""The life of the operator's process: lead while the Lease is held, answer probes, leave."""

import asyncio
import logging
import signal
from collections.abc import Sequence

from tightship.api import names
from tightship.controller.probes import Health, Probes
from tightship.controller.reconcile import Decide
from tightship.controller.telemetry import Telemetry
from tightship.controller.term import DEAD_SECONDS, Term
from tightship.kube.client import Client
from tightship.kube.connection import Connection
from tightship.kube.errors import KubeError
from tightship.kube.lease import Lease, LeaseTimes
from tightship.kube.resources import NODES, RESOURCE_SLICES, Resource
from tightship.settings import Settings

_log = logging.getLogger(__name__)


class Supervisor:
    """Runs terms of leadership, one after another, until it is told to stop."""

    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        lease_namespace: str,
        decide: Decide,
        *,
        agent_port: int = names.AGENT_PORT,
    ) -> None:
        self.telemetry = Telemetry()
        self._connection = connection
        self._settings = settings
        self._decide = decide
        self._agent_port = agent_port
        self._client = Client(connection, record=self.telemetry.request, timeout=10.0)
        self._lease = Lease(
            self._client,
            lease_namespace,
            settings.lease_name,
            settings.identity,
            times=lease_times(settings.lease_duration),
        )
        self.term: Term | None = None

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await self.run_until(stop)

    async def run_until(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; the Lease is given back at the end."""
        probes = Probes(self.telemetry, self.health)
        await probes.start(self._settings.address, self._settings.port)
        leading = asyncio.create_task(self._lead_for_ever(), name="lead")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({leading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (leading, stopping):
                task.cancel()
            await asyncio.wait({leading, stopping})
            await self._lease.release()
            await self._client.close()
            await probes.stop()
        if leading.done() and not leading.cancelled():
            leading.result()

    def health(self) -> Health:
        """Whether this process is of use; one that waits for the Lease is."""
        if self.term is None:
            return Health(alive=True, ready=True, text="waits for the lease")
        age, kind = self.term.silence()
        if age > DEAD_SECONDS:
            return Health(alive=False, ready=False, text=f"no sign of {kind} for {age:.0f} s")
        synced = self.term.synced.is_set()
        text = f"leads; the most silent watch is {kind}, {age:.0f} s" if synced else "lists"
        return Health(alive=True, ready=synced, text=text)

    async def _lead_for_ever(self) -> None:
        while True:
            await self._lease.acquire()
            await self._lead_once()

    async def _inventory(self) -> Sequence[Resource]:
        """Kinds that tell of nodes, as far as the API server has them.

        A kind that it has not would be waited for without end. When it cannot say, a later term
        asks again.
        """
        if not self._settings.watch_nodes:
            return ()
        try:
            served = await self._client.serves(RESOURCE_SLICES)
        except KubeError as error:
            _log.warning("ResourceSlices are left out until the next term: %s", error)
            served = False
        return (NODES, RESOURCE_SLICES) if served else (NODES,)

    async def _lead_once(self) -> None:
        inventory = await self._inventory()
        self.telemetry.leader.set(1)
        self.term = Term(
            self._connection,
            self._lease,
            self._settings,
            self.telemetry,
            self._decide,
            agent_port=self._agent_port,
            inventory=inventory,
        )
        term = asyncio.create_task(self.term.run(), name="term")
        holding = asyncio.create_task(self._lease.hold(), name="lease")
        try:
            await asyncio.wait({term, holding}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (term, holding):
                task.cancel()
            await asyncio.wait({term, holding})
            self.term = None
            self.telemetry.leader.set(0)
            self.telemetry.watch_depth(lambda: 0)
        if not term.cancelled() and term.exception():
            _log.error("the term broke", exc_info=term.exception())


def lease_times(duration: float) -> LeaseTimes:
    """Renewal at a third of the lease; the last quarter is for what is under way."""
    return LeaseTimes(
        duration=duration, renew=duration / 3, retry=duration / 8, margin=duration / 4
    )
