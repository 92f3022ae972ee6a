"""A proxy before the API server that can go wrong in the ways in which real ones do."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web
from tests.support.apiserver import ApiServer

Fault = str
STATUSES = {"500": 500, "503": 503, "403": 403, "404": 404, "401": 401, "429": 429}
STREAM_FAULTS = ("410", "error", "truncated")
FAULTS = (*STATUSES, *STREAM_FAULTS, "reset", "html", "json list")

_GOODBYE_SECONDS = 0.25
_HOP = {"connection", "transfer-encoding", "content-length", "content-encoding", "host"}


class FaultProxy:
    """Forwards all, but for requests for which `fault` is set and `hits` is true."""

    def __init__(self, upstream: ApiServer) -> None:
        self._upstream = upstream
        self._session: aiohttp.ClientSession | None = None
        self._streams: set[asyncio.Task[None]] = set()
        self.fault: Fault | None = None
        self.hits: Callable[[web.Request], bool] = lambda request: "leases" not in request.path
        self.struck = 0
        self.url = ""

    def strike(self, fault: Fault) -> None:
        """From now on, everything goes wrong in this way; open streams end."""
        self.fault, self.struck = fault, 0
        self.cut()

    def cut(self) -> None:
        """End all open streams."""
        for stream in list(self._streams):
            stream.cancel()

    def heal(self) -> None:
        self.fault = None

    def kubeconfig(self, folder: Path) -> Path:
        path = folder / "proxied"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "p", "cluster": {"server": self.url}}],
            "users": [{"name": "p", "user": {}}],
            "contexts": [{"name": "p", "context": {"cluster": "p", "user": "p"}}],
            "current-context": "p",
        }
        path.write_text(json.dumps(config))
        return path

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["FaultProxy"]:
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        connector = aiohttp.TCPConnector(limit=0, ssl=False)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            self._session = session
            try:
                yield self
            finally:
                self.cut()
                await runner.cleanup()
        # A cut TLS connection says goodbye in the background; aiohttp cannot be asked when.
        await asyncio.sleep(_GOODBYE_SECONDS)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        watching = "watch" in request.query
        fault = self.fault if self.hits(request) else None
        if fault and (watching or fault not in STREAM_FAULTS):
            self.struck += 1
            return await self._go_wrong(request, fault)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        headers["Authorization"] = f"Bearer {self._upstream.token}"
        assert self._session is not None
        async with self._session.request(
            request.method,
            self._upstream.url + request.raw_path,
            headers=headers,
            data=await request.read() or None,
        ) as upstream:
            return await self._pass_on(request, upstream)

    async def _pass_on(
        self, request: web.Request, upstream: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        kept = {k: v for k, v in upstream.headers.items() if k.lower() not in _HOP}
        response = web.StreamResponse(status=upstream.status, headers=kept)
        await response.prepare(request)

        async def copy() -> None:
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)

        task = asyncio.create_task(copy())
        self._streams.add(task)
        try:
            await asyncio.wait({task})
        finally:
            self._streams.discard(task)
            task.cancel()
        if task.cancelled() or task.exception():
            _reset(request)
        return response

    async def _go_wrong(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault in STATUSES:
            body = {"kind": "Status", "apiVersion": "v1", "code": STATUSES[fault], "message": fault}
            return web.json_response(body, status=STATUSES[fault])
        if fault == "html":
            return web.Response(text="<html>login</html>", content_type="text/html")
        if fault == "json list":
            return web.json_response(["not", "an", "object"])
        if fault == "reset":
            _reset(request)
            return web.Response()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(_stream(fault))
        return response


def _stream(fault: Fault) -> bytes:
    if fault == "truncated":
        return b'{"type": "MODIFIED", "object": {"kind": "Pod", "meta\n'
    code = 410 if fault == "410" else 500
    error = {"kind": "Status", "code": code, "message": "gone" if code == 410 else "etcd says no"}
    return json.dumps({"type": "ERROR", "object": error}).encode() + b"\n"


def _reset(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
