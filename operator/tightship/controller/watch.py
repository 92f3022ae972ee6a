"""Watching through kopf, and nothing else: what it lists and streams goes into a feed."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import aiohttp
import kopf

from tightship.api import names
from tightship.controller.activity import Activity, Scope
from tightship.controller.kopf_settings import watching_only
from tightship.kube.connection import Connection
from tightship.kube.errors import UnavailableError
from tightship.kube.resources import WATCHED, Object, Resource

_log = logging.getLogger(__name__)

_LEAVE_SECONDS = 5.0
_LEAVE_ROUNDS = 5


class Feed(Protocol):
    """Where the watches' news go. Called on the event loop that made the `Watch`."""

    def listed(self, scope: Scope, items: Sequence[Object]) -> None:
        """A part of a list."""

    def complete(self, scope: Scope, uids: frozenset[str], version: str) -> None:
        """A list is complete and holds exactly these objects."""

    def changed(self, resource: Resource, kind: str | None, value: Object) -> None:
        """A watch event: ADDED, MODIFIED, DELETED, or None for an object of a list."""


class Watch:
    """Runs kopf in a thread with a loop of its own.

    kopf cancels every task of its loop that it does not know when it ends, and it installs signal
    handlers in the main thread; neither may reach the rest of the operator.
    """

    def __init__(
        self,
        connection: Connection,
        namespaces: Sequence[str],
        feed: Feed,
        inventory: Sequence[Resource] = (),
    ) -> None:
        self._connection = connection
        self._namespaces = tuple(namespaces)
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self.resources = (*WATCHED, *inventory)
        places: Sequence[str | None] = self._namespaces or (None,)
        self.scopes: tuple[Scope, ...] = tuple(
            (resource, place)
            for resource in self.resources
            for place in (places if resource.namespaced else (None,))
        )
        self.activity = Activity(self.scopes)

    async def run(self) -> None:
        """Watch until kopf ends, and raise what ended it. Cancelling stops the thread.

        Raises:
            Exception: whatever kopf gave up for.
        """
        ended: asyncio.Future[None] = self._loop.create_future()
        run = _Run(self, lambda error: self._tell(_settle, ended, error))
        self.activity.begin()
        thread = threading.Thread(target=run.main, name="watch", daemon=True)
        thread.start()
        try:
            await asyncio.shield(ended)
        finally:
            run.stop()
            _, late = await asyncio.wait({ended}, timeout=2 * _LEAVE_SECONDS)
            if late:
                _log.warning("the watch's thread does not end; it is left behind")
            elif not ended.cancelled():
                ended.exception()  # seen, where this run was cancelled

    def told_list(self, scope: Scope, items: list[Object]) -> None:
        """From the watch's thread: a part of a list."""
        self._tell(self._feed.listed, scope, items)

    def told_complete(self, scope: Scope, uids: frozenset[str], version: str) -> None:
        """From the watch's thread: a list is complete."""
        self._tell(self._feed.complete, scope, uids, version)

    def told_event(self, resource: Resource, kind: str | None, value: Object) -> None:
        """From the watch's thread: an event."""
        self._tell(self._feed.changed, resource, kind, value)

    async def operate(self, stop: asyncio.Event) -> None:
        """Kopf itself, in its own loop, until `stop` or the first failure of any of its parts.

        kopf's own way to its end waits for watchers that in turn wait for credentials that nobody
        brings any more, so the end is not left to it.

        Raises:
            Exception: what a part of kopf gave up for.
        """
        sessions: list[aiohttp.ClientSession] = []
        refused = asyncio.Event()
        ends = [asyncio.create_task(event.wait()) for event in (stop, refused)]
        try:
            roots = await kopf.spawn_tasks(
                registry=_registry(self._connection, self, sessions, refused),
                settings=watching_only(),
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                standalone=True,
                # Else kopf asks for the name of the process's user, and ours has none.
                identity=cast("Any", names.MANAGER),
            )
            done, _ = await asyncio.wait({*roots, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if refused.is_set():
                raise UnavailableError("the API server refuses our credentials")
            if not stop.is_set():
                _reraise(done)
        finally:
            await _close(sessions)  # first: aiohttp ends a connection in use at once, and for good
            await _end_all()
            await _close(sessions)  # of a login that was under way

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(call, *arguments)


async def _close(sessions: list[aiohttp.ClientSession]) -> None:
    for session in sessions:
        await session.close()


def _reraise(done: set[asyncio.Task[Any]]) -> None:
    for task in done:
        if not task.cancelled():
            error = task.exception()
            if error:
                raise error
    raise UnavailableError("the watch came to its end")


async def _end_all() -> None:
    """Cancel every other task of this loop, which is ours alone, until all have ended.

    Some of kopf's tasks take a first cancellation as the wish to begin their end.
    """
    for _ in range(_LEAVE_ROUNDS):
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if not others:
            return
        for task in others:
            task.cancel()
        done, _ = await asyncio.wait(others, timeout=_LEAVE_SECONDS / _LEAVE_ROUNDS)
        for task in done:
            if not task.cancelled():
                task.exception()  # seen: the first failure is the one that counts
    left = sorted(task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()})
    if left:
        _log.warning("parts of the watch do not end", extra={"tasks": ", ".join(left)})


def _settle(ended: asyncio.Future[None], error: BaseException | None) -> None:
    if ended.done():
        return
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)


