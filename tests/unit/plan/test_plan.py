from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.plan.world import MIB, START, STEP, World, model_spec, pool_spec, sha

from tightship.api.v1alpha1 import (
    EvaluationSet,
    LatencyObjective,
    Optimization,
    OptimizedModelSpec,
    OwnMetric,
    Slo,
    Trainer,
)
from tightship.plan.actions import (
    ApplyConvertJob,
    ApplyIntakeJob,
    ApplyModelService,
    ApplyModelStatus,
    ApplyPoolStatus,
    ApplyServers,
    EnsureAgentSecret,
    PutAssignment,
    RecordEvent,
    RouteServer,
)
from tightship.plan.fleet import AGENT_STALE
from tightship.plan.plan import SECRET_RENEW, plan
from tightship.plan.snapshot import InvalidSpec, JobKind, JobState


def served(**pool: Any) -> World:  # noqa: ANN401 (arguments of pool_spec)
    world = World(pool_spec(**pool))
    world.add("intent", model_spec())
    world.settle()
    return world


def kinds(world: World) -> set[str]:
    return {type(action).__name__ for action in plan(world.snapshot()).actions}


def test_status_of_a_served_model_is_exactly_this() -> None:
    world = served()
    status = dict(world.models["intent"].status)
    (pod,) = world.pods
    key, digest = status["artifact"]["key"], status["artifact"]["digest"]
    conditions = status.pop("conditions")
    assert [(c["type"], c["status"], c["reason"], c["message"]) for c in conditions] == [
        ("Ready", "True", "Ready", "The present spec is served by all copies."),
        (
            "Converted",
            "True",
            "Converted",
            "static-int8, 2.41 times as fast: 2.41 times as fast, drop 0.0028 inside 0.01",
        ),
        ("Placed", "True", "Placed", f"1 copy on {pod}."),
        ("Serving", "True", "Serving", "The copy answers."),
    ]
    assert {c["observedGeneration"] for c in conditions} == {1}
    assert status.pop("conversion").keys() == {"inputs", "key", "sourceDigest"}
    assert status == {
        "observedGeneration": 1,
        "url": "http://intent.search.svc.cluster.local:8000/v2/models/intent",
        "address": {
            "url": "http://intent.search.svc.cluster.local:8000",
            "grpc": "intent.search.svc.cluster.local:8001",
        },
        "modelStatus": {
            "transitionStatus": "UpToDate",
            "states": {"activeModelState": "Loaded", "targetModelState": "Loaded"},
            "copies": {"totalCopies": 1, "failedCopies": 0},
        },
        "artifact": {
            "key": key,
            "digest": digest,
            "variant": "static-int8",
            "technique": "Quantize",
            "bytes": 100,
            "memory": 104857600,
            "maxBatch": 32,
            "loadTime": "1.8s",
            "busyTime": "1.2ms",
            "batches": [
                {"batch": 4, "busyTime": "3.6ms"},
                {"batch": 16, "busyTime": "13.1ms"},
            ],
        },
        "optimization": {
            "evaluationTime": "1970-01-12T13:46:40Z",
            "speedup": "2.41",
            "latency": {"before": "4.6ms", "after": "1.91ms", "p99": "2.3ms"},
            "metric": {
                "name": "accuracy",
                "before": "0.9722",
                "after": "0.9694",
                "maxDrop": "0.0100",
            },
            "size": {"before": 400, "after": 100},
            "candidates": 7,
            "reason": "2.41 times as fast, drop 0.0028 inside 0.01",
            "reportUri": f"s3://store/sha256/{key}/{digest}/report.json",
        },
        "slo": {
            "class": "Interactive",
            "percentile": 99,
            "target": "50ms",
            "p99": "2.3ms",
            "met": True,
        },
        "serving": {
            "instances": 1,
            "dynamicBatching": True,
            "maxQueueDelay": "0ms",
            "responseCache": False,
        },
        "placement": [{"server": pod, "state": "Loaded", "digest": digest, "memory": 104857600}],
        "replicas": 1,
        "selector": "model.tightship.dev/intent=routed",
    }


def test_status_of_the_pool_is_exactly_this() -> None:
    world = served()
    assert world.pool is not None
    status = dict(world.pool.status)
    (pod,) = world.pods
    conditions = status.pop("conditions")
    assert [(c["type"], c["status"], c["reason"]) for c in conditions] == [
        ("Ready", "True", "ServersReady"),
        ("Updated", "True", "ServersUpdated"),
        ("Consolidated", "True", "Consolidated"),
    ]
    assert status == {
        "observedGeneration": 1,
        "desiredServers": 1,
        "servers": 1,
        "readyServers": 1,
        "models": 1,
        "revision": world.pods[pod].revision,
        "serverList": [
            {
                "name": pod,
                "state": "Ready",
                "models": 1,
                "memory": {"capacity": 1048576000, "used": 104857600},
            }
        ],
    }


