"""Leases between processes that share one object, on a clock of the test's own."""

import copy
from typing import Any

import pytest

from tightship.api.agent import Fence
from tightship.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    NotFoundError,
    NotLeaderError,
    UnavailableError,
)
from tightship.kube.lease import Lease, LeaseTimes

TIMES = LeaseTimes(duration=15, renew=5, retry=2, margin=4)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class OneLease:
    """The Lease as the API server keeps it: versions, and a conflict for a stale writer."""

    def __init__(self) -> None:
        self.value: dict[str, Any] | None = None
        self.down = False
        self.writes = 0

    async def get(self, *_: object) -> dict[str, Any]:
        self._check()
        if self.value is None:
            raise NotFoundError("no lease")
        return copy.deepcopy(self.value)

    async def create(self, wanted: dict[str, Any], *, manager: str) -> dict[str, Any]:
        self._check()
        if self.value is not None:
            raise AlreadyExistsError("exists")
        return self._write(wanted, 1, manager)

    async def replace(self, wanted: dict[str, Any], *, manager: str) -> dict[str, Any]:
        self._check()
        assert self.value is not None
        version = int(self.value["metadata"]["resourceVersion"])
        if wanted["metadata"]["resourceVersion"] != str(version):
            raise ConflictError("changed")
        return self._write(wanted, version + 1, manager)

    def _write(self, wanted: dict[str, Any], version: int, manager: str) -> dict[str, Any]:
        assert manager == "tightship"
        self.writes += 1
        self.value = copy.deepcopy(wanted)
        self.value["metadata"]["resourceVersion"] = str(version)
        return copy.deepcopy(self.value)

    def _check(self) -> None:
        if self.down:
            raise UnavailableError("down")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> OneLease:
    return OneLease()


def lease(server: OneLease, clock: Clock, identity: str = "a") -> Lease:
    return Lease(server, "ns", "tightship", identity, times=TIMES, clock=clock)  # type: ignore[arg-type]


async def test_the_first_takes_it_and_may_write(server: OneLease, clock: Clock) -> None:
    one = lease(server, clock)
    with pytest.raises(NotLeaderError):
        one.allowance()
    assert await one._try()
    assert one.held
    assert one.allowance() == pytest.approx(15)


async def test_nothing_is_written_with_too_little_left(server: OneLease, clock: Clock) -> None:
    one = lease(server, clock)
    await one._try()
    clock.now += 10.9
    assert one.allowance() == pytest.approx(4.1)
    clock.now += 0.2
    with pytest.raises(NotLeaderError):
        one.allowance()
    assert one.held  # still ours, but only to finish what is under way


async def test_a_second_waits_for_the_end_on_its_own_clock(server: OneLease, clock: Clock) -> None:
    one, two = lease(server, clock), lease(server, clock, "b")
    await one._try()
    assert not await two._try()
    clock.now += 14.9
    assert not await two._try()
    clock.now += 0.2
    assert await two._try()
    assert two.fence().transitions == 1
    assert not one.held


async def test_a_renewal_seen_starts_the_wait_anew(server: OneLease, clock: Clock) -> None:
    one, two = lease(server, clock), lease(server, clock, "b")
    await one._try()
    await two._try()
    clock.now += 10
    assert await one._try()
    assert not await two._try()
    clock.now += 14
    assert not await two._try()


async def test_the_lease_counts_from_before_the_request(server: OneLease, clock: Clock) -> None:
    one = lease(server, clock)
    answer = server.create

    async def slow(wanted: dict[str, Any], *, manager: str) -> dict[str, Any]:
        clock.now += 3
        return await answer(wanted, manager=manager)

    server.create = slow  # type: ignore[method-assign]
    await one._try()
    assert one.allowance() == pytest.approx(12)


async def test_a_stale_writer_loses(server: OneLease, clock: Clock) -> None:
    one, two = lease(server, clock), lease(server, clock, "b")
    await one._try()
    await two._try()
    clock.now += 16
    read = server.get

    async def overtaken(*_: object) -> dict[str, Any]:
        answer = await read()
        server.get = read  # type: ignore[method-assign]
        assert await two._try()
        return answer

    server.get = overtaken  # type: ignore[method-assign]
    assert not await one._try()
    assert two.held
    assert not one.held


async def test_an_outage_ends_the_leadership_by_itself(server: OneLease, clock: Clock) -> None:
    one = lease(server, clock)
    await one._try()
    server.down = True
    assert not await one._try()
    assert one.held
    clock.now += 15.1
    assert not one.held
    server.down = False
    assert await one._try()
    assert one.fence().transitions == 0  # nobody else was there in between


async def test_a_lease_given_back_is_taken_at_once(server: OneLease, clock: Clock) -> None:
    one, two = lease(server, clock), lease(server, clock, "b")
    await one._try()
    await one.release()
    with pytest.raises(NotLeaderError):
        one.allowance()
    assert await two._try()
    assert two.fence() == Fence(1, 1)


async def test_fences_grow_within_and_between_terms(server: OneLease, clock: Clock) -> None:
    one, two = lease(server, clock), lease(server, clock, "b")
    await one._try()
    fences = [one.fence(), one.fence()]
    clock.now += 5
    await one._try()
    fences.append(one.fence())
    await two._try()
    clock.now += 30
    await two._try()
    fences.append(two.fence())
    assert fences == sorted(set(fences))


async def test_a_deleted_lease_does_not_set_the_fence_back(server: OneLease, clock: Clock) -> None:
    one, two = lease(server, clock), lease(server, clock, "b")
    await one._try()
    await two._try()
    clock.now += 20
    await two._try()
    before = two.fence()
    server.value = None
    await two._try()
    assert two.fence() > before


async def test_an_agents_greater_fence_is_passed(server: OneLease, clock: Clock) -> None:
    one = lease(server, clock)
    await one._try()
    one.outbid(Fence(41, 7))
    await one._try()
    assert one.fence() > Fence(41, 7)
    one.outbid(Fence(42, 900))
    assert one.fence() == Fence(42, 901)


async def test_holding_ends_before_the_lease_does(server: OneLease) -> None:
    times = LeaseTimes(duration=0.4, renew=0.1, retry=0.05, margin=0.2)
    one = Lease(server, "ns", "tightship", "a", times=times)  # type: ignore[arg-type]
    await one.acquire()
    server.down = True
    await one.hold()
    assert not one.held
    with pytest.raises(NotLeaderError):
        one.fence()
