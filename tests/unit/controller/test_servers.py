"""Agents as the operator follows them, over real TLS on loopback."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.agent_double import AgentDouble, serving, tls

from tightship.api import names
from tightship.api.agent import Assignment, Fence, ModelAssignment, ServingConfig
from tightship.controller.certificates import Credentials, new_data
from tightship.controller.servers import (
    AgentError,
    AgentView,
    ServerAddress,
    Servers,
    StaleError,
)

POOL = ("ns", "shared")
DATA = new_data(names.agent_server_name("shared", "ns"), time.time())
OTHER = new_data(names.agent_server_name("shared", "ns"), time.time())
MODEL = ModelAssignment(name="a", key="a" * 64, digest="d" * 64, memory=1, config=ServingConfig())


def credentials(**changes: object) -> Credentials:
    known = Credentials((DATA["tls.crt"],), DATA["token"], 0.0, "1")
    return replace(known, **changes)  # type: ignore[arg-type]


class Following:
    """One double and the operator's side of it."""

    def __init__(self, double: AgentDouble, port: int) -> None:
        self.double = double
        self.doubts = 0
        self._news = asyncio.Event()
        self.servers = Servers(self._changed, self._doubted, port=port)
        self.addresses = {"uid": ServerAddress(POOL, "uid", "127.0.0.1")}

    def follow(self, known: Credentials | None) -> None:
        self.servers.follow(POOL, self.addresses, known)

    async def until(self, condition: Callable[[AgentView], bool]) -> AgentView:
        async with asyncio.timeout(20):
            while not condition(self.servers.view("uid")):
                self._news.clear()
                await self._news.wait()
        return self.servers.view("uid")

    def _changed(self, _: object) -> None:
        self._news.set()

    def _doubted(self, _: object) -> None:
        self.doubts += 1


@asynccontextmanager
async def _following(folder: Path) -> AsyncIterator[Following]:
    double = AgentDouble(DATA["token"])
    context = tls(DATA["tls.crt"], DATA["tls.key"], folder)
    async with serving(double, context, "127.0.0.1", 0) as port:
        found = Following(double, port)
        try:
            yield found
        finally:
            await found.servers.close()


@pytest.fixture
async def following(tmp_path: Path) -> AsyncIterator[Following]:
    async with _following(tmp_path) as found:
        yield found


async def test_a_change_is_told_by_the_long_poll(following: Following) -> None:
    following.follow(credentials())
    view = await following.until(lambda v: v.state is not None)
    assert view.error is None
    assert view.age is not None
    following.double.change(restarts=3)
    await following.until(lambda v: v.state is not None and v.state.restarts == 3)
    assert following.double.requests <= 4


async def test_an_assignment_is_put_and_fenced(following: Following) -> None:
    following.follow(credentials())
    await following.until(lambda v: v.state is not None)
    wanted, empty = Assignment((MODEL,)), Assignment().etag
    await following.servers.put("uid", empty, wanted, Fence(2, 1))
    state = following.servers.view("uid").state
    assert state is not None
    assert state.etag == wanted.etag
    with pytest.raises(StaleError) as caught:
        await following.servers.put("uid", wanted.etag, Assignment(), Fence(1, 99))
    assert caught.value.fence == Fence(2, 1)
    with pytest.raises(StaleError):
        await following.servers.put("uid", empty, Assignment(), Fence(2, 2))


async def test_a_wrong_token_is_told_and_doubted(following: Following) -> None:
    following.follow(credentials(token="wrong"))
    view = await following.until(lambda v: v.error is not None)
    assert "401" in (view.error or "")
    assert following.doubts >= 1


async def test_another_certificate_is_refused(following: Following) -> None:
    following.follow(credentials(trusted=(OTHER["tls.crt"],)))
    view = await following.until(lambda v: v.error is not None)
    assert "certificate" in (view.error or "")
    assert following.double.requests == 0


async def test_the_former_certificate_is_trusted_during_a_renewal(following: Following) -> None:
    following.follow(credentials(trusted=(OTHER["tls.crt"], DATA["tls.crt"])))
    await following.until(lambda v: v.state is not None)


async def test_new_credentials_begin_anew(following: Following) -> None:
    following.follow(credentials(token="wrong"))
    await following.until(lambda v: v.error is not None)
    following.follow(credentials())
    view = await following.until(lambda v: v.state is not None)
    assert view.error is None


async def test_a_server_that_left_is_not_followed(following: Following) -> None:
    following.follow(credentials())
    await following.until(lambda v: v.state is not None)
    following.addresses = {}
    following.follow(credentials())
    assert following.servers.view("uid") == AgentView()
    with pytest.raises(AgentError):
        await following.servers.put("uid", "*", Assignment(), Fence(1, 1))


async def test_an_unreachable_agent_keeps_its_last_answer(tmp_path: Path) -> None:
    async with _following(tmp_path) as found:
        found.follow(credentials())
        await found.until(lambda v: v.state is not None)
        found.double.token = "changed"
        found.double.change(restarts=1)
        view = await found.until(lambda v: v.error is not None)
        assert view.state is not None
        assert view.state.restarts == 0


def test_credentials_never_show_the_token() -> None:
    assert DATA["token"] not in repr(credentials())


async def test_after_the_end_nobody_opens_a_connection(following: Following) -> None:
    """A reconcile that is still under way meanwhile would leave one open."""
    following.follow(credentials())
    await following.until(lambda v: v.state is not None)
    await following.servers.close()
    asked = following.double.requests
    following.follow(credentials())
    assert following.servers.view("uid") == AgentView()
    assert following.double.requests == asked