def test_at_rest_nothing_is_written() -> None:
    world = served()
    assert kinds(world) == {"ApplyServers", "ApplyModelService"}
    before = plan(world.snapshot())
    for _ in range(20):
        world.advance()
    assert plan(world.snapshot()) == before


def test_order_of_snapshot_does_not_matter() -> None:
    world = World(pool_spec(servers=(2, 2)))
    for name in "abc":
        world.add(name, model_spec(f"s3://models/{name}.onnx", replicas=2))
    world.settle()
    snapshot = world.snapshot()
    turned = replace(
        snapshot,
        models=snapshot.models[::-1],
        servers=snapshot.servers[::-1],
        jobs=snapshot.jobs[::-1],
        endpoints=snapshot.endpoints[::-1],
    )
    one, other = plan(snapshot), plan(turned)
    assert sorted(map(repr, one.actions)) == sorted(map(repr, other.actions))


def test_without_its_pool_a_model_says_so() -> None:
    world = World(None)
    world.add("intent", model_spec())
    world.add("odd", InvalidSpec("spec.model.storageUri must name a host"))
    first, second = plan(world.snapshot()).actions[0:2]
    assert isinstance(first, ApplyModelStatus)
    assert first.status["conditions"][0]["reason"] == "PoolNotFound"
    odd = [a for a in plan(world.snapshot()).actions if isinstance(a, ApplyModelStatus)][1].status
    assert odd["conditions"][0]["reason"] == "InvalidSpec"
    assert "must name a host" in odd["conditions"][0]["message"]
    assert isinstance(second, ApplyModelStatus | RecordEvent)


def test_an_invalid_pool_leaves_everything_as_it_is() -> None:
    world = served()
    world.edit_pool(InvalidSpec("spec.store.uri must be an s3:// or pvc:// address"))
    world.settle()
    assert world.condition("intent", "Ready") == ("False", "PoolInvalid")
    assert world.condition("intent", "Serving") == ("True", "Serving")
    assert world.pool is not None
    assert world.pool.status["conditions"][0]["reason"] == "PoolInvalid"
    assert world.servers_of("intent")
    world.edit_pool(pool_spec())
    world.settle()
    assert world.ready("intent")


def test_an_unknown_slo_class_names_those_that_there_are() -> None:
    world = World(pool_spec())
    world.add("intent", model_spec(slo=Slo(class_name="Gold")))
    world.settle()
    condition = world.models["intent"].status["conditions"][0]
    assert condition["reason"] == "UnknownSloClass"
    assert "Gold" in condition["message"]
    assert "Interactive" in condition["message"]
    assert not world.jobs


TRAINED = Optimization(trainer=Trainer(storage_uri="s3://code/train.py", entrypoint="train:T"))


JUDGED = EvaluationSet(
    storage_uri="s3://data/evaluation.npz",
    metric=None,
    own_metric=OwnMetric(storage_uri="s3://code/metric.py", entrypoint="metric.py:near"),
)
CODE: dict[str, tuple[OptimizedModelSpec, str, str]] = {
    "trainer": (
        replace(model_spec(), optimization=TRAINED),
        "UntrustedTrainer",
        "leave spec.optimization.trainer out",
    ),
    "metric": (
        replace(model_spec(), evaluation=JUDGED),
        "UntrustedMetric",
        "spec.data.evaluation.metric.name",
    ),
}


@pytest.mark.parametrize("name", CODE)
def test_code_runs_only_where_the_pool_trusts_it(name: str) -> None:
    spec, reason, remedy = CODE[name]
    world = served()
    before = world.models["intent"].status
    world.edit("intent", spec)
    world.settle()
    status = world.models["intent"].status
    condition = next(c for c in status["conditions"] if c["type"] == "Converted")
    assert (condition["status"], condition["reason"]) == ("False", reason)
    assert "spec.trustedCode" in condition["message"]
    assert remedy in condition["message"]
    assert status["artifact"] == before["artifact"]  # what was served stays
    assert world.servers_of("intent")

    world.edit_pool(replace(pool_spec(), trusted_code=True))
    world.settle()
    assert world.ready("intent")
    assert world.models["intent"].status["artifact"]["key"] != before["artifact"]["key"]


