"""Any mix of edits and faults keeps the promises at every step, and ends at rest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.plan.world import LOOK, MIB, World, model_spec, pool_spec

from tightship.api.traffic import Traffic
from tightship.api.v1alpha1 import UpdateStrategy
from tightship.plan.plan import plan

if TYPE_CHECKING:
    from tightship.api.v1alpha1 import ServingPoolSpec

NAMES = ("a", "b", "c", "d")
URIS = ("s3://m/1", "s3://m/2", "s3://m/3")
SIZES = {"s3://m/1": 100, "s3://m/2": 250, "s3://m/3": 450}

REFRESH = (0.0, 60.0, 90.0)
CRON = (None, "* * * * *", "*/2 * * * *")
edits = st.tuples(
    st.just("model"),
    st.sampled_from(NAMES),
    st.sampled_from(URIS),
    st.integers(1, 3),
    st.sampled_from(REFRESH),
    st.sampled_from(CRON),
)
deletions = st.tuples(st.just("delete"), st.sampled_from(NAMES))
faults = st.tuples(
    st.sampled_from(["pod", "triton", "deaf", "hears", "operator"]), st.integers(0, 5)
)
pools = st.tuples(st.just("pool"), st.sampled_from(["template", "bigger", "smaller", "image"]))
sources = st.tuples(st.just("source"), st.sampled_from(URIS))
ASKED = Traffic(rate=1, rows=1, batch=1, busy=0.0012)
asks = st.tuples(st.just("asks"), st.sampled_from(NAMES), st.sampled_from([0, 5, 200, 450, 900]))
waits = st.tuples(st.just("wait"), st.one_of(st.integers(1, 25), st.just(150)))
stories = st.lists(
    st.one_of(edits, edits, waits, waits, asks, asks, deletions, faults, pools, sources),
    max_size=16,
)


def change(world: World, step: tuple[Any, ...]) -> None:
    match step:
        case ("model", name, uri, replicas, refresh, cron):
            write = world.edit if name in world.models else world.add
            age = refresh * 2 or None
            write(name, model_spec(uri, replicas=replicas, refresh=refresh, age=age, cron=cron))
        case ("delete", name):
            _delete(world, name)
        case ("asks", name, rate):
            world.asked[name] = replace(ASKED, rate=rate) if rate else Traffic(rate=0)
        case ("wait", steps):
            for _ in range(steps):
                world.step()
        case ("pool", what):
            world.edit_pool(_pool(world.pool_spec(), what))
        case ("source", uri):
            world.content[uri] = f"bytes of {world.now}"
        case ("operator", _):
            world.restart_operator()
        case (fault, index):
            _break(world, fault, index)


def _delete(world: World, name: str) -> None:
    if name in world.models:
        world.delete(name)


def _pool(spec: ServingPoolSpec, what: str) -> ServingPoolSpec:
    match what:
        case "template":
            image = f"agent:{int(spec.server.agent_image.split(':')[1]) + 1}"
            return replace(spec, server=replace(spec.server, agent_image=image))
        case "image":
            image = f"converter:{int(spec.converter.image.split(':')[1]) + 1}"
            return replace(spec, converter=replace(spec.converter, image=image))
        case "bigger":
            return replace(spec, max_servers=min(4, spec.max_servers + 1))
        case _:
            return replace(spec, max_servers=max(1, spec.max_servers - 1), min_servers=1)


def _break(world: World, fault: str, index: int) -> None:
    pods = sorted(p for p, pod in world.pods.items() if pod.gone_at is None)
    if not pods:
        return
    pod = world.pods[pods[index % len(pods)]]
    match fault:
        case "pod":
            world.kill_pod(pod.name)
        case "triton":
            world.kill_triton(pod.name)
        case "deaf":
            pod.reachable = False
        case "hears":
            pod.reachable = True


@settings(max_examples=60)
@given(
    story=stories,
    room=st.sampled_from([500, 1000]),
    servers=st.sampled_from([(1, 1), (1, 3), (2, 3)]),
    strategy=st.sampled_from(UpdateStrategy),
)
def test_promises_hold_at_every_step(
    story: list[tuple[Any, ...]],
    room: int,
    servers: tuple[int, int],
    strategy: UpdateStrategy,
) -> None:
    world = World(pool_spec(room=room, servers=servers, strategy=strategy, max_concurrent=2))
    world.allow_gap = strategy is UpdateStrategy.DRAIN
    world.memory = lambda uri: SIZES[uri] * MIB
    for step in story:
        change(world, step)
    for pod in world.pods.values():
        pod.reachable = True
    world.settle(1500)
    for name in world.models:
        status, reason = world.condition(name, "Ready")
        terminal = {"NoRoom", "TooFewServers", "TooLarge", "NoRoomForUpdate", "DigestMismatch"}
        assert status == "True" or reason in terminal, (name, status, reason)
    again = plan(world.snapshot())
    assert not world.pending(again)
    assert wakes_for_a_reason(world, again.requeue_after)


def wakes_for_a_reason(world: World, after: float | None) -> bool:
    """Whether the operator rests for a while, or is woken by what is due then."""
    if after is None or after >= LOOK:
        return True
    world.now += after
    return bool(world.pending(plan(world.snapshot())))
