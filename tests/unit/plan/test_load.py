"""What clients ask decides where models are placed, told as stories in a small world."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.plan.world import World, model_spec, pool_spec

from tightship.api.conditions import ConditionType, find_condition
from tightship.api.traffic import Traffic


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


def placed(world: World, name: str) -> tuple[str, str]:
    told = find_condition(world.models[name].status, ConditionType.PLACED)
    return told["reason"], told["message"]


@pytest.mark.parametrize("lost", [False, True])
def test_a_full_pool_serves_late_and_says_so(*, lost: bool) -> None:
    """Whether a model came to be where it is before or after anybody knew what it takes."""
    world = World(pool_spec(servers=(1, 1)))
    busy(world, "a", 500)
    busy(world, "b", 300)
    if lost:
        world.kill_pod(world.servers_of("a")[0])
        world.settle()
    assert world.ready("a")
    assert world.ready("b")
    assert any("No server has the time" in placed(world, name)[1] for name in ("a", "b"))
    world.asked["a"] = replace(world.asked["a"], rate=10)
    world.settle()
    assert not any("No server has the time" in placed(world, name)[1] for name in ("a", "b"))
