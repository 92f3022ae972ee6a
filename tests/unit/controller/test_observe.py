from datetime import UTC, datetime
from typing import Any

import pytest
from tests.integration.controller.harness import model as model_resource
from tests.integration.controller.harness import pool as pool_resource

from tightship.api.progress import Position, Stage
from tightship.api.v1alpha1 import OptimizedModelSpec
from tightship.controller.observe import Observer
from tightship.controller.progress import Log
from tightship.controller.servers import AgentView
from tightship.kube.resources import (
    CONFIG_MAPS,
    CRON_JOBS,
    ENDPOINT_SLICES,
    JOBS,
    OPTIMIZED_MODELS,
    PODS,
    SERVICES,
    SERVING_POOLS,
    Resource,
)
from tightship.kube.store import Store
from tightship.plan.snapshot import InvalidSpec, Snapshot

POOL = ("ns", "shared")
READY_AT = datetime(2026, 11, 22, 10, 0, 5, tzinfo=UTC).timestamp()


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.store = Store()
        self.views: dict[str, AgentView] = {}
        self.positions: dict[str, Position] = {}
        self.observer = Observer(
            self.store,
            lambda uid: self.views.get(uid, AgentView()),
            self.positions.get,
            clock=lambda: self.now,
        )
        self._version = 0

    def put(self, resource: Resource, value: dict[str, Any], **metadata: Any) -> None:  # noqa: ANN401
        self._version += 1
        name = metadata.get("name") or value["metadata"]["name"]
        filled = {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-{resource.plural}-{name}",
            "resourceVersion": str(self._version),
            "creationTimestamp": "2026-11-22T10:00:00Z",
            "generation": 1,
            **value.get("metadata", {}),
            **metadata,
        }
        self.store.put(resource, {**value, "metadata": filled})

    def pod(self, name: str, *, phase: str = "Running", **metadata: Any) -> None:  # noqa: ANN401
        labels = {"tightship.dev/pool": "shared", "app.kubernetes.io/component": "server"}
        status = {"podIP": "10.0.0.1", "phase": phase, "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-22T10:00:05Z"},
            {"type": "tightship.dev/placed", "status": "True",
             "lastTransitionTime": "2026-11-22T10:00:04Z"},
        ]}  # fmt: skip
        more = metadata.pop("labels", {})
        self.put(PODS, {"status": status}, name=name, labels=labels | more, **metadata)

    def slice(self, model: str, *servers: str, ready: bool | None = True) -> None:
        endpoints = [
            {"targetRef": {"kind": "Pod", "name": name}, "conditions": {"ready": ready}}
            for name in servers
        ]
        labels = {"tightship.dev/pool": "shared", "kubernetes.io/service-name": model}
        self.put(ENDPOINT_SLICES, {"endpoints": endpoints}, name=f"{model}-abc", labels=labels)

    def look(self, strangers: set[str] | None = None) -> Snapshot:
        return self.observer.snapshot(POOL, secret_expires=None, strangers=strangers or set())


@pytest.fixture
def world() -> World:
    return World()


def test_specs_are_parsed_and_a_wrong_one_is_told(world: World) -> None:
    world.put(SERVING_POOLS, pool_resource())
    world.put(OPTIMIZED_MODELS, model_resource("right"))
    world.put(OPTIMIZED_MODELS, model_resource("wrong", replicas=-1))
    right, wrong = world.look().models
    assert isinstance(right.spec, OptimizedModelSpec)
    assert isinstance(wrong.spec, InvalidSpec)
    assert "replicas" in wrong.spec.message


def test_a_status_change_keeps_the_parsed_spec(world: World) -> None:
    world.put(OPTIMIZED_MODELS, model_resource("one"))
    before = world.look().models[0]
    world.put(OPTIMIZED_MODELS, {**model_resource("one"), "status": {"replicas": 1}})
    after = world.look().models[0]
    assert after.spec is before.spec
    assert after.status == {"replicas": 1}


def test_a_server_with_its_routes_marks_and_agent(world: World) -> None:
    world.pod(
        "s-1",
        labels={
            "tightship.dev/revision": "r1",
            "model.tightship.dev/a": "routed",
            "model.tightship.dev/b": "other",
        },
        annotations={"controller.kubernetes.io/pod-deletion-cost": "100"},
    )
    world.views["uid-pods-s-1"] = AgentView(None, 3.0, "unreachable")
    (server,) = world.look().servers
    assert (server.name, server.ip, server.revision) == ("s-1", "10.0.0.1", "r1")
    assert (server.ready, server.placed, server.deletion_cost) == (True, True, 100)
    assert (server.ready_changed, server.placed_changed) == (READY_AT, READY_AT - 1)
    assert server.routed == frozenset({"a"})
    assert (server.agent_age, server.agent_error) == (3.0, "unreachable")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_an_ended_pod_is_no_server(world: World, phase: str) -> None:
    world.pod("s-1", phase=phase)
    assert world.look().servers == ()


def test_endpoints_begin_when_they_change(world: World) -> None:
    world.pod("s-1")
    world.slice("a", "s-1", ready=False)
    world.look()
    world.now = 110.0
    world.slice("a", "s-1")
    (pair,) = world.look().endpoints
    assert (pair.model, pair.server, pair.ready, pair.since) == ("a", "s-1", True, 110.0)
    world.now = 120.0
    assert world.look().endpoints == (pair,)