def test_the_digests_of_code_are_pinned_and_remembered() -> None:
    world = World(replace(pool_spec(), trusted_code=True))
    world.add("intent", replace(model_spec(), optimization=TRAINED, evaluation=JUDGED))
    pinned = set()
    while not world.models["intent"].status.get("artifact"):
        found = [a for a in world.step().actions if isinstance(a, ApplyConvertJob)]
        pinned |= {(action.trainer_digest, action.metric_digest) for action in found}
    assert pinned == {(sha("s3://code/train.py"), sha("s3://code/metric.py"))}
    done = world.models["intent"].status["conversion"]
    assert (done["trainerDigest"], done["metricDigest"]) == pinned.pop()
    world.jobs.clear()
    assert not kinds(world) & {"ApplyIntakeJob", "ApplyConvertJob"}


def test_other_code_of_a_metric_is_found_by_a_look_and_converted_anew() -> None:
    world = World(replace(pool_spec(), trusted_code=True))
    spec = replace(model_spec(), evaluation=JUDGED)
    world.add("intent", replace(spec, model=replace(spec.model, refresh_interval=3600.0)))
    world.settle()
    before = world.models["intent"].status
    world.content["s3://code/metric.py"] = "another function"
    world.now += 3600.0
    world.settle()
    status = world.models["intent"].status
    assert status["conversion"]["metricDigest"] == sha("another function")
    assert status["artifact"]["key"] != before["artifact"]["key"]
    assert world.ready("intent")


def test_a_paused_model_is_left_alone() -> None:
    world = served()
    model = world.models["intent"]
    world.models["intent"] = replace(
        model, paused=True, spec=model_spec("s3://models/b.onnx", replicas=3), generation=2
    )
    world.settle()
    assert world.condition("intent", "Ready") == ("True", "Paused")
    assert world.models["intent"].status["artifact"] == model.status["artifact"]
    assert all(job.owners for job in world.jobs.values())
    world.models["intent"] = replace(world.models["intent"], paused=False)
    world.settle()
    assert world.models["intent"].status["artifact"] != model.status["artifact"]


@pytest.mark.parametrize("pool", [False, True], ids=["model", "pool"])
def test_what_is_paused_tells_the_settings_that_are_served(*, pool: bool) -> None:
    world = served()
    model, old = world.models["intent"], world.models["intent"].status["serving"]
    edited = replace(model, spec=model_spec(response_cache=True), generation=2)
    spec = world.pool_spec()
    world.edit_pool(replace(spec, server=replace(spec.server, response_cache_bytes=MIB)))
    world.settle()
    world.models["intent"] = replace(edited, status=world.models["intent"].status, paused=not pool)
    assert world.pool is not None
    world.pool = replace(world.pool, paused=pool)
    world.settle()
    assert world.models["intent"].status["observedGeneration"] == 2
    assert world.models["intent"].status["serving"] == old
    world.models["intent"] = replace(world.models["intent"], paused=False)
    world.pool = replace(world.pool, paused=False)
    world.settle()
    assert world.models["intent"].status["serving"] == {**old, "responseCache": True}


def test_what_is_paused_half_way_tells_what_it_has() -> None:
    """The status knew only the wish when the pause came."""
    world = served()
    model = world.models["intent"]
    wish = {**model.status["serving"], "maxQueueDelay": "7ms", "reason": "a wish that was cut"}
    world.models["intent"] = replace(model, paused=True, status={**model.status, "serving": wish})
    world.settle()
    assert world.models["intent"].status["serving"] == model.status["serving"]


def test_a_paused_pool_writes_statuses_only() -> None:
    world = served()
    assert world.pool is not None
    world.pool = replace(world.pool, paused=True)
    world.add("other", model_spec("s3://models/b.onnx"))
    for _ in range(10):
        actions = world.step().actions
        assert {type(a) for a in actions} <= {ApplyModelStatus, ApplyPoolStatus, RecordEvent}
    assert world.condition("other", "Converted") == ("Unknown", "Paused")
    assert world.condition("intent", "Ready") == ("True", "Paused")


def test_nothing_is_decided_about_servers_before_their_agents_were_asked() -> None:
    world = served()
    snapshot = world.snapshot()
    unasked = tuple(replace(s, agent=None, agent_age=None) for s in snapshot.servers)
    result = plan(replace(snapshot, servers=unasked))
    assert {type(a) for a in result.actions} == {ApplyModelService}
    assert result.requeue_after is not None


