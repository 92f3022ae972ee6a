"""Copies of a model are spread over nodes, and no rolling update waits for a better node."""

from __future__ import annotations

from itertools import chain, cycle, product

import pytest
from tests.unit.plan.world import World, model_spec, pool_spec

from tightship.api.traffic import Traffic


@pytest.mark.parametrize("later", [cycle(nodes) for nodes in product("ab", repeat=3)])
@pytest.mark.parametrize("rate", [0.0, 5.0, 300.0])
def test_servers_are_replaced_wherever_new_ones_start(later: cycle[str], rate: float) -> None:
    world = World(pool_spec(servers=(2, 3)))
    world.nodes = chain("ab", later)
    for name, copies in (("one", 1), ("two", 2)):
        world.add(name, model_spec(f"s3://m/{name}", replicas=copies))
        world.asked[name] = Traffic(rate=rate, rows=1, batch=1, busy=0.0012, cv=1.0)
    world.settle()
    before = set(world.pods)
    world.edit_pool(world.changed(world.pool_spec()))
    world.settle(1500)
    assert not before & set(world.pods)
    assert world.ready("one")
    assert world.ready("two")
    assert len(world.pods) == 2
