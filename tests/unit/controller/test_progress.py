"""Following the logs of conversions: what is read, when it is told, when nobody asks any more."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from tightship.api.progress import Position, Stage
from tightship.controller.progress import Log, Positions
from tightship.kube.client import Client
from tightship.kube.connection import Connection

POOL = ("ns", "shared")
PATH = "/api/v1/namespaces/{namespace}/pods/{pod}/log"
LINES = [
    "progress: intake",
    "progress: candidates, 1 of 3: fp16",
    "fp16: tooSlow, x0.80",
    "progress: candidates, 2 of 3: static-int8",
    "static-int8: passed",
]


class Kubelet:
    """Answers for logs as the API server does: one text after another, the last one for ever."""

    def __init__(self, *answers: str | int) -> None:
        self.answers = deque(answers)
        self.asked: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def log(self, request: web.Request) -> web.Response:
        self.asked.put_nowait({**request.match_info, **request.query})
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.popleft()
        if isinstance(answer, str):
            return web.Response(text=answer)
        status = {"kind": "Status", "message": f"HTTP {answer}", "code": answer}
        return web.json_response(status, status=answer)


@asynccontextmanager
async def following(kubelet: Kubelet, interval: float = 0.01) -> AsyncIterator[Positions]:
    app = web.Application()
    app.router.add_get(PATH, kubelet.log)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = Client(Connection(configuration))
    positions = Positions(client, kubelet.told.put_nowait, interval=interval)
    positions.follow(POOL, {"uid": Log(POOL, "convert-1-abc")})
    try:
        yield positions
    finally:
        await positions.close()
        await client.close()
        await runner.cleanup()


async def test_the_last_line_counts_and_only_news_are_told() -> None:
    kubelet = Kubelet(
        "", "\n".join(LINES[:1]), "\n".join(LINES), "\n".join(LINES), "progress: time"
    )
    async with following(kubelet) as positions:
        seen = []
        for _ in range(3):
            assert await kubelet.told.get() == POOL
            seen.append(positions.position("uid"))
        asked = [await kubelet.asked.get() for _ in range(7)]
        assert kubelet.told.empty()
    assert seen == [
        Position(Stage.INTAKE),
        Position(Stage.CANDIDATES, 2, 3, "static-int8"),
        Position(Stage.TIME),
    ]
    assert asked[0] == {
        "namespace": "ns",
        "pod": "convert-1-abc",
        "container": "convert",
        "tailLines": "50",
        "limitBytes": "65536",
    }


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_what_cannot_be_read_now_is_read_later(status: int) -> None:
    kubelet = Kubelet(status, status, "progress: baseline")
    async with following(kubelet) as positions:
        assert await kubelet.told.get() == POOL
        assert positions.position("uid") == Position(Stage.BASELINE)


async def test_without_the_right_to_read_nobody_asks_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kubelet = Kubelet(403)
    async with following(kubelet) as positions:
        refused = positions._readings["uid"].task
        assert refused is not None
        await refused
        positions.follow(POOL, {"uid": Log(POOL, "convert-1-abc"), "new": Log(POOL, "convert-2")})
        assert positions.position("new") is None
    assert kubelet.asked.qsize() == 1
    assert "grant get of pods/log" in caplog.text


async def test_a_log_that_has_ended_is_forgotten() -> None:
    kubelet = Kubelet("progress: baseline")
    async with following(kubelet) as positions:
        await kubelet.told.get()
        positions.follow(("ns", "another"), {})
        assert positions.position("uid") is not None
        positions.follow(POOL, {})
        assert positions.position("uid") is None


async def test_after_the_end_nothing_is_followed() -> None:
    kubelet = Kubelet("progress: baseline")
    async with following(kubelet) as positions:
        await kubelet.told.get()
        await positions.close()
        positions.follow(POOL, {"uid": Log(POOL, "convert-1-abc")})
        assert positions.position("uid") is None
