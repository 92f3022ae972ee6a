"""Which servers a pool could do without."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.unit.plan.test_placing import NEW, copy, filled, item, server, work

from tightship.plan.placing import place
from tightship.plan.saving import Bounds, Saving, fitting, saving, way

if TYPE_CHECKING:
    from tightship.api.traffic import Traffic
    from tightship.plan.placement import Item, Placement, Server

LOOSE = Bounds(most=9, budget=1.0)


def on(name: str, where: str, memory: int = 10, rate: float = 1.0, **more: float) -> Item:
    return item(name, memory, 1, copy(where, memory), work=work(rate, **more))


def twice(name: str, *where: str) -> Item:
    return item(name, 10, 2, *(copy(each, 10) for each in where), work=work(1))


def pool(items: list[Item], *names: str, **nodes: str) -> list[Server]:
    return filled([server(name, node=nodes.get(name)) for name in names], items)


CASES: dict[str, tuple[list[Item], tuple[str, ...], Bounds, tuple[str, ...]]] = {
    "the one with the fewest copies": (
        [on("a", "s"), on("b", "t"), on("c", "t")],
        ("s", "t"),
        LOOSE,
        ("s",),
    ),
    "two at once": (
        [on("a", "s"), on("b", "t"), on("c", "u"), on("d", "u")],
        ("s", "t", "u"),
        LOOSE,
        ("s", "t"),
    ),
    "one is the least, whatever the budget": (
        [on("a", "s"), on("b", "t"), on("c", "u"), on("d", "u")],
        ("s", "t", "u"),
        Bounds(most=9, budget=0.01),
        ("s",),
    ),
    "no more than the budget": (
        [on("a", "s"), on("b", "t"), on("c", "u"), on("d", "u")],
        ("s", "t", "u"),
        Bounds(most=9, budget=0.25),
        ("s",),
    ),
    "no more than may go": (
        [on("a", "s"), on("b", "t"), on("c", "u"), on("d", "u")],
        ("s", "t", "u"),
        Bounds(most=1, budget=1.0),
        ("s",),
    ),
    "none may go": ([on("a", "s"), on("b", "t")], ("s", "t"), Bounds(most=0, budget=1.0), ()),
    "not one that is spared": (
        [on("a", "s"), on("b", "t"), on("c", "t")],
        ("s", "t"),
        Bounds(most=9, budget=1.0, spared=frozenset({"s"})),
        ("t",),
    ),
    "not in part": (
        [on("a", "s", 60), on("b", "s", 10), on("c", "t", 60), on("d", "t", 10)],
        ("s", "t"),
        LOOSE,
        (),
    ),
    "not to the last byte": ([on("a", "s", 50), on("b", "t", 50)], ("s", "t"), LOOSE, ()),
    "with five percent to spare": (
        [on("a", "s", 47), on("b", "t", 48)],
        ("s", "t"),
        LOOSE,
        ("s",),
    ),
    "a quarter more load has to fit": (
        [on("a", "s", rate=301), on("b", "t", rate=301)],
        ("s", "t"),
        LOOSE,
        (),
    ),
    "and where it does": (
        [on("a", "s", rate=299), on("b", "t", rate=299)],
        ("s", "t"),
        LOOSE,
        ("s",),
    ),
    "a server that would be too small keeps what it has": (
        [on("a", "s", rate=400), on("b", "s", rate=300), on("c", "t"), on("d", "u"), on("e", "u")],
        ("s", "t", "u"),
        LOOSE,
        ("t",),
    ),
    "objectives are kept": (
        [on("a", "s", rate=100, slo=0.005), on("b", "t", busy=0.2, slo=1.0)],
        ("s", "t"),
        LOOSE,
        (),
    ),
    "copies stay apart": ([twice("a", "s", "t")], ("s", "t"), LOOSE, ()),
    "copies move where there is none": (
        [twice("a", "s", "t"), on("b", "u"), on("c", "u"), on("d", "t")],
        ("s", "t", "u"),
        LOOSE,
        ("s",),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_can_be_given_up(name: str) -> None:
    items, names, bounds, given_up = CASES[name]
    items = counted(items)
    found = saving(items, pool(items, *names), bounds)
    assert (found.servers if found else ()) == given_up
    if found:
        moved = sum(c.server in found.servers for each in items for c in each.placed)
        assert found.copies == moved


def test_copies_stay_on_different_nodes() -> None:
    items = [twice("a", "s", "t"), on("b", "u"), on("c", "u"), on("d", "t")]
    nodes = {"s": "n", "t": "m", "u": "m"}
    found = saving(items, pool(items, "s", "t", "u", **nodes), LOOSE)
    assert found is None or "s" not in found.servers


def test_what_was_found_before_is_kept_while_it_can_be() -> None:
    items = [on("a", "s"), on("b", "t"), on("c", "u"), on("d", "u")]
    servers = pool(items, "s", "t", "u")
    assert saving(items, servers, LOOSE, ["t"]) == Saving(("t",), 1)
    assert saving(items, servers, Bounds(1, 1.0), ["t", "s"]) == Saving(("t",), 1)
    spared = Bounds(9, 1.0, frozenset({"t"}))
    assert saving(items, servers, spared, ["t"]) == Saving(("s",), 1)


def test_of_what_was_found_before_the_first_are_kept_where_not_all_can_be() -> None:
    items = [on("a", "s", 40), on("b", "t", 40), on("c", "u", 50)]
    found = saving(items, pool(items, "s", "t", "u"), LOOSE, ["t", "s"])
    assert found == Saving(("t",), 1)


def test_the_way_is_the_same_however_far_it_is() -> None:
    """Copies that have come stay where they are, so the others find the room that was planned."""
    items = [on("a", "s", 30), on("b", "s", 20), on("c", "t", 40), on("d", "u", 50)]
    servers = pool(items, "s", "t", "u")
    wishes = way(items, servers, frozenset({"s"}))
    assert wishes is not None
    (target,) = wishes.servers["a"]
    under_way = [replace(items[0], placed=(copy("s", 30), copy(target, 30))), *items[1:]]
    again = way(under_way, filled(servers, under_way), frozenset({"s"}))
    assert again is not None
    assert dict(again.servers) == dict(wishes.servers)


def test_there_is_no_way_where_a_load_does_not_fit() -> None:
    items = [on("a", "s", rate=400), on("b", "t", rate=400)]
    assert way(items, pool(items, "s", "t"), frozenset({"s"})) is None


def test_what_has_begun_needs_no_room_to_spare() -> None:
    items = [on("a", "s", rate=360), on("b", "t", rate=360)]
    servers = pool(items, "s", "t")
    assert saving(items, servers, LOOSE) is None
    assert way(items, servers, frozenset({"s"})) is not None


def test_what_fits_nowhere_hinders_nobody() -> None:
    items = [on("a", "s"), on("b", "t"), item("giant", 101, work=work(0))]
    servers = pool(items, "s", "t")
    assert saving(items, servers, LOOSE) is None
    assert saving(fitting(items, servers), servers, LOOSE) == Saving(("s",), 1)


models = st.lists(
    st.tuples(
        st.integers(1, 40),
        st.integers(1, 2),
        st.integers(0, 120),
        st.sampled_from([0.0005, 0.001, 0.004]),
        st.sampled_from([None, 0.02, 0.1, 1.0]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much])
@given(models, st.lists(st.floats(1.0, 1.2), min_size=12, max_size=12))
def test_what_was_given_up_is_not_wanted_back(
    wanted: list[tuple[int, int, int, float, float | None]], more: list[float]
) -> None:
    """Nothing moves at the same load, and nothing off a server that took copies at a higher one."""
    servers = [server(f"s{n}") for n in range(5)]
    items = [
        item(f"m{n}", memory, copies, work=work(rate, busy=busy, slo=slo))
        for n, (memory, copies, rate, busy, slo) in enumerate(wanted)
    ]
    items = counted([_spread(each, n) for n, each in enumerate(items)])
    servers = filled(servers, items)
    assume(all(s.used <= s.memory for s in servers))
    now = placed(items, servers)
    assume(not now.shortages and not now.crowded and not _moves(now, items))
    found = saving(items, servers, LOOSE)
    assume(found is not None)
    assert found is not None
    wishes = way(items, servers, frozenset(found.servers))
    assert wishes is not None
    moved = [
        replace(each, placed=tuple(copy(s, each.memory) for s in wishes.servers[each.model]))
        for each in items
    ]
    left = [s for s in filled(servers, moved) if s.name not in found.servers]
    after = counted(moved)
    assert not _moves(placed(after, left), after)
    busier = counted([_busier(each, by) for each, by in zip(moved, more, strict=False)])
    took = {
        s for each, was in zip(moved, items, strict=True) for s in _servers(each) - _servers(was)
    }
    assert not _moves(placed(busier, left), busier) & took


def placed(items: list[Item], servers: list[Server]) -> Placement:
    return place(items, servers, new_server=NEW, min_servers=0, max_servers=5)


def _servers(each: Item) -> set[str]:
    return {copy.server for copy in each.placed}


def _moves(placement: Placement, items: list[Item]) -> set[str]:
    """Servers that some copy is to leave."""
    return {s for each in items for s in _servers(each) - {*placement.wishes[each.model]}}


def _spread(each: Item, number: int) -> Item:
    names = [f"s{(number + n) % 5}" for n in range(each.copies)]
    return replace(each, placed=tuple(copy(name, each.memory) for name in names))


def counted(items: list[Item]) -> list[Item]:
    """The same, with executions that take longer by what else the servers do."""
    duty = {i.model: _asked(i).rate / max(1, len(i.placed)) * i.work.busy[0][1] for i in items}
    found = []
    for each in items:
        beside = [
            sum(
                duty[o.model]
                for o in items
                if o is not each and c.server in {p.server for p in o.placed}
            )
            for c in each.placed
        ]
        grown = [1 / (1 - min(0.75, other)) for other in beside] or [1.0]
        busy = each.work.busy[0][1] * sum(grown) / len(grown)
        traffic = replace(_asked(each), busy=busy)
        found.append(replace(each, work=replace(each.work, traffic=traffic)))
    return found


def _asked(each: Item) -> Traffic:
    assert each.work.traffic is not None
    return each.work.traffic


def _busier(each: Item, factor: float) -> Item:
    traffic = replace(_asked(each), rate=_asked(each).rate * factor)
    return replace(each, work=replace(each.work, traffic=traffic))
