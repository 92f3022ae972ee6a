"""What a status tells of a model's traffic, and when it is told."""

from __future__ import annotations

import pytest
from tests.unit.plan.world import World, model_spec, pool_spec

from tightship.api.traffic import Traffic
from tightship.plan.traffic import read_traffic

ASKED = Traffic(rate=12.0, rows=2.0, batch=4.0, busy=0.0036, cv=1.5)
TOLD = {
    "requestsPerSecond": "12.00",
    "samplesPerRequest": "2.00",
    "batch": "4.00",
    "busyTime": "3.6ms",
    "burstiness": "1.50",
}


def served(asked: Traffic | None = ASKED, replicas: int = 1) -> World:
    world = World(pool_spec(servers=(2, 2)))
    world.add("intent", model_spec(replicas=replicas))
    if asked is not None:
        world.asked["intent"] = asked
    world.settle()
    return world


@pytest.mark.parametrize("replicas", [1, 2])
def test_all_copies_are_told_together(replicas: int) -> None:
    assert served(replicas=replicas).models["intent"].status["traffic"] == TOLD


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            Traffic(rate=0.5, rows=1, batch=1, busy=0.001),
            {
                "requestsPerSecond": "0.50",
                "samplesPerRequest": "1.00",
                "batch": "1.00",
                "busyTime": "1ms",
            },
        ),
    ],
)
def test_what_is_not_known_is_absent(asked: Traffic, told: dict[str, str]) -> None:
    world = served(asked)
    assert world.models["intent"].status["traffic"] == told
    assert read_traffic(world.models["intent"].status) == asked


def test_nothing_is_told_of_a_model_that_nobody_has_asked() -> None:
    world = served(Traffic(rate=0.0))
    assert "traffic" not in world.models["intent"].status
    world.asked["intent"] = ASKED
    world.settle()
    assert world.models["intent"].status["traffic"] == TOLD
    world.asked["intent"] = Traffic(rate=0.0)
    world.settle()
    assert world.models["intent"].status["traffic"] == {"requestsPerSecond": "0.00"}


def test_nothing_is_told_before_a_copy_was_watched() -> None:
    world = served(None)
    assert "traffic" not in world.models["intent"].status
    assert read_traffic(world.models["intent"].status) is None


def test_known_figures_stay_while_a_copy_has_none() -> None:
    world = served()
    (pod,) = world.servers_of("intent")
    world.kill_triton(pod)
    for _ in range(12):
        world.step()
        assert world.models["intent"].status["traffic"] == TOLD
    world.settle()
    assert world.models["intent"].status["traffic"] == TOLD


def test_other_figures_are_told() -> None:
    world = served()
    world.asked["intent"] = Traffic(rate=30.0, rows=1, batch=3, busy=0.002, cv=1.0)
    world.settle()
    assert read_traffic(world.models["intent"].status) == world.asked["intent"]
