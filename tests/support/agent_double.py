"""An agent without a Triton: the agent's HTTP API, every model loaded at once."""

import asyncio
import hashlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from tightship.agent.wire import BadRequestError, read_request
from tightship.api import names
from tightship.api.agent import (
    Assignment,
    Fence,
    HeldModel,
    LoadState,
    ModelAssignment,
    ServerState,
)
from tightship.api.failures import Failure

_BODY_MAX = 4 << 20
_WAIT_MAX = 60.0
_WAIT = re.compile(r"\bwait=(\d+(?:\.\d+)?)")


class AgentDouble:
    """One agent. `failures` names models that do not load, `puts` counts assignments taken."""

    def __init__(self, token: str, failures: Mapping[str, Failure] | None = None) -> None:
        self.token = token
        self.failures = dict(failures or {})
        self.puts = 0
        self.requests = 0
        self.state = ServerState(
            etag=Assignment().etag,
            assignment=Assignment(),
            fence=Fence(0, 0),
            ready=True,
            triton_live=True,
        )
        self._changed = asyncio.Event()

    def change(self, **fields: Any) -> None:  # noqa: ANN401 (fields of ServerState)
        """Change the state, as an event on the server would, and wake all who wait."""
        self.state = replace(self.state, **fields)
        self._changed.set()
        self._changed = asyncio.Event()

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._authorized()], client_max_size=_BODY_MAX)
        app.router.add_put("/v1/assignment", self._put_assignment)
        app.router.add_get("/v1/state", self._get_state)
        app.router.add_get("/metrics", self._get_metrics)
        return app

    def _authorized(self) -> Middleware:
        @web.middleware
        async def authorized(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.requests += 1
            if request.headers.get("Authorization") != f"Bearer {self.token}":
                return _error(401, "Unauthorized", "the bearer token is missing or not the pool's")
            return await handler(request)

        return authorized

    async def _put_assignment(self, request: web.Request) -> web.Response:
        expected = request.headers.get("If-Match", "").strip('"')
        if not expected:
            return _error(400, "BadRequest", "the header If-Match is missing")
        try:
            wanted = read_request(await request.read())
        except BadRequestError as error:
            return _error(400, "BadRequest", str(error))
        if not wanted.fence > self.state.fence:
            return self._answer(409)
        if expected not in ("*", self.state.etag):
            return self._answer(412)
        self.puts += 1
        models = tuple(self._load(model) for model in wanted.assignment.models)
        self.change(
            etag=wanted.assignment.etag,
            assignment=wanted.assignment,
            fence=wanted.fence,
            models=models,
            memory_used=sum(m.memory or 0 for m in models),
        )
        return self._answer(200)

    def _load(self, model: ModelAssignment) -> HeldModel:
        failure = self.failures.get(model.name)
        if failure:
            return HeldModel(name=model.name, state=LoadState.FAILED, failure=failure)
        return HeldModel(
            name=model.name,
            state=LoadState.LOADED,
            digest=model.digest,
            config=model.config,
            memory=model.memory,
            load_seconds=0.0,
        )

    async def _get_state(self, request: web.Request) -> web.Response:
        known = request.headers.get("If-None-Match", "")
        preferred = _WAIT.search(request.headers.get("Prefer", ""))
        if known and preferred:
            await self._wait(known, min(float(preferred.group(1)), _WAIT_MAX))
        answer = self._answer(200)
        if known and answer.headers["ETag"] == known:
            return web.Response(status=304, headers={"ETag": known})
        return answer

    async def _wait(self, known: str, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while self._answer(200).headers["ETag"] == known:
                    await self._changed.wait()
        except TimeoutError:
            return

    async def _get_metrics(self, _: web.Request) -> web.Response:
        return web.Response(text="# none\n")

    def _answer(self, status: int) -> web.Response:
        body = json.dumps(self.state.to_json())
        etag = hashlib.sha256(body.encode()).hexdigest()[:16]
        return web.Response(
            status=status,
            text=body,
            content_type="application/json",
            headers={"ETag": f'"{etag}"'},
        )


def tls(certificate: str, key: str, folder: Path) -> ssl.SSLContext:
    """A server's context from PEM texts; one serves for all agents of a pool."""
    (folder / "tls.crt").write_text(certificate)
    (folder / "tls.key").write_text(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context


@asynccontextmanager
async def serving(
    double: AgentDouble, context: ssl.SSLContext, host: str, port: int = names.AGENT_PORT
) -> AsyncIterator[int]:
    """Serve a double on a loopback address such as 127.0.3.7; the port that it listens on."""
    runner = web.AppRunner(double.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=context).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _error(status: int, reason: str, message: str) -> web.Response:
    body = {"error": {"reason": reason, "message": message}}
    return web.json_response(body, status=status)
