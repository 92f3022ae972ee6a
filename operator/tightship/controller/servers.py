"""What the agents say: one long poll for each server pod, and the writing of assignments."""

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp

from tightship.api import names
from tightship.api.agent import Assignment, AssignmentRequest, Fence, ServerState
from tightship.controller.certificates import Credentials
from tightship.kube.store import PoolKey

_log = logging.getLogger(__name__)

_WAIT_SECONDS = 20  # of a long poll: so old an answer of a healthy, quiet agent may be
_ANSWER_SECONDS = 10.0  # beyond the wait
_CONNECT_SECONDS = 5.0
_BACKOFF_FIRST = 0.5
_BACKOFF_MAX = 15.0


class AgentError(Exception):
    """An agent did not do what it was asked; the text says why."""


class StaleError(AgentError):
    """The assignment was not taken: another one, or a greater fence, is in force there."""

    def __init__(self, message: str, fence: Fence) -> None:
        super().__init__(message)
        self.fence = fence


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """One server pod to be polled."""

    pool: PoolKey
    uid: str
    ip: str


@dataclass(frozen=True, slots=True)
class AgentView:
    """The last answer of an agent, how old it is in seconds, and why it does not answer now."""

    state: ServerState | None = None
    age: float | None = None
    error: str | None = None


@dataclass(slots=True)
class _Poll:
    address: ServerAddress
    credentials: Credentials
    task: asyncio.Task[None] | None = None
    state: ServerState | None = None
    answered_at: float | None = None
    error: str | None = None
    etag: str | None = None


