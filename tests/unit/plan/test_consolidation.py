"""Servers that are not needed are given up in time, told as stories in a small world."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from tests.support import schemas
from tests.unit.plan.test_properties import ASKED, NAMES, change, stories
from tests.unit.plan.world import MIB, STEP, World, model_spec, pool_spec

from tightship.api.conditions import ConditionType, find_condition, seconds_of
from tightship.api.names import SERVING_POOL, SERVING_POOLS
from tightship.api.traffic import Traffic
from tightship.api.v1alpha1 import Consolidation, ConsolidationPolicy, UpdateStrategy
from tightship.plan.actions import ApplyPoolStatus
from tightship.plan.plan import plan
from tightship.plan.snapshot import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tightship.api.v1alpha1 import ServingPoolSpec

_SCHEMA = jsonschema.Draft7Validator(schemas.strict(schemas.of_crd(SERVING_POOLS, "status")))
AFTER = 15.0
SMALL = {"s3://m/1": 110, "s3://m/2": 130, "s3://m/3": 150}  # one beside a large model, no two
LITTLE = Traffic(rate=5, rows=1, batch=1, busy=0.0012, cv=1.0)


def consolidating(spec: ServingPoolSpec, **fields: Any) -> ServingPoolSpec:  # noqa: ANN401
    return replace(spec, consolidation=Consolidation(**{"after": AFTER, **fields}))


def spread(*, servers: tuple[int, int] = (1, 2), after: float = AFTER, **fields: Any) -> World:  # noqa: ANN401
    """Two models of 100 MiB, each on a server of its own: a third one that filled both has gone."""
    world = World(consolidating(pool_spec(servers=servers), after=10_000.0, **fields))
    world.schemas = {ApplyPoolStatus: _SCHEMA}
    world.memory = lambda uri: (800 if uri.endswith("large") else 150) * MIB
    for name, uri in (("a", "large"), ("b", "large"), ("c", "c"), ("d", "d")):
        world.asked[name] = LITTLE
        world.add(name, model_spec(f"s3://m/{uri}"))
        world.settle()
    (first,), (second,) = world.servers_of("a"), world.servers_of("b")
    assert first != second
    assert {*world.servers_of("c"), *world.servers_of("d")} == {first, second}
    world.delete("a")
    world.delete("b")
    world.settle()
    world.edit_pool(consolidating(world.pool_spec(), after=after, **fields))
    return world


def told(world: World) -> dict[str, Any]:
    assert world.pool is not None
    found: dict[str, Any] = world.pool.status.get("consolidation", {})
    return found


def reason(world: World) -> str:
    assert world.pool is not None
    found = find_condition(world.pool.status, ConditionType.CONSOLIDATED)
    return str(found.get("reason"))


def run(world: World, until: Callable[[], bool], limit: int = 400) -> None:
    for _ in range(limit):
        if until():
            return
        world.step()
    raise AssertionError(f"{reason(world)}: {told(world)}")


def moves(world: World) -> bool:
    return "startTime" in told(world)


def events(world: World) -> list[str]:
    ours = {"Consolidating", "Consolidated", "ConsolidationStopped"}
    return [e.reason for e in world.events if e.regarding.kind == SERVING_POOL and e.reason in ours]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_server_that_is_not_needed_is_given_up_in_time(*, restarts: bool) -> None:
    world = spread()
    world.restarts = restarts
    run(world, lambda: bool(told(world)))
    since, (server,) = seconds_of(told(world)["since"]), told(world)["servers"]
    assert since is not None
    assert told(world)["copies"] == 1
    run(world, lambda: moves(world))
    assert AFTER <= world.now - since <= AFTER + 2 * STEP + 1
    assert reason(world) == "Consolidating"
    world.settle()
    assert server not in world.pods
    assert len(world.pods) == 1
    assert told(world) == {}
    assert reason(world) == "Consolidated"
    assert events(world) == ["Consolidating", "Consolidated"]
    assert world.ready("c")
    assert world.ready("d")


def test_nothing_is_written_while_it_waits() -> None:
    world = spread()
    run(world, lambda: bool(told(world)))
    world.step()
    before = Counter(world.writes)
    for _ in range(int(AFTER / STEP) - 10):
        world.step()
    for kind in (
        "ApplyPoolStatus",
        "ApplyModelStatus",
        "PutAssignment",
        "RouteServer",
        "MarkServer",
    ):
        assert world.writes[kind] == before[kind]


def test_the_plan_asks_to_be_made_again_when_the_wait_is_over() -> None:
    world = spread()
    run(world, lambda: bool(told(world)))
    since = seconds_of(told(world)["since"])
    assert since is not None
    assert world.requeue is not None
    assert plan(world.snapshot()).requeue_after == pytest.approx(since + AFTER - world.now)


@pytest.mark.parametrize(
    ("servers", "fields", "why"),
    [
        ((2, 2), {}, "Consolidated"),
        ((1, 2), {"policy": ConsolidationPolicy.NEVER}, "None"),
    ],
)
def test_what_has_to_be_there_stays(
    servers: tuple[int, int], fields: Mapping[str, Any], why: str
) -> None:
    world = spread(servers=servers, after=0.0, **fields)
    world.settle()
    assert len(world.pods) == 2
    assert reason(world) == why


def test_what_is_not_counted_is_not_taken_for_nothing() -> None:
    world = spread(after=0.0)
    del world.asked["c"]
    world.settle()
    assert reason(world) == "AwaitingTraffic"
    assert len(world.pods) == 2
    world.asked["c"] = Traffic(rate=0)
    world.settle()
    assert len(world.pods) == 1


def _paused(world: World) -> None:
    for name in ("c", "d"):
        world.models[name] = replace(world.models[name], paused=True)


def _pool_paused(world: World) -> None:
    assert world.pool is not None
    world.pool = replace(world.pool, paused=True)


def _busier(world: World) -> None:
    for name in ("c", "d"):
        world.asked[name] = replace(LITTLE, rate=280)


HINDRANCES: dict[str, tuple[Callable[[World], None], str]] = {
    "models that are paused": (_paused, "Consolidated"),
    "a pool that is paused": (_pool_paused, "Paused"),
    "no room to spare": (_busier, "Consolidated"),
    "an agent that is silent": (
        lambda world: setattr(next(iter(world.pods.values())), "reachable", False),
        "AwaitingRest",
    ),
    "copies on both servers": (
        lambda world: world.add("e", model_spec("s3://m/e", replicas=2)),
        "Consolidated",
    ),
}


@pytest.mark.parametrize("name", HINDRANCES)
def test_what_hinders(name: str) -> None:
    world = spread()
    hindrance, why = HINDRANCES[name]
    hindrance(world)
    world.asked["e"] = LITTLE
    world.settle()
    assert len(world.pods) == 2
    assert (reason(world), told(world), events(world)) == (why, {}, [])


def test_the_wait_begins_anew_when_it_was_not_possible_meanwhile() -> None:
    world = spread()
    run(world, lambda: bool(told(world)))
    before = told(world)["since"]
    _busier(world)
    run(world, lambda: not told(world))
    for name in ("c", "d"):
        world.asked[name] = LITTLE
    run(world, lambda: bool(told(world)))
    assert told(world)["since"] > before
    since = seconds_of(told(world)["since"])
    assert since is not None
    run(world, lambda: moves(world))
    assert world.now - since >= AFTER


def test_an_operator_that_restarts_goes_on_waiting() -> None:
    world = spread()
    run(world, lambda: bool(told(world)))
    before = told(world)
    world.restart_operator()
    for _ in range(8):
        world.step()
        assert told(world) == before


def _new_model(world: World) -> None:
    world.asked["e"] = LITTLE
    world.add("e", model_spec("s3://m/large"))


def _lost(world: World) -> None:
    (stays,) = set(world.pods) - {*told(world)["servers"]}
    world.kill_pod(stays)


def _gone(world: World) -> None:
    world.kill_pod(told(world)["servers"][0])


def _deaf(world: World) -> None:
    world.pods[told(world)["servers"][0]].reachable = False


def _more_servers(world: World) -> None:
    world.edit_pool(replace(world.pool_spec(), min_servers=2))


DISTURBANCES: dict[str, Callable[[World], None]] = {
    "a model arrives": _new_model,
    "the load rises": lambda w: w.asked.update({n: replace(LITTLE, rate=450) for n in ("c", "d")}),
    "the other server is lost": _lost,
    "the server is lost": _gone,
    "the agent of the server is silent": _deaf,
    "more servers are asked for": _more_servers,
    "another version": lambda world: world.edit("c", model_spec("s3://m/other")),
    "more copies": lambda world: world.edit("c", model_spec("s3://m/c", replicas=2)),
    "it is switched off": lambda world: world.edit_pool(
        consolidating(world.pool_spec(), policy=ConsolidationPolicy.NEVER)
    ),
    "a new template": lambda world: world.edit_pool(world.changed(world.pool_spec())),
}


@pytest.mark.parametrize("steps", [0, 1, 3, 5, 8, 12])
@pytest.mark.parametrize("name", DISTURBANCES)
def test_disturbed_at_any_moment_it_stops_or_ends_safely(name: str, steps: int) -> None:
    """The world checks in each step that as many copies answer as did before."""
    world = spread()
    run(world, lambda: moves(world))
    for _ in range(steps):
        world.step()
    if moves(world):
        DISTURBANCES[name](world)
    for _ in range(20):
        world.step()
    for pod in world.pods.values():
        pod.reachable = True
    world.settle(1500)
    assert "startTime" not in told(world)
    assert world.ready("c")
    assert world.ready("d")


def test_why_it_stops_is_told() -> None:
    world = spread()
    run(world, lambda: moves(world))
    _new_model(world)
    run(world, lambda: not moves(world))
    assert events(world)[-1] == "ConsolidationStopped"
    (event,) = [e for e in world.events if e.reason == "ConsolidationStopped"]
    assert "Models are being converted" in event.message


def test_a_server_that_is_lost_was_not_given_up() -> None:
    world = spread()
    run(world, lambda: moves(world))
    _gone(world)
    world.settle(1500)
    assert events(world)[:2] == ["Consolidating", "ConsolidationStopped"]


def test_a_copy_that_cannot_be_loaded_elsewhere_stays() -> None:
    world = spread()
    run(world, lambda: moves(world))
    (server,) = told(world)["servers"]
    (name,) = [n for n in ("c", "d") if world.servers_of(n) == [server]]
    world.bad_digests.add(world.models[name].status["artifact"]["digest"])
    run(world, lambda: not moves(world))
    assert events(world)[-1] == "ConsolidationStopped"
    for _ in range(100):
        world.step()
        assert world.servers_of(name) == [server]
        assert world.answering(name) == 1
        assert not told(world)


def test_an_invalid_spec_ends_the_wait() -> None:
    world = spread()
    run(world, lambda: bool(told(world)))
    assert world.pool is not None
    world.pool = replace(world.pool, spec=InvalidSpec("spec.store is missing"))
    world.step()
    assert told(world) == {}


def test_a_dry_run_tells_it_and_nothing_moves() -> None:
    world = spread(after=0.0)
    world.edit_pool(replace(world.pool_spec(), dry_run=True, price_per_hour=2.5))
    world.settle()
    assert world.pool is not None
    found = world.pool.status["plan"]["consolidation"]
    assert set(found["servers"]) <= set(world.pods)
    assert (found["copies"], found["savedPerHour"]) == (1, "2.5")
    assert (reason(world), told(world), len(world.pods)) == ("DryRun", {}, 2)


@pytest.mark.parametrize("rate", [0.0, 5.0, 60.0, 120.0, 170.0, 200.0, 230.0, 300.0])
def test_what_was_given_up_is_not_wanted_back(rate: float) -> None:
    """Figures that are counted anew after the move may be a fifth above what was told before."""
    world = spread()
    for name in ("c", "d"):
        world.asked[name] = replace(LITTLE, rate=rate)
    world.settle()
    count = len(world.pods)
    for name in ("c", "d"):
        world.asked[name] = replace(LITTLE, rate=rate * 1.2)
    for _ in range(300):
        world.step()
        assert len(world.pods) <= count


_SILENT_AT_AN_UPDATE = [("wait", 18), ("pool", "template"), ("deaf", 3), ("wait", 21)]


@settings(max_examples=40)
@example(
    story=_SILENT_AT_AN_UPDATE,
    servers=(1, 2),
    after=0.0,
    strategy=UpdateStrategy.SURGE,
    restarts=False,
)
@given(
    story=stories,
    servers=st.sampled_from([(1, 2), (1, 4), (2, 3)]),
    after=st.sampled_from([0.0, 5.0]),
    strategy=st.sampled_from(UpdateStrategy),
    restarts=st.booleans(),
)
def test_promises_hold_at_every_step(
    story: list[tuple[Any, ...]],
    servers: tuple[int, int],
    after: float,
    strategy: UpdateStrategy,
    *,
    restarts: bool,
) -> None:
    """Whatever happens while servers of a pool that was full are given up."""
    pool = pool_spec(servers=servers, strategy=strategy, max_concurrent=2)
    world = World(consolidating(pool, after=after, budget=1.0))
    world.schemas = {ApplyPoolStatus: _SCHEMA}
    world.allow_gap = strategy is UpdateStrategy.DRAIN
    world.memory = lambda uri: SMALL.get(uri, 800) * MIB
    names = NAMES[: servers[1]]
    large = {f"large-{name}": "s3://m/large" for name in names}
    small = {name: f"s3://m/{1 + number % 3}" for number, name in enumerate(names)}
    for wanted in (large, small):
        for number, (name, uri) in enumerate(wanted.items()):
            world.asked[name] = replace(ASKED, rate=5 * number)
            world.add(name, model_spec(uri))
        world.settle(1500)
    assert len(world.pods) == servers[1]
    for name in large:
        world.delete(name)
    world.restarts = restarts
    for step in story:
        change(world, step)
    for pod in world.pods.values():
        pod.reachable = True
    world.settle(2500)
    event(" ".join(sorted(set(events(world)))) or "nothing given up")
    assert not world.pending(plan(world.snapshot()))
