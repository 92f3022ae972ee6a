"""What a plan remembers saves work and changes no decision."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.plan.test_properties import (
    NAMES,
    SIZES,
    change,
    deletions,
    edits,
    faults,
    pools,
    waits,
)
from tests.unit.plan.world import MIB, World, model_spec, pool_spec

from tightship.api.v1alpha1 import OptimizedModelSpec, ServingPoolSpec
from tightship.plan.memo import POOL, Memo
from tightship.plan.plan import plan
from tightship.plan.snapshot import InvalidSpec

if TYPE_CHECKING:
    from tightship.plan.snapshot import ModelFact

INVALID = InvalidSpec("spec.model is missing")
MODEL_TWISTS = ("pause", "invalid", "foreign", "forget", "retry", "reborn", "age", "priority")
POOL_TWISTS = ("pause the pool", "break the pool", "no pool", "slo", "cache", "resume")

twists = st.tuples(st.sampled_from(MODEL_TWISTS), st.sampled_from(NAMES))
pool_twists = st.tuples(st.sampled_from(POOL_TWISTS), st.just(""))
stories = st.lists(
    st.one_of(edits, edits, waits, waits, deletions, faults, pools, twists, pool_twists),
    max_size=16,
)


class Unchecked(World):
    """Keeps no promises to clients: a status may be lost, a pool may go."""

    def check(self) -> None:
        """Nothing."""


def twist(world: World, what: str, name: str) -> None:
    if what == "foreign":
        world.foreign ^= {name}
    elif name in world.models:
        world.models[name] = _twisted(world, world.models[name], what)


def _twisted(world: World, model: ModelFact, what: str) -> ModelFact:
    changes: dict[str, dict[str, Any]] = {
        "pause": {"paused": not model.paused},
        "invalid": {"spec": INVALID, "generation": model.generation + 1},
        "forget": {"status": {}},
        "retry": {"retry": f"{model.retry}x"},
        "reborn": {"uid": world.uid(), "status": {}},
        "age": {"created": model.created - 1},
        "priority": {"spec": _raised(model.spec)},
    }
    return replace(model, **changes[what])


def _raised(spec: OptimizedModelSpec | InvalidSpec) -> OptimizedModelSpec | InvalidSpec:
    if isinstance(spec, InvalidSpec):
        return spec
    return replace(spec, serving=replace(spec.serving, priority=spec.serving.priority + 1))


def twist_pool(world: World, what: str, spec: ServingPoolSpec) -> None:
    fact = world.pool or World(spec).pool
    assert fact is not None
    known = fact.spec if isinstance(fact.spec, ServingPoolSpec) else spec
    slo = {name: replace(goal, target=goal.target / 2) for name, goal in known.slo_classes.items()}
    cached = replace(known.server, response_cache_bytes=10 * MIB)
    world.pool = {
        "pause the pool": replace(fact, paused=not fact.paused),
        "break the pool": replace(fact, spec=InvalidSpec("spec.store is missing")),
        "no pool": None,
        "slo": replace(fact, spec=replace(known, slo_classes=slo)),
        "cache": replace(fact, spec=replace(known, server=cached)),
        "resume": replace(fact, spec=known, paused=False),
    }[what]


@settings(max_examples=60)
@given(story=stories, servers=st.sampled_from([(1, 1), (1, 3), (2, 3)]))
def test_a_plan_with_a_memo_is_the_plan_without(
    story: list[tuple[Any, ...]], servers: tuple[int, int]
) -> None:
    spec = pool_spec(room=500, servers=servers, max_concurrent=2)
    world, memo = Unchecked(spec), Memo()
    world.memory = lambda uri: SIZES[uri] * MIB
    for name in NAMES:
        world.add(name, model_spec("s3://m/1"))
    for _ in range(25):
        world.step()
    for step in story:
        if step[0] in MODEL_TWISTS:
            twist(world, *step)
        elif step[0] in POOL_TWISTS:
            twist_pool(world, step[0], spec)
        elif world.pool and isinstance(world.pool.spec, ServingPoolSpec):
            change(world, step)
        snapshot = world.snapshot()
        assert plan(snapshot, memo) == plan(snapshot)
        later = replace(snapshot, now=snapshot.now + 100)
        assert plan(later, memo) == plan(later)
        world.step()


def test_a_result_is_given_again_for_equal_arguments_only() -> None:
    memo = Memo()
    calls: list[int] = []

    def double(number: int, *, sign: int = 1) -> int:
        calls.append(number)
        return 2 * sign * number

    assert memo.of("a", double, 1) == memo.of("a", double, 1) == 2
    assert calls == [1]
    assert memo.of("a", double, 2) == 4
    assert memo.of("a", double, 2, sign=-1) == -4
    assert memo.of("b", double, 2, sign=-1) == -4
    assert calls == [1, 2, 2, 2]


def test_what_is_gone_is_forgotten() -> None:
    memo = Memo()
    calls: list[str] = []
    for key in ("a", "b", POOL):
        memo.of(key, calls.append, key)
    memo.keep({"b"})
    for key in ("a", "b", POOL):
        memo.of(key, calls.append, key)
    assert calls == ["a", "b", POOL, "a"]
