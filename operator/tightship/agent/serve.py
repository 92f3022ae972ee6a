"""Puts the agent together and runs it until SIGTERM."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator

from aiohttp import web

from tightship.agent.artifacts import ArtifactCache
from tightship.agent.capacity import Capacity
from tightship.agent.credentials import Credentials, CredentialsError
from tightship.agent.http_api import Api
from tightship.agent.journal import Journal
from tightship.agent.loader import Loader
from tightship.agent.metrics import Telemetry
from tightship.agent.reconcile import Reconciler
from tightship.agent.sampling import Sampler
from tightship.agent.settings import Settings
from tightship.agent.store_source import StoreSource
from tightship.agent.traffic import TrafficWatch
from tightship.triton.client import TritonClient
from tightship.triton.memory import DeviceMeter, MemoryMeter, ProcessMeter, SharedDeviceMeter
from tightship.triton.repository import Repository

_REFRESH_SECONDS = 2.0
_ARTIFACTS = "artifacts"
_STORE = "store"

log = logging.getLogger(__name__)


def serve(settings: Settings) -> int:
    """Runs the agent; returns the process's exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(_run(settings))
    except CredentialsError as error:
        log.error("%s", error)  # noqa: TRY400 (the text says it all)
        return 1
    return 0


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    credentials = Credentials(settings.secrets)
    client = TritonClient(
        settings.triton,
        key=credentials.triton_key,
        metrics_address=settings.triton_metrics,
        keep_alive=False,
    )
    source = StoreSource(
        uri=settings.store_uri, credentials=settings.secrets / _STORE, claims=settings.claims
    )
    async with client:
        api, reconciler, sampler = _assembled(settings, credentials, client, source)
        async with _listening(settings, api, credentials):
            work = asyncio.create_task(reconciler.run())
            refresh = asyncio.create_task(_refreshing(credentials))
            sampling = asyncio.create_task(sampler.run(reconciler.slots))
            traffic = asyncio.create_task(TrafficWatch(client).run(reconciler.slots))
            await asyncio.wait(
                {work, refresh, sampling, traffic, asyncio.create_task(stop.wait())},
                return_when=asyncio.FIRST_COMPLETED,
            )
            await _cancelled(traffic, sampling, refresh, work)


def _assembled(
    settings: Settings, credentials: Credentials, client: TritonClient, source: StoreSource
) -> tuple[Api, Reconciler, Sampler]:
    processes = ProcessMeter(client.http_port)
    meter: MemoryMeter = processes
    if settings.accelerator:
        meter = SharedDeviceMeter() if settings.device_shared else DeviceMeter(client)
    journal = Journal(settings.state)
    telemetry = Telemetry()
    capacity = Capacity(settings.memory_limit)
    cache = ArtifactCache(settings.state / _ARTIFACTS, source)
    loader = Loader(
        triton=client,
        repository=Repository(settings.models),
        cache=cache,
        capacity=capacity,
        meter=meter,
        assigned=journal.needed,
        instances=processes.instances,
    )
    reconciler = Reconciler(
        journal=journal,
        loader=loader,
        cache=cache,
        capacity=capacity,
        triton=client,
        process=processes.server,
        telemetry=telemetry,
        restore_seconds=settings.restore_seconds,
    )
    sampler = Sampler(
        triton=client,
        cache=cache,
        assigned=journal.needed,
        folder=settings.traces,
        telemetry=telemetry,
    )
    api = Api(reconciler=reconciler, journal=journal, credentials=credentials, telemetry=telemetry)
    return api, reconciler, sampler


@contextlib.asynccontextmanager
async def _listening(settings: Settings, api: Api, credentials: Credentials) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for app, port, context in (
            (api.application(), settings.api_port, credentials.context),
            (api.probes(), settings.probe_port, None),
        ):
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, settings.host, port, ssl_context=context).start()
        log.info("pool %s, pod %s: listening on %s", settings.pool, settings.pod, settings.host)
        yield


async def _refreshing(credentials: Credentials) -> None:
    """Takes over a rotated certificate within seconds, without a request to trigger it."""
    while True:
        await asyncio.sleep(_REFRESH_SECONDS)
        try:
            credentials.refresh()
        except CredentialsError as error:
            log.error("%s", error)  # noqa: TRY400 (the text says it all)


async def _cancelled(*tasks: "asyncio.Task[None]") -> None:
    """Ends tasks; an error that ended one of them earlier is raised."""
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
