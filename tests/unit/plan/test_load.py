"""What clients ask decides where models are placed, told as stories in a small world."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.plan.world import World, model_spec, pool_spec

from tightship.api.conditions import ConditionType, find_condition
from tightship.api.traffic import Traffic
from tightship.api.v1alpha1 import LatencyObjective, Slo


def busy(world: World, name: str, rate: float, **serving: Any) -> None:  # noqa: ANN401
    """A model of 1.2 ms a request that is asked `rate` times a second."""
    world.add(name, model_spec(f"s3://m/{name}", **serving))
    world.asked[name] = Traffic(rate=rate, rows=1, batch=1, busy=0.0012, cv=1.0)
    world.settle()


@pytest.mark.parametrize("restarts", [False, True])
def test_an_overloaded_server_gives_a_model_away(*, restarts: bool) -> None:
    """Both fit one server while nobody knows what they do. The world checks that none is missed."""
    world = World(pool_spec(servers=(1, 2)))
    world.restarts = restarts
    busy(world, "a", 500)
    busy(world, "b", 300)
    world.settle()
    assert world.ready("a")
    assert world.ready("b")
    assert world.servers_of("b") != world.servers_of("a")
    assert len(world.pods) == 2


def test_what_moved_stays_when_the_load_falls() -> None:
    world = World(pool_spec(servers=(1, 2)))
    busy(world, "a", 500)
    busy(world, "b", 300)
    world.settle()
    places = world.servers_of("a"), world.servers_of("b")
    world.asked["a"] = replace(world.asked["a"], rate=50)
    world.settle()
    assert (world.servers_of("a"), world.servers_of("b")) == places


def test_known_traffic_decides_where_models_come_back() -> None:
    world = World(pool_spec(servers=(1, 2)))
    busy(world, "a", 500)
    busy(world, "b", 300)
    world.settle()
    for pod in list(world.pods):
        world.kill_pod(pod)
    world.settle()
    assert world.ready("a")
    assert world.ready("b")
    assert world.servers_of("b") != world.servers_of("a")


def test_a_full_pool_says_what_is_lacking() -> None:
    world = World(pool_spec(servers=(1, 1)))
    busy(world, "a", 620)
    world.add("b", model_spec("s3://m/b", slo=Slo(latency=LatencyObjective(target=0.005))))
    world.settle()
    told = find_condition(world.models["b"].status, ConditionType.PLACED)
    assert told["reason"] == "NoRoom"
    assert "have the memory would miss an objective with one more copy" in told["message"]
    world.asked["a"] = Traffic(rate=10, rows=1, batch=1, busy=0.0012, cv=1.0)
    world.settle()
    assert world.ready("b")