class _Run:
    """One life of kopf in its thread."""

    def __init__(self, watch: Watch, ended: Callable[[BaseException | None], None]) -> None:
        self._watch = watch
        self._ended = ended
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wanted = True
        self._lock = threading.Lock()

    def main(self) -> None:
        """The thread's function."""
        error: BaseException | None = None
        try:
            loop = asyncio.new_event_loop()
            try:
                loop.run_until_complete(self._operate())
            finally:
                loop.close()
        except BaseException as caught:  # noqa: BLE001 (handed to the supervisor, whatever it is)
            error = caught
        self._ended(error)

    def stop(self) -> None:
        """Ask the thread to end."""
        with self._lock:
            self._wanted = False
            loop, stop = self._loop, self._stop
        if loop and stop and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(stop.set)
            except RuntimeError:
                _log.debug("the watch's loop has ended by itself")

    async def _operate(self) -> None:
        with self._lock:
            if not self._wanted:
                return
            self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        await self._watch.operate(self._stop)


class _Response(aiohttp.ClientResponse):
    """An answer to kopf, seen in passing: contents of lists, openings of streams."""

    watch: Watch
    collected: dict[Scope, set[str]]

    async def start(self, connection: Any) -> aiohttp.ClientResponse:  # noqa: ANN401 (aiohttp's)
        """Headers have come."""
        answer = await super().start(connection)
        scope = self.watch.activity.scope(self.url)
        if scope and "watch" in self.url.query and self.status == 200:  # noqa: PLR2004 (HTTP's OK)
            self.watch.activity.stream(scope, self)
        return answer

    async def json(self, **options: Any) -> Any:  # noqa: ANN401 (aiohttp's)
        """The decoded body."""
        answer = await super().json(**options)
        scope = self.watch.activity.scope(self.url)
        if scope and self.status == 200 and isinstance(answer, dict) and "items" in answer:  # noqa: PLR2004
            self._listed(scope, answer)
        return answer

    def _listed(self, scope: Scope, answer: Object) -> None:
        resource = scope[0]
        items = answer["items"] or []
        for item in items:  # as kopf does it, but before another thread looks at them
            item.setdefault("apiVersion", resource.api_version)
            item.setdefault("kind", resource.kind)
        if "continue" not in self.url.query:
            self.collected[scope] = set()
        uids = self.collected.setdefault(scope, set())
        uids.update(item["metadata"]["uid"] for item in items)
        self.watch.activity.sign(scope)
        self.watch.told_list(scope, items)
        metadata = answer.get("metadata") or {}
        if not metadata.get("continue"):
            version = str(metadata.get("resourceVersion") or "")
            self.watch.told_complete(scope, frozenset(self.collected.pop(scope)), version)


def _registry(
    connection: Connection,
    watch: Watch,
    sessions: list[aiohttp.ClientSession],
    refused: asyncio.Event,
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    response_class = type("_Response", (_Response,), {"watch": watch, "collected": {}})

    async def login(**_: object) -> kopf.AiohttpSession:
        if sessions:  # tokens are fresh with every request: logging in again changes nothing
            refused.set()
            await asyncio.Event().wait()
        sessions.append(connection.session(response_class))
        return kopf.AiohttpSession(server=connection.server, aiohttp_session=sessions[0])

    kopf.on.login(registry=registry, id="login", retries=1)(login)
    for resource in watch.resources:
        kopf.on.event(
            resource.group, resource.version, resource.plural, registry=registry, id="tell"
        )(_teller(resource, watch))
    return registry


def _teller(resource: Resource, watch: Watch) -> Callable[..., Any]:
    async def tell(event: Any, **_: object) -> None:  # noqa: ANN401 (kopf's raw event)
        watch.told_event(resource, event["type"], event["object"])

    return tell