class Servers:
    """Follows the agents of all pools. Belongs to one event loop."""

    def __init__(
        self,
        changed: Callable[[PoolKey], None],
        doubted: Callable[[PoolKey], None],
        *,
        port: int = names.AGENT_PORT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changed = changed
        self._doubted = doubted
        self._port = port
        self._clock = clock
        self._polls: dict[str, _Poll] = {}
        self._sessions: dict[PoolKey, tuple[Credentials, aiohttp.ClientSession]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def follow(
        self, pool: PoolKey, addresses: Mapping[str, ServerAddress], credentials: Credentials | None
    ) -> None:
        """Poll exactly these servers of a pool, by pod uid; none while there are no credentials.

        After `close` nothing is polled any more: who still works then is about to be ended.
        """
        if self._closed:
            return
        wanted = addresses if credentials else {}
        for uid, poll in list(self._polls.items()):
            gone = poll.address.pool == pool and wanted.get(uid) != poll.address
            if gone or (
                credentials and poll.address.pool == pool and poll.credentials != credentials
            ):
                self._stop(uid)
        if credentials is None or not wanted:
            self._close(pool)
            return
        self._open(pool, credentials)
        for uid, address in wanted.items():
            if uid not in self._polls:
                poll = _Poll(address, credentials)
                self._polls[uid] = poll
                poll.task = asyncio.create_task(self._follow(poll), name=f"agent {address.ip}")

    def view(self, uid: str) -> AgentView:
        """What is known of one server's agent."""
        poll = self._polls.get(uid)
        if poll is None:
            return AgentView()
        age = None if poll.answered_at is None else self._clock() - poll.answered_at
        return AgentView(poll.state, age, poll.error)

    async def put(self, uid: str, expected: str, assignment: Assignment, fence: Fence) -> None:
        """Replace the assignment of a server.

        Raises:
            StaleError: it holds another assignment than `expected`, or a greater fence.
            AgentError: it does not answer, or refuses.
        """
        poll = self._polls.get(uid)
        if poll is None:
            raise AgentError("the server is not known, or its pool has no credentials yet")
        body = AssignmentRequest(fence=fence, assignment=assignment).to_json()
        status, content, etag = await self._request(
            poll, "PUT", "/v1/assignment", {"If-Match": f'"{expected}"'}, body, _ANSWER_SECONDS
        )
        if status in (HTTPStatus.OK, HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED):
            state = _state(content)
            self._answered(poll, state, etag)
            if status != HTTPStatus.OK:
                raise StaleError("the server holds another assignment by now", state.fence)
            return
        raise AgentError(f"the agent answered HTTP {status}: {_text(content)}")

    async def close(self) -> None:
        """Stop all polls and close all connections, for good."""
        self._closed = True
        for pool in list(self._sessions):
            self._close(pool)
        await asyncio.gather(*self._closing, return_exceptions=True)
        for uid in list(self._polls):
            self._stop(uid)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _follow(self, poll: _Poll) -> None:
        failures = 0
        while True:
            try:
                await self._ask(poll)
                failures = 0
            except AgentError as error:
                self._failed(poll, str(error))
                pause = min(_BACKOFF_MAX, _BACKOFF_FIRST * 2.0 ** min(failures, 10))
                failures += 1
                await asyncio.sleep(pause * (0.5 + 0.5 * random.random()))  # noqa: S311 (spreads load)

    async def _ask(self, poll: _Poll) -> None:
        # Without a known answer, or after a failure, the answer has to come at once.
        waits = poll.etag is not None and poll.error is None
        headers = {"If-None-Match": poll.etag, "Prefer": f"wait={_WAIT_SECONDS}"} if waits else {}
        seconds = _ANSWER_SECONDS + (_WAIT_SECONDS if waits else 0)
        status, content, etag = await self._request(
            poll, "GET", "/v1/state", {k: v for k, v in headers.items() if v}, None, seconds
        )
        told = status == HTTPStatus.OK and poll.error is None and etag is not None
        if status == HTTPStatus.NOT_MODIFIED or (told and etag == poll.etag):
            # The answer to a PUT may have told the same before.
            poll.answered_at = self._clock()
        elif status == HTTPStatus.OK:
            self._answered(poll, _state(content), etag)
        else:
            raise AgentError(f"the agent answered HTTP {status}: {_text(content)}")

    async def _request(
        self,
        poll: _Poll,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: object,
        seconds: float,
    ) -> tuple[int, bytes, str | None]:
        pool = poll.address.pool
        known = self._sessions.get(pool)
        if known is None:
            raise AgentError("the pool has no credentials at the moment")
        credentials, session = known
        try:
            async with session.request(
                method,
                f"https://{_host(poll.address.ip)}:{self._port}{path}",
                headers={**headers, "Authorization": f"Bearer {credentials.token}"},
                json=body,
                server_hostname=names.agent_server_name(pool[1], pool[0]),
                timeout=aiohttp.ClientTimeout(total=seconds, connect=_CONNECT_SECONDS),
                allow_redirects=False,
            ) as answer:
                if answer.status == HTTPStatus.UNAUTHORIZED:
                    self._doubted(pool)
                return answer.status, await answer.read(), answer.headers.get("ETag")
        except aiohttp.ClientConnectorCertificateError as error:
            self._doubted(pool)
            raise AgentError("the agent shows another certificate than the pool's") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or f"no answer within {seconds:.0f} s"
            raise AgentError(f"the agent cannot be reached: {reason}") from error

    def _answered(self, poll: _Poll, state: ServerState, etag: str | None) -> None:
        news = state != poll.state or poll.error is not None
        poll.state, poll.error = state, None
        poll.answered_at = self._clock()
        poll.etag = etag
        if news:
            self._changed(poll.address.pool)

    def _failed(self, poll: _Poll, reason: str) -> None:
        news = poll.error is None
        poll.error = reason
        if news:
            _log.warning("an agent does not answer", extra={"ip": poll.address.ip, "error": reason})
            self._changed(poll.address.pool)

    def _open(self, pool: PoolKey, credentials: Credentials) -> None:
        known = self._sessions.get(pool)
        if known and known[0] == credentials:
            return
        self._close(pool)
        connector = aiohttp.TCPConnector(limit=0, ssl=credentials.tls())
        self._sessions[pool] = (credentials, aiohttp.ClientSession(connector=connector))

    def _close(self, pool: PoolKey) -> None:
        known = self._sessions.pop(pool, None)
        if known:
            task = asyncio.create_task(known[1].close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _stop(self, uid: str) -> None:
        task = self._polls.pop(uid).task
        if task:
            task.cancel()
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _host(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip


def _state(content: bytes) -> ServerState:
    try:
        return ServerState.from_json(json.loads(content))
    except ValueError as error:
        raise AgentError(f"the agent's answer is not understood: {error}") from error


def _text(content: bytes) -> str:
    return content[:256].decode(errors="replace").strip()
