from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.plan.world import BASE, MIB, pool_spec

from tightship.api.accelerator import Accelerator
from tightship.api.conditions import Reason
from tightship.api.traffic import Traffic
from tightship.plan.placement import (
    Copy,
    Item,
    Placement,
    Server,
    Standing,
    Work,
    server_memory,
)
from tightship.plan.placing import place

NEW = Server(name="a new server", standing=Standing.STARTING, memory=100)


def server(name: str, used: int = 0, standing: Standing = Standing.OPEN, **more: Any) -> Server:  # noqa: ANN401
    return Server(name=name, standing=standing, memory=100, used=used, **more)


def copy(name: str, memory: int, *, current: bool = True, answering: bool = True) -> Copy:
    return Copy(server=name, memory=memory, current=current, answering=answering)


def work(rate: float | None = None, busy: float = 0.001, **more: Any) -> Work:  # noqa: ANN401
    """Of a model that computes one request at a time, asked `rate` times a second."""
    traffic = None
    if rate is not None:
        traffic = Traffic(rate=rate, rows=1, batch=1, busy=busy, cv=1.0)
    return Work(busy=((1, busy),), traffic=traffic, **more)


def item(model: str, memory: int, copies: int = 1, *placed: Copy, **more: Any) -> Item:  # noqa: ANN401
    more.setdefault("work", work())
    return Item(model=model, memory=memory, copies=copies, placed=placed, **more)


def packed(items: list[Item], servers: list[Server], most: int = 1, least: int = 0) -> Placement:
    return place(items, servers, new_server=NEW, min_servers=least, max_servers=most)


