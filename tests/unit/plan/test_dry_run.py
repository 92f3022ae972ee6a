"""A pool that only plans: what its status says, and that nothing else is written."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.plan.world import MIB, World, model_spec, pool_spec

from tightship.plan.actions import ApplyPoolStatus, RecordEvent
from tightship.plan.plan import plan


def dry(world: World, *, on: bool = True, price: float | None = None, most: int = 3) -> None:
    spec = replace(world.pool_spec(), dry_run=on, price_per_hour=price, max_servers=most)
    world.edit_pool(spec)


def told(world: World) -> dict[str, object]:
    assert world.pool is not None
    found: dict[str, object] = world.pool.status["plan"]
    return found


def served() -> World:
    """Two models of 400 MiB on a server of 500 each."""
    world = World(pool_spec(room=500, servers=(1, 3)))
    world.memory = lambda _: 400 * MIB
    world.add("a", model_spec("s3://m/1"))
    world.add("b", model_spec("s3://m/2"))
    world.settle()
    return world


def test_what_runs_is_told_and_stays() -> None:
    world = served()
    dry(world)
    before = dict(world.models)
    world.settle()
    (a,), (b,) = world.servers_of("a"), world.servers_of("b")
    placement = sorted([(a, "a"), (b, "b")])
    assert told(world) == {
        "servers": 2,
        "placement": [{"server": server, "models": [model]} for server, model in placement],
    }
    assert world.models == before


def test_what_would_be_done_is_told_and_is_not_done() -> None:
    world = served()
    (server,) = world.servers_of("a")
    dry(world)
    world.edit("a", model_spec("s3://m/1", replicas=2))
    world.add("new", model_spec("s3://m/3"))
    dry(world, price=2.5)
    world.settle()
    plan_ = told(world)
    assert (plan_["servers"], plan_["costPerHour"]) == (3, "7.5")
    assert plan_["moves"] == [{"model": "a", "to": ["a new server 1"]}]
    assert plan_["waiting"] == [{"model": "new", "reason": "AwaitingConversion"}]
    assert world.servers_of("a") == [server]
    assert not any(job.owners & {world.models["new"].uid} for job in world.jobs.values())
    assert "conversion" not in world.models["new"].status


def test_nothing_but_the_pools_status_is_written() -> None:
    world = served()
    dry(world)
    world.add("new", model_spec("s3://m/3"))
    world.delete("b")
    actions = plan(world.snapshot()).actions
    assert actions
    assert all(isinstance(action, (ApplyPoolStatus, RecordEvent)) for action in actions)


def test_who_would_find_no_room() -> None:
    world = served()
    dry(world, most=2)
    world.edit("b", model_spec("s3://m/2", replicas=2))
    world.settle()
    assert told(world)["waiting"] == [{"model": "b", "reason": "NoRoom"}]


def test_afterwards_it_is_done() -> None:
    world = served()
    dry(world)
    world.edit("a", model_spec("s3://m/1", replicas=2))
    world.settle()
    dry(world, on=False)
    world.settle()
    assert len(world.servers_of("a")) == 2
    assert world.pool is not None
    assert "plan" not in world.pool.status
