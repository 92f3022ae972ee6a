"""The agent's two HTTP servers: the API behind TLS and token, the kubelet's probes in plain."""

import re
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from tightship.agent.credentials import Credentials
from tightship.agent.journal import Journal
from tightship.agent.metrics import Telemetry
from tightship.agent.reconcile import Reconciler
from tightship.agent.state_changes import state_etag
from tightship.agent.wire import BadRequestError, read_request

BODY_MAX = 4 << 20
WAIT_MAX = 60.0

_WAIT = re.compile(r"\bwait=(\d+(?:\.\d+)?)")


class Api:
    """The requests of docs/reference/agent-api.md."""

    def __init__(
        self,
        *,
        reconciler: Reconciler,
        journal: Journal,
        credentials: Credentials,
        telemetry: Telemetry,
    ) -> None:
        self._reconciler = reconciler
        self._journal = journal
        self._credentials = credentials
        self._telemetry = telemetry

    def application(self) -> web.Application:
        """The API, to be served over TLS."""
        app = web.Application(middlewares=[self._authorized()], client_max_size=BODY_MAX)
        app.router.add_put("/v1/assignment", self._put_assignment)
        app.router.add_get("/v1/state", self._get_state)
        app.router.add_get("/metrics", self._get_metrics)
        return app

    def probes(self) -> web.Application:
        """The kubelet's probes, without names of models."""
        app = web.Application()
        app.router.add_get("/livez", self._get_livez)
        app.router.add_get("/readyz", self._get_readyz)
        return app

    def _authorized(self) -> Middleware:
        @web.middleware
        async def authorized(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._credentials.accepts(request.headers.get("Authorization", "")):
                return _error(401, "Unauthorized", "the bearer token is missing or not the pool's")
            return await handler(request)

        return authorized

    async def _put_assignment(self, request: web.Request) -> web.Response:
        expected = _unquoted(request.headers.get("If-Match", ""))
        if not expected:
            message = "the header If-Match with the assignment's etag is missing"
            return _error(400, "BadRequest", message)
        try:
            wanted = read_request(await request.read())
        except BadRequestError as error:
            return _error(400, "BadRequest", str(error))
        record = self._journal.record
        if not wanted.fence > record.fence:
            return self._state_response(409)
        if expected not in ("*", record.assignment.etag):
            return self._state_response(412)
        try:
            self._reconciler.assign(wanted)
        except OSError as error:
            message = f"the assignment cannot be written down: {error.strerror}; free the volume"
            return _error(507, "NoSpaceLeft", message)
        return self._state_response(200)

    async def _get_state(self, request: web.Request) -> web.Response:
        known = _unquoted(request.headers.get("If-None-Match", ""))
        preferred = _WAIT.search(request.headers.get("Prefer", ""))
        if known and preferred:
            await self._reconciler.changes.wait(known, min(float(preferred.group(1)), WAIT_MAX))
        response = self._state_response(200)
        if known and response.headers["ETag"] == f'"{known}"':
            return web.Response(status=304, headers={"ETag": response.headers["ETag"]})
        return response

    async def _get_metrics(self, _: web.Request) -> web.Response:
        page = self._telemetry.page(self._reconciler.state())
        return web.Response(body=page, content_type="text/plain", charset="utf-8")

    async def _get_livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _get_readyz(self, _: web.Request) -> web.Response:
        reason = self._reconciler.waiting_for()
        if reason is None:
            return web.Response(text="ok\n")
        return web.Response(status=503, text=reason + "\n")

    def _state_response(self, status: int) -> web.Response:
        state = self._reconciler.state()
        body: dict[str, Any] = state.to_json()
        etag = state_etag(state)
        return web.json_response(body, status=status, headers={"ETag": f'"{etag}"'})


def _error(status: int, reason: str, message: str) -> web.Response:
    body = {"error": {"reason": reason, "message": message}}
    return web.json_response(body, status=status)


def _unquoted(etag: str) -> str:
    return etag.strip().removeprefix("W/").strip('"')