def test_a_pair_that_left_is_remembered_until_the_server_goes(world: World) -> None:
    world.pod("s-1")
    world.slice("a", "s-1")
    world.look()
    world.now = 130.0
    world.slice("a")
    (pair,) = world.look().endpoints
    assert (pair.ready, pair.since) == (False, 130.0)
    gone = {"namespace": "ns", "name": "s-1", "uid": "uid-pods-s-1"}
    world.store.remove(PODS, {"metadata": gone})
    assert world.look().endpoints == ()


def test_unknown_readiness_counts_as_reachable(world: World) -> None:
    world.pod("s-1")
    world.slice("a", "s-1", ready=None)
    (pair,) = world.look().endpoints
    assert pair.ready


def test_services_of_strangers_are_told(world: World) -> None:
    world.put(SERVICES, {}, name="ours", labels={"tightship.dev/pool": "shared"})
    services = {(s.name, s.ours) for s in world.look({"theirs"}).services}
    assert services == {("ours", True), ("theirs", False)}


PAUSED = {"true": True, "": True, "yes": True, "false": False, "False": False}


@pytest.mark.parametrize("value", PAUSED)
def test_the_annotation_pauses(world: World, value: str) -> None:
    world.put(
        OPTIMIZED_MODELS, model_resource("one"), annotations={"tightship.dev/paused": value},
        name="one",
    )  # fmt: skip
    assert world.look().models[0].paused is PAUSED[value]


def sweep_part(owner: str = "uid-servingpools-shared", **metadata: str) -> dict[str, Any]:
    return {"metadata": {"ownerReferences": [{"uid": owner}], **metadata}}


SWEEP_PARTS: dict[str, tuple[dict[str, Any], bool]] = {
    "ours": (sweep_part(), True),
    "another pool's": (sweep_part("uid-of-an-earlier-pool"), False),
    "being deleted": (sweep_part(deletionTimestamp="2026-01-01T00:00:00Z"), False),
}


@pytest.mark.parametrize("kind", [CRON_JOBS, CONFIG_MAPS], ids=lambda kind: kind.plural)
@pytest.mark.parametrize("case", SWEEP_PARTS)
def test_a_part_of_the_clean_up_is_seen(world: World, kind: Resource, case: str) -> None:
    part, seen = SWEEP_PARTS[case]
    world.put(kind, part, name="pool-shared-sweep")
    assert world.look().sweep is False
    world.put(SERVING_POOLS, pool_resource())
    assert world.look().sweep is seen


def job(owners: tuple[str, ...], pool: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "intake-1",
            "labels": {
                "tightship.dev/pool": pool,
                "app.kubernetes.io/component": "intake",
                "tightship.dev/inputs": "1",
            },
            "ownerReferences": [{"uid": f"uid-optimizedmodels-{owner}"} for owner in owners],
        }
    }


def test_a_job_of_another_pools_models_is_theirs_alone(world: World) -> None:
    world.put(OPTIMIZED_MODELS, model_resource("theirs", "spare"))
    world.put(JOBS, job(("theirs",), "shared"))
    assert world.look().jobs == ()
    entry = world.store.get(JOBS, "ns", "intake-1")
    assert entry is not None
    assert world.observer.shared_elsewhere(entry, POOL) == {"uid-optimizedmodels-theirs"}


def test_a_job_that_both_pools_use_is_seen_by_both(world: World) -> None:
    world.put(OPTIMIZED_MODELS, model_resource("ours"))
    world.put(OPTIMIZED_MODELS, model_resource("theirs", "spare"))
    world.put(JOBS, job(("ours", "theirs"), "spare"))
    assert [found.name for found in world.look().jobs] == ["intake-1"]


def test_a_job_of_nobody_is_the_labelled_pools(world: World) -> None:
    world.put(OPTIMIZED_MODELS, model_resource("ours"))
    world.put(JOBS, job(("gone",), "shared"))
    assert [found.name for found in world.look().jobs] == ["intake-1"]


def test_a_conversion_tells_where_its_log_says_it_is(world: World) -> None:
    world.put(SERVING_POOLS, pool_resource())
    world.put(OPTIMIZED_MODELS, model_resource("one"))
    made = job(("uid-optimizedmodels-one",), "shared")
    made["metadata"]["labels"]["app.kubernetes.io/component"] = "convert"
    world.put(JOBS, made)

    def runs(container: str) -> None:
        state = {"running": {"startedAt": "2026-11-22T10:00:00Z"}}
        containers = {"initContainerStatuses": [{"name": container, "state": state}]}
        owners = [{"uid": made["metadata"].get("uid", f"uid-jobs-{made['metadata']['name']}")}]
        labels = {"tightship.dev/pool": "shared"}
        world.put(PODS, {"status": containers}, name="p", labels=labels, ownerReferences=owners)

    runs("fetch")
    world.positions["uid-pods-p"] = Position(Stage.TIME)
    assert world.observer.logs(POOL) == {}
    assert [(j.step, j.position) for j in world.look().jobs] == [("fetch", None)]
    runs("convert")
    assert world.observer.logs(POOL) == {"uid-pods-p": Log(POOL, "p")}
    assert [(j.step, j.position) for j in world.look().jobs] == [("convert", Position(Stage.TIME))]
    world.positions.clear()
    assert [(j.step, j.position) for j in world.look().jobs] == [("convert", None)]