CASES: dict[str, tuple[list[Item], list[Server], int, dict[str, tuple[str, ...]], Any]] = {
    "first fit": ([item("a", 60), item("b", 40)], [server("s")], 1, {"a": ("s",), "b": ("s",)}, {}),
    "one byte too much": (
        [item("a", 60), item("b", 41)],
        [server("s")],
        1,
        {"a": ("s",), "b": ()},
        {"b": Reason.NO_ROOM},
    ),
    "priority comes first": (
        [item("a", 60), item("b", 60, priority=200)],
        [server("s")],
        1,
        {"a": (), "b": ("s",)},
        {"a": Reason.NO_ROOM},
    ),
    "copies on different servers": (
        [item("a", 10, 2)],
        [server("s"), server("t")],
        2,
        {"a": ("s", "t")},
        {},
    ),
    "more copies than servers": (
        [item("a", 10, 2)],
        [server("s")],
        1,
        {"a": ("s",)},
        {"a": Reason.TOO_FEW_SERVERS},
    ),
    "another server is started": (
        [item("a", 60), item("b", 60)],
        [server("s")],
        2,
        {"a": ("s",), "b": ()},
        {"b": Reason.AWAITING_SERVER},
    ),
    "larger than any server": (
        [item("a", 101)],
        [server("s")],
        9,
        {"a": ()},
        {"a": Reason.TOO_LARGE},
    ),
    "what is placed stays": (
        [item("a", 10, 1, copy("t", 10))],
        [server("s"), server("t", 10)],
        2,
        {"a": ("t",)},
        {},
    ),
    "the wanted version stays, not the old one": (
        [item("a", 10, 1, copy("s", 10, current=False), copy("t", 10, answering=False))],
        [server("s", 10), server("t", 10)],
        2,
        {"a": ("t",)},
        {},
    ),
    "an update beside the old version": (
        [item("a", 50, 1, copy("s", 50, current=False))],
        [server("s", 50)],
        1,
        {"a": ("s",)},
        {},
    ),
    "an update that needs another server": (
        [item("a", 60, 1, copy("s", 60, current=False))],
        [server("s", 60), server("t")],
        2,
        {"a": ("t",)},
        {},
    ),
    "an update that fits nowhere": (
        [item("a", 60, 1, copy("s", 60, current=False))],
        [server("s", 60)],
        1,
        {"a": ("s",)},
        {"a": Reason.NO_ROOM_FOR_UPDATE},
    ),
    "a leaving server": (
        [item("a", 60, 1, copy("s", 60))],
        [server("s", 60, Standing.LEAVING), server("t")],
        1,
        {"a": ("t",)},
        {},
    ),
    "a leaving server and no room elsewhere": (
        [item("a", 60, 1, copy("s", 60))],
        [server("s", 60, Standing.LEAVING), server("t", 50)],
        1,
        {"a": ("s",)},
        {"a": Reason.NO_ROOM},
    ),
    "room that is being freed": (
        [item("a", 60)],
        [server("s", 60, freeing=60)],
        1,
        {"a": ()},
        {"a": Reason.AWAITING_ROOM},
    ),
    "nothing comes to a server that does not answer": (
        [item("a", 10)],
        [server("s", 0, Standing.HELD)],
        1,
        {"a": ()},
        {"a": Reason.NO_ROOM},
    ),
    "a starting server is waited for": (
        [item("a", 10)],
        [server("s", 0, Standing.STARTING)],
        1,
        {"a": ()},
        {"a": Reason.AWAITING_SERVER},
    ),
    "new servers before old ones": (
        [item("a", 10)],
        [server("s", old=True), server("t")],
        2,
        {"a": ("t",)},
        {},
    ),
    "duty is bounded too": (
        [item("a", 1, work=work(500)), item("b", 1, work=work(300))],
        [server("s"), server("t")],
        2,
        {"a": ("s",), "b": ("t",)},
        {},
    ),
    "who finds no time goes where the memory is": (
        [item("a", 1, work=work(500)), item("b", 1, work=work(300))],
        [server("s")],
        1,
        {"a": ("s",), "b": ("s",)},
        {},
    ),
    "objectives are kept": (
        [
            item("a", 1, work=work(100, slo=0.003)),
            item("b", 1, work=work(1, busy=0.2, slo=1.0)),
        ],
        [server("s"), server("t")],
        2,
        {"a": ("s",), "b": ("t",)},
        {},
    ),
    "copies are spread over nodes": (
        [item("a", 10, 2)],
        [server("s", node="n"), server("t", node="n"), server("u", node="m")],
        3,
        {"a": ("s", "u")},
        {},
    ),
    "copies on one node rather than none": (
        [item("a", 10, 2, copy("s", 10))],
        [server("s", 10, node="n"), server("t", node="n"), server("u", 100, node="m")],
        3,
        {"a": ("s", "t")},
        {},
    ),
    "a model that was not measured has a server of its own": (
        [item("a", 1, work=Work()), item("b", 1, work=work(1))],
        [server("s"), server("t")],
        2,
        {"a": ("s",), "b": ("t",)},
        {},
    ),
    "slower than its profile": (
        [
            item("a", 1, 1, copy("s", 1), work=replace(work(300, 0.002), busy=((1, 0.001),))),
            item("b", 1, work=work(300)),
        ],
        [server("s", 1), server("t")],
        2,
        {"a": ("s",), "b": ("t",)},
        {},
    ),
    "slower for its neighbours' work, not its own": (
        [
            item("a", 1, 1, copy("s", 1), work=replace(work(300, 0.00125), busy=((1, 0.001),))),
            item("b", 1, 1, copy("s", 1), work=work(200)),
            item("c", 1, work=work(200)),
        ],
        [server("s", 2), server("t")],
        2,
        {"a": ("s",), "b": ("s",), "c": ("s",)},
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_placement(name: str) -> None:
    items, servers, most, places, shortages = CASES[name]
    placement = packed(items, servers, most)
    assert dict(placement.servers) == places
    assert {m: s.reason for m, s in placement.shortages.items()} == shortages


@pytest.mark.parametrize(
    ("items", "least", "most", "wanted"),
    [
        ([], 0, 3, 0),
        ([], 2, 3, 2),
        ([item("a", 60), item("b", 60), item("c", 60)], 1, 9, 3),
        ([item("a", 60), item("b", 60), item("c", 60)], 1, 2, 2),
        ([item("a", 60), item("b", 40)], 1, 9, 1),
        ([item("a", 10, 3)], 1, 9, 3),
    ],
)
def test_wanted_servers(items: list[Item], least: int, most: int, wanted: int) -> None:
    assert packed(items, [], most, least).wanted_servers == wanted


def test_server_memory_is_the_devices_or_the_containers_less_the_base() -> None:
    pool = pool_spec(room=1000)
    assert server_memory(pool) == 1000 * MIB
    cached = replace(pool.server, response_cache_bytes=64 * MIB)
    assert server_memory(replace(pool, server=cached)) == 936 * MIB
    device = Accelerator(resource_name="nvidia.com/gpu", memory=24 * 2**30)
    assert server_memory(replace(pool, accelerator=device)) == 24 * 2**30
    tiny = replace(pool.server, resources=replace(pool.server.resources, memory=BASE - 1))
    assert server_memory(replace(pool, server=tiny)) == 0


sizes = st.integers(1, 60)
fleets = st.lists(st.sampled_from(Standing), min_size=1, max_size=5)
wishes = st.lists(st.tuples(sizes, st.integers(1, 4), st.integers(0, 3)), max_size=12)


def put(placement: Placement, items: list[Item]) -> list[Item]:
    """The same items, now placed as the placement says."""
    found = []
    for one in items:
        placed = [copy(s, one.memory) for s in placement.servers[one.model]]
        found.append(replace(one, placed=tuple(placed)))
    return found


def filled(servers: list[Server], items: list[Item]) -> list[Server]:
    used = {s.name: 0 for s in servers}
    for one in items:
        for placed in one.placed:
            used[placed.server] += placed.memory
    return [replace(s, used=used[s.name]) for s in servers]


@given(fleets, wishes)
def test_never_above_capacity_never_twice_on_a_server_and_stable(
    standings: list[Standing], wanted: list[tuple[int, int, int]]
) -> None:
    servers = [server(f"s{n}", standing=standing) for n, standing in enumerate(standings)]
    items = [
        item(f"m{n}", memory, copies, priority=priority)
        for n, (memory, copies, priority) in enumerate(wanted)
    ]
    placement = packed(items, servers, len(servers))
    assert placement == packed(items[::-1], servers, len(servers))
    for one in servers:
        here = [i for i in items if one.name in placement.servers[i.model]]
        assert sum(i.memory for i in here) <= one.memory
        assert one.standing is Standing.OPEN or not here
    for wish in items:
        places = placement.servers[wish.model]
        assert len(set(places)) == len(places) <= wish.copies
        assert (len(places) == wish.copies) == (wish.model not in placement.shortages)
    again = put(placement, items)
    second = packed(again, filled(servers, again), len(servers))
    assert second.servers == placement.servers
