import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tightship.kube.queue import Queue, WorkError

Task = Callable[[str], Awaitable[float | None]]


@asynccontextmanager
async def working(queue: Queue[str], task: Task, workers: int = 1) -> AsyncIterator[None]:
    running = [asyncio.create_task(queue.work(task)) for _ in range(workers)]
    try:
        yield
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class Counter:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self._more = asyncio.Event()

    async def __call__(self, key: str) -> float | None:
        self.calls.append(key)
        self._more.set()
        return None

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.calls) < count:
                self._more.clear()
                await self._more.wait()


async def test_equal_keys_become_one() -> None:
    queue, task = Queue[str](rest=0), Counter()
    for _ in range(5):
        queue.add("a")
    queue.add("b")
    assert queue.depth == 2
    async with working(queue, task):
        await task.reach(2)
    assert task.calls == ["a", "b"]


async def test_a_key_added_during_its_work_comes_once_more_and_never_twice_at_once() -> None:
    queue = Queue[str](rest=0)
    begun, go = asyncio.Event(), asyncio.Event()
    active = most = runs = 0
    done = asyncio.Event()

    async def task(_: str) -> None:
        nonlocal active, most, runs
        active += 1
        runs += 1
        most = max(most, active)
        begun.set()
        await go.wait()
        active -= 1
        if runs == 2:
            done.set()

    queue.add("a")
    async with working(queue, task, workers=3):
        await begun.wait()
        for _ in range(10):
            queue.add("a")
        go.set()
        async with asyncio.timeout(10):
            await done.wait()
    assert (runs, most) == (2, 1)


async def test_workers_bound_how_many_keys_are_worked_on() -> None:
    queue = Queue[str](rest=0)
    active = most = 0
    finished = asyncio.Event()
    left = 6

    async def task(_: str) -> None:
        nonlocal active, most, left
        active += 1
        most = max(most, active)
        await asyncio.sleep(0)
        active -= 1
        left -= 1
        if not left:
            finished.set()

    for number in range(6):
        queue.add(str(number))
    async with working(queue, task, workers=2), asyncio.timeout(10):
        await finished.wait()
    assert most == 2


async def test_a_failure_comes_again_and_does_not_stop_others() -> None:
    queue = Queue[str](rest=0, jitter=lambda: 0.0)
    seen: list[str] = []
    done = asyncio.Event()

    async def task(key: str) -> None:
        seen.append(key)
        if key == "bad" and seen.count("bad") < 3:
            raise WorkError("not yet")
        if seen.count("bad") == 3:
            done.set()

    queue.add("bad")
    queue.add("good")
    async with working(queue, task), asyncio.timeout(10):
        await done.wait()
    assert seen.count("good") == 1
    assert queue.backoff("bad") == pytest.approx(0.1)  # forgotten with the success


async def test_a_defect_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    queue = Queue[str](rest=0, jitter=lambda: 0.0)
    calls = 0
    done = asyncio.Event()

    async def task(_: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a defect")
        done.set()

    queue.add("a")
    async with working(queue, task), asyncio.timeout(10):
        await done.wait()
    assert "a defect" in caplog.text


def test_backoff_doubles_to_a_cap_with_jitter() -> None:
    low, high = Queue[str](jitter=lambda: 0.0), Queue[str](jitter=lambda: 1.0)
    for failures, whole in [(0, 0.2), (1, 0.4), (4, 3.2), (9, 60.0), (400, 60.0)]:
        low._failures["a"] = high._failures["a"] = failures
        assert low.backoff("a") == pytest.approx(whole / 2)
        assert high.backoff("a") == pytest.approx(whole)


async def test_the_earliest_of_several_delays_counts() -> None:
    queue, task = Queue[str](rest=0), Counter()
    queue.add_after("a", 3600)
    queue.add_after("a", 0.01)
    queue.add_after("a", 7200)
    async with working(queue, task):
        await task.reach(1)
    assert not queue._delayed


async def test_work_now_replaces_work_later() -> None:
    queue, task = Queue[str](rest=0), Counter()
    queue.add_after("a", 3600)
    queue.add("a")
    async with working(queue, task):
        await task.reach(1)
    assert not queue._delayed


async def test_the_task_may_ask_for_its_key_again() -> None:
    queue = Queue[str](rest=0)
    calls = 0
    done = asyncio.Event()

    async def task(_: str) -> float | None:
        nonlocal calls
        calls += 1
        if calls == 3:
            done.set()
            return None
        return 0.0

    queue.add("a")
    async with working(queue, task), asyncio.timeout(10):
        await done.wait()
    assert calls == 3


async def test_a_forgotten_key_leaves_nothing() -> None:
    queue = Queue[str]()
    queue.add_after("a", 3600)
    queue.forget("a")
    assert not queue._delayed
    assert not queue._failures


async def test_a_burst_during_the_rest_is_one_piece_of_work() -> None:
    queue, task = Queue[str](rest=0.05), Counter()
    queue.add("a")
    async with working(queue, task):
        await task.reach(1)
        for _ in range(20):
            queue.add("a")
            await asyncio.sleep(0)
        await task.reach(2)
    assert task.calls == ["a", "a"]