def test_an_agent_that_never_answered_this_operator_is_held() -> None:
    world = served()
    snapshot = world.snapshot()
    deaf = tuple(
        replace(s, agent=None, agent_age=None, agent_error="refused") for s in snapshot.servers
    )
    result = plan(replace(snapshot, servers=deaf))
    changes = (PutAssignment, RouteServer, ApplyIntakeJob)
    assert not [a for a in result.actions if isinstance(a, changes)]
    status = next(a.status for a in result.actions if isinstance(a, ApplyModelStatus))
    assert [(c["status"], c["reason"]) for c in status["conditions"]] == [
        ("True", "Ready"),
        ("True", "Converted"),
        ("True", "Placed"),
        ("True", "ServerUnreachable"),
    ]
    assert status["placement"][0]["state"] == "Unknown"


@pytest.mark.parametrize(("age", "writes"), [(AGENT_STALE, True), (AGENT_STALE + 1, False)])
def test_an_old_answer_is_no_answer(age: float, *, writes: bool) -> None:
    world = served()
    world.delete("intent")
    snapshot = world.snapshot()
    old = tuple(replace(s, agent_age=age) for s in snapshot.servers)
    actions = plan(replace(snapshot, servers=old)).actions
    assert any(isinstance(a, RouteServer) for a in actions) == writes


@pytest.mark.parametrize(("left", "renewed"), [(SECRET_RENEW - 1, True), (SECRET_RENEW, False)])
def test_the_certificate_is_renewed_in_time(left: float, *, renewed: bool) -> None:
    world = served()
    world.secret = world.now + left
    actions = plan(world.snapshot()).actions
    assert any(isinstance(a, EnsureAgentSecret) for a in actions) == renewed


def test_a_new_pool_gets_its_secret_before_its_servers() -> None:
    actions = plan(World(pool_spec()).snapshot()).actions
    assert [type(a) for a in actions] == [EnsureAgentSecret, ApplyServers, ApplyPoolStatus]


def fewer_copies() -> World:
    """Two copies answer, one is wanted."""
    world = World(pool_spec(servers=(2, 2)))
    world.add("intent", model_spec(replicas=2))
    world.settle()
    world.edit("intent", model_spec(replicas=1))
    return world


@pytest.mark.parametrize(("age", "moves"), [(1.4, False), (1.5, True)])
def test_the_source_is_routed_until_every_node_knows_the_target(age: float, *, moves: bool) -> None:
    world = fewer_copies()
    snapshot = world.snapshot()
    endpoints = tuple(replace(e, since=world.now - age) for e in snapshot.endpoints)
    result = plan(replace(snapshot, endpoints=endpoints))
    routes = [a for a in result.actions if isinstance(a, RouteServer)]
    assert [(r.server, r.models) for r in routes] == (
        [(max(world.pods), frozenset())] if moves else []
    )
    assert result.requeue_after == (None if moves else pytest.approx(0.1))


@pytest.mark.parametrize(
    ("known", "age", "ready"),
    [
        (False, 1.4, False),
        (False, 1.5, True),
        (True, 0.0, True),  # only this operator does not know for how long already
    ],
)
def test_a_model_is_ready_when_every_node_knows_the_way(
    age: float, *, known: bool, ready: bool
) -> None:
    world = served()
    snapshot, model = world.snapshot(), world.models["intent"]
    endpoints = tuple(replace(e, since=world.now - age) for e in snapshot.endpoints)
    conditions = model.status["conditions"] if known else []
    models = (replace(model, status={**model.status, "conditions": conditions}),)
    result = plan(replace(snapshot, endpoints=endpoints, models=models))
    told = [a.status for a in result.actions if isinstance(a, ApplyModelStatus)]
    status = told[0] if told else models[0].status
    found = {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}
    late = ("Unknown", "AwaitingEndpoints")
    assert found["Ready"] == (("True", "Ready") if ready else late)
    assert found["Serving"] == (("True", "Serving") if ready else late)
    assert result.requeue_after == (None if ready else pytest.approx(0.1))


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(("age", "unloads"), [(1.9, False), (2.0, True)])
def test_the_source_is_unloaded_when_it_is_drained(
    age: float, *, unloads: bool, restarted: bool
) -> None:
    world = fewer_copies()
    world.step()
    source = world.pods[max(world.pods)]
    assert source.routed == frozenset()
    snapshot, since = world.snapshot(), world.now - age
    endpoints = tuple(
        replace(e, since=since) if e.server == source.name else e
        for e in snapshot.endpoints
        if not (restarted and e.server == source.name)
    )
    result = plan(replace(snapshot, endpoints=endpoints, watching_since=since))
    puts = [a for a in result.actions if isinstance(a, PutAssignment)]
    assert [p.assignment.models for p in puts] == ([()] if unloads else [])
    assert result.requeue_after == (None if unloads else pytest.approx(0.1))


