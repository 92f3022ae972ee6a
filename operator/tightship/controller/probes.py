"""HTTP for the kubelet and Prometheus: /healthz, /readyz, /metrics."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from tightship.controller.telemetry import Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the process should live, whether it does its work, and a line about it."""

    alive: bool
    ready: bool
    text: str


class Probes:
    """A small server beside the operator. It answers only while the event loop turns."""

    def __init__(self, telemetry: Telemetry, health: Callable[[], Health]) -> None:
        self._telemetry = telemetry
        self._health = health
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        self.port = 0

    async def start(self, address: str, port: int) -> None:
        """Listen; `port` 0 takes a free one.

        Raises:
            OSError: the port is taken.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, address, port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        health = self._health()
        return web.Response(status=200 if health.alive else 503, text=health.text + "\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        health = self._health()
        return web.Response(status=200 if health.ready else 503, text=health.text + "\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._telemetry.text(), content_type="text/plain")
