"""The ledger of memory: never more than the limit, and nobody waits for nothing."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.agent.capacity import Capacity
from tightship.agent.failures import NO_MEMORY, LoadingError

MIB = 1 << 20


async def test_takes_within_the_limit() -> None:
    capacity = Capacity(100)
    await capacity.take("a", 60)
    await capacity.take("b", 40)
    assert capacity.used == 100


async def test_refuses_above_the_limit_in_figures() -> None:
    capacity = Capacity(100 * MIB)
    await capacity.take("a", 60 * MIB)
    with pytest.raises(
        LoadingError, match=r"needs 50\.0 MiB, 60\.0 of the server's 100\.0"
    ) as found:
        await capacity.take("b", 50 * MIB)
    assert found.value.failure.reason == NO_MEMORY
    assert capacity.used == 60 * MIB


async def test_a_second_take_replaces_the_first() -> None:
    capacity = Capacity(100)
    await capacity.take("a", 90)
    await capacity.take("a", 95)
    assert capacity.used == 95


async def test_waits_for_what_is_leaving() -> None:
    capacity = Capacity(100)
    await capacity.take("a", 60)
    await capacity.leave("a")
    waiting = asyncio.create_task(capacity.take("b", 60))
    await asyncio.sleep(0)
    assert not waiting.done()
    await capacity.release("a")
    await waiting
    assert capacity.used == 60


async def test_does_not_wait_when_what_leaves_is_not_enough() -> None:
    capacity = Capacity(100)
    await capacity.take("a", 60)
    await capacity.take("b", 40)
    await capacity.leave("b")
    waiting = asyncio.create_task(capacity.take("c", 50))
    await asyncio.sleep(0)
    await capacity.release("b")
    with pytest.raises(LoadingError):
        await waiting


async def test_a_name_takes_over_from_its_staging_name() -> None:
    capacity = Capacity(100)
    await capacity.take("a", 30)
    await capacity.take("a__staging", 40)
    await capacity.rename("a__staging", "a")
    assert capacity.used == 40


_names = st.sampled_from(["a", "b", "c", "d"])
_steps = st.lists(
    st.tuples(st.sampled_from(["take", "release", "leave"]), _names, st.integers(0, 120)),
    max_size=40,
)


@given(_steps)
def test_no_order_of_events_exceeds_the_limit(steps: list[tuple[str, str, int]]) -> None:
    async def walk() -> None:
        capacity = Capacity(100)
        waiting = []
        for step, name, size in steps:
            match step:
                case "take":
                    waiting.append(asyncio.create_task(capacity.take(name, size)))
                case "release":
                    await capacity.release(name)
                case _:
                    await capacity.leave(name)
            await asyncio.sleep(0)
            assert 0 <= capacity.used <= 100
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(walk())