@pytest.mark.parametrize(
    ("cost", "other", "ready", "spare_ready", "replicas"),
    [
        (0, 100, True, True, 1),
        (None, 100, True, True, 1),
        (None, 100, True, False, 1),  # a pod that is not ready is deleted first
        (100, 100, True, True, 2),  # the mark of the spare one is not seen yet
        (0, None, True, True, 2),  # nor is that of the one that holds the model
        (0, 100, False, True, 2),  # a pod that is not ready would be deleted in its stead
        (0, 100, False, False, 2),  # and of two such pods either
    ],
)
def test_servers_go_only_when_it_is_sure_which(
    cost: int | None, other: int | None, *, ready: bool, spare_ready: bool, replicas: int
) -> None:
    world = served(servers=(2, 2))
    world.edit_pool(replace(world.pool_spec(), min_servers=1))
    snapshot = world.snapshot()
    (holder,) = world.servers_of("intent")
    servers = tuple(
        replace(s, deletion_cost=other, ready=ready)
        if s.name == holder
        else replace(s, deletion_cost=cost, ready=spare_ready)
        for s in snapshot.servers
    )
    actions = plan(replace(snapshot, servers=servers)).actions
    assert [a.replicas for a in actions if isinstance(a, ApplyServers)] == [replicas]


def test_conversions_queue_by_priority_then_age() -> None:
    world = World(pool_spec(max_concurrent=1))
    for number in range(14):
        priority = 200 if number == 13 else 100
        world.add(f"m{number:02}", model_spec(f"s3://models/{number}.onnx", priority=priority))
        world.now += 1
    world.job_seconds = 0.0
    order: list[str] = []
    for _ in range(200):
        for action in world.step().actions:
            if isinstance(action, ApplyConvertJob) and action.owners[0].name not in order:
                order.append(action.owners[0].name)
    assert order.index("m13") < 6
    rest = [name for name in order if name != "m13"]
    assert rest == sorted(rest)


def test_a_waiting_conversion_says_behind_what() -> None:
    world = World(pool_spec(max_concurrent=1, max_concurrent_intakes=20))
    world.job_seconds = 3.0
    for number in range(14):
        world.add(f"m{number:02}", model_spec(f"s3://models/{number}.onnx"))
        world.now += 0.01
    for _ in range(int(4 / STEP)):
        world.step()
    messages = [
        next(c for c in m.status["conditions"] if c["type"] == "Converted")
        for m in world.models.values()
    ]
    assert [m["reason"] for m in messages] == ["Converting"] + ["ConversionQueued"] * 13
    assert messages[2]["message"] == (
        "Waits at position 2 for a free slot; conversions that run (at most 1): m00. "
        "Before it: m01."
    )
    assert messages[13]["message"] == (
        "Waits for a free slot: more than 10 conversions come first."
    )


def test_a_pending_job_says_what_it_waits_for() -> None:
    world = World(pool_spec())
    world.add("intent", model_spec())
    world.step()
    (job,) = world.jobs.values()
    reason = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    world.jobs[job.name] = replace(job, state=JobState.PENDING, waiting=reason)
    status = next(
        a.status for a in plan(world.snapshot()).actions if isinstance(a, ApplyModelStatus)
    )
    assert status["conditions"][1]["message"] == f"Job {job.name} waits to start: {reason}"


def test_a_job_without_an_answer_is_tried_again_later() -> None:
    world = World(pool_spec())
    world.add("intent", model_spec())
    world.step()
    (job,) = world.jobs.values()
    assert job.kind is JobKind.INTAKE
    world.jobs[job.name] = replace(job, state=JobState.SUCCEEDED, finished=world.now, result=None)
    result = plan(world.snapshot())
    status = next(a.status for a in result.actions if isinstance(a, ApplyModelStatus))
    assert status["conversion"]["failure"]["reason"] == "ResultMissing"
    assert status["conditions"][1]["reason"] == "Retrying"
    assert result.requeue_after == pytest.approx(10.0)


def test_the_queue_delay_in_the_status_is_the_one_that_is_set() -> None:
    from tightship.api.v1alpha1 import DynamicBatching  # noqa: PLC0415

    world = World(
        replace(pool_spec(), slo_classes={"Interactive": LatencyObjective(target=0.0063)})
    )
    world.add("intent", model_spec(dynamic_batching=DynamicBatching(max_queue_delay=0.005)))
    world.settle()
    serving = world.models["intent"].status["serving"]
    assert serving["maxQueueDelay"] == "1ms"
    assert serving["reason"].startswith("maxQueueDelay 5ms is cut")
    (pod,) = world.pods.values()
    assert pod.serves["intent"].config.max_queue_delay_us == pytest.approx(1000, abs=1)
    assert world.now > START
