"""Which artifacts count as in use at every moment of a model's life, and when a clean-up ends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.unit.plan.world import World, model_spec, pool_spec

from tightship.api import names
from tightship.plan.actions import ApplyConvertJob, ApplySweep, DeleteSweep, Plan
from tightship.plan.plan import plan
from tightship.plan.snapshot import InvalidSpec

if TYPE_CHECKING:
    from tightship.api.v1alpha1 import ServingPoolSpec

A, B = "s3://models/a.onnx", "s3://models/b.onnx"


def with_retention(retention: float | None = 3600.0) -> ServingPoolSpec:
    spec = pool_spec()
    return replace(spec, store=replace(spec.store, retention=retention))


@pytest.fixture
def world() -> World:
    return World(with_retention())


def keys(result: Plan) -> tuple[str, ...]:
    (found,) = (action.keys for action in result.actions if isinstance(action, ApplySweep))
    return found


def key_of(world: World, model: str) -> str:
    return str(world.models[model].status["artifact"]["key"])


def test_without_retention_there_is_no_clean_up() -> None:
    world = World(pool_spec())
    world.add("intent", model_spec())
    world.settle()
    assert not {"ApplySweep", "DeleteSweep"} & world.writes.keys()


def test_an_empty_pool_uses_nothing(world: World) -> None:
    assert keys(world.step()) == ()


def test_a_key_is_in_use_before_its_job_starts_and_until_its_model_goes(world: World) -> None:
    world.add("intent", model_spec())
    started: set[str] = set()
    for _ in range(40):
        result = world.step()
        started |= {a.key for a in result.actions if isinstance(a, ApplyConvertJob)}
        assert started <= set(keys(result))
        places = [type(action) for action in result.actions]
        if ApplyConvertJob in places:
            assert places.index(ApplySweep) < places.index(ApplyConvertJob)
    assert keys(plan(world.snapshot())) == (key_of(world, "intent"),) == tuple(started)
    world.delete("intent")
    assert keys(plan(world.snapshot())) == ()


def test_the_version_that_is_served_is_in_use_while_its_successor_is_made(world: World) -> None:
    world.add("intent", model_spec(A))
    world.settle()
    old = key_of(world, "intent")
    world.edit("intent", model_spec(B))
    while key_of(world, "intent") == old or "previous" in world.models["intent"].status:
        assert old in keys(world.step())
    world.jobs.clear()
    world.settle()
    assert keys(plan(world.snapshot())) == (key_of(world, "intent"),)


def test_a_job_keeps_its_key_in_use(world: World) -> None:
    world.add("intent", model_spec(A))
    world.add("other", model_spec(B))
    world.settle()
    old = key_of(world, "other")
    jobs = dict(world.jobs)
    world.delete("other")
    world.jobs = jobs
    assert old in keys(plan(world.snapshot()))


@pytest.mark.parametrize("change", ["paused", "invalid"])
def test_a_model_that_is_held_keeps_its_artifact(world: World, change: str) -> None:
    world.add("intent", model_spec())
    world.settle()
    key = key_of(world, "intent")
    world.jobs.clear()
    if change == "paused":
        world.models["intent"] = replace(world.models["intent"], paused=True)
    else:
        world.edit("intent", InvalidSpec("spec.model: is required"))
    world.settle()
    assert keys(plan(world.snapshot())) == (key,)


def test_shared_artifacts_are_named_once_and_in_order(world: World) -> None:
    for name, uri in (("a", A), ("b", B), ("c", A)):
        world.add(name, model_spec(uri))
    world.settle()
    found = keys(plan(world.snapshot()))
    assert found == tuple(sorted({key_of(world, name) for name in "abc"}))


def test_a_clean_up_that_is_no_longer_asked_for_is_deleted_once(world: World) -> None:
    world.settle()
    assert world.sweep
    world.edit_pool(with_retention(None))
    world.settle()
    assert world.sweep is None
    assert world.writes["DeleteSweep"] == 1


def test_a_paused_or_deleted_pool_leaves_its_clean_up_as_it_is(world: World) -> None:
    world.settle()
    world.edit_pool(with_retention(None))
    assert world.pool
    for pool in (replace(world.pool, paused=True), replace(world.pool, deleting=True), None):
        result = plan(replace(world.snapshot(), pool=pool))
        assert not [a for a in result.actions if isinstance(a, ApplySweep | DeleteSweep)]


def test_the_pool_owns_its_clean_up(world: World) -> None:
    (found,) = (a for a in world.step().actions if isinstance(a, ApplySweep))
    assert (found.owner.kind, found.owner.uid) == (names.SERVING_POOL, "pool-uid")
