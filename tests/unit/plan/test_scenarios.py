"""Named stories, each told twice: to an operator that lives on, and to one that always restarts."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from tests.unit.plan.world import MIB, STEP, World, model_spec, pool_spec, sha

from tightship.api.failures import MODEL_CRASHED, Failure
from tightship.api.v1alpha1 import OptimizedModelSpec, UpdateStrategy
from tightship.plan.actions import ApplyModelStatus, ApplyPoolStatus
from tightship.plan.fleet import SERVER_GRACE
from tightship.plan.snapshot import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Callable

A, B = "s3://models/a.onnx", "s3://models/b.onnx"
DOWN = Failure(reason="TritonFailed", message="Triton ended.", retryable=True)
CRASHED = Failure(reason=MODEL_CRASHED, message="It stopped answering.", retryable=True)
BROKEN = Failure(reason="InvalidModel", message="Not an ONNX file.", retryable=False)


def events(world: World, name: str) -> list[str]:
    return [e.reason for e in world.events if e.regarding.name == name]


def first_conversion(world: World) -> None:
    world.add("intent", model_spec())
    world.settle()
    assert world.ready("intent")
    assert world.models["intent"].status["modelStatus"]["transitionStatus"] == "UpToDate"
    assert events(world, "intent") == ["Converted", "Placed", "Serving"]


def how_far_it_is(world: World) -> None:
    """While a Job runs the status says where it is; afterwards nothing of that stays."""
    world.job_seconds = 6 * STEP
    world.add("intent", model_spec())
    told, messages = list[str](), list[str]()
    world.step()
    while not world.ready("intent"):
        world.step()
        status = world.models["intent"].status
        told.append(status.get("conversion", {}).get("progress", ""))
        messages += [c["message"] for c in _conditions(world, "Converted")]
    seen = [place for place, _ in groupby(told) if place]
    assert seen == [
        *("fetch", "inspect"),
        *("fetch", "convert", "candidates, 1 of 6", "candidates, 2 of 6", "candidates, 3 of 6"),
    ]
    assert any(message.endswith(" runs: candidates, 2 of 6: c2.") for message in messages)
    world.settle()
    assert "progress" not in world.models["intent"].status["conversion"]
    assert events(world, "intent") == ["Converted", "Placed", "Serving"]


def paused_while_it_runs(world: World) -> None:
    """A paused model's Job goes on, but nobody says how far it is."""
    world.job_seconds = 6 * STEP
    world.add("intent", model_spec())
    while "progress" not in world.models["intent"].status.get("conversion", {}):
        world.step()
    world.models["intent"] = replace(world.models["intent"], paused=True)
    world.settle()
    assert "progress" not in world.models["intent"].status["conversion"]


def limited_model(world: World) -> None:
    """What the model rules out is told while it is converted, and for good."""
    world.limitations[A] = ("NoBatchAxis", "TextInput", "OfANewerConverter")
    world.add("intent", model_spec())
    told: list[str] = []
    world.step()
    while not world.ready("intent"):
        world.step()
        told += [c["message"] for c in _conditions(world, "Converted") if c["status"] == "Unknown"]
    assert "The model has no batch axis" in told[-1]
    for _ in ("Jobs are known", "Jobs are gone"):
        (converted,) = _conditions(world, "Converted")
        assert (converted["status"], converted["reason"]) == ("True", "TextInput")
        assert "export that part alone" in converted["message"]
        assert "with a free first axis" in converted["message"]
        assert ", 2.41 times as fast: " in converted["message"]
        world.jobs.clear()
        world.settle()
    world.add("twin", model_spec())
    world.settle()
    assert world.condition("twin", "Converted") == ("True", "TextInput")


def _conditions(world: World, kind: str) -> list[dict[str, Any]]:
    found = world.models["intent"].status.get("conditions", [])
    return [condition for condition in found if condition["type"] == kind]


def slow_start(world: World) -> None:
    """An image that takes minutes to pull: a server takes part long after its pod was made.

    For a moment it is marked and not ready yet, and just then a model comes that needs room.
    """
    world.start_seconds = 3 * SERVER_GRACE
    world.add("intent", model_spec())
    while not any(pod.placed for pod in world.pods.values()):
        world.step()
    world.add("twin", model_spec())
    while not (world.ready("intent") and world.ready("twin")):
        world.step()
        assert len(world.pods) == 1


def shared_inputs(world: World) -> None:
    for name in ("a", "b", "c"):
        world.add(name, model_spec())
    world.settle()
    assert all(world.ready(name) for name in "abc")
    assert len(world.jobs) == 2
    assert all(len(job.owners) == 3 for job in world.jobs.values())


def later_user_of_known_inputs(world: World) -> None:
    first_conversion(world)
    world.jobs.clear()
    world.add("twin", model_spec())
    world.settle()
    assert world.ready("twin")
    assert not world.jobs


def failure_then_success(world: World) -> None:
    world.outcomes[f"convert:{A}"] = [DOWN, DOWN]
    world.add("intent", model_spec())
    world.settle()
    assert world.ready("intent")
    assert world.writes["DeleteJob"] == 2
    assert "failure" not in world.models["intent"].status["conversion"]


def retries_run_out(world: World) -> None:
    world.outcomes[f"convert:{A}"] = [DOWN] * 9
    world.add("intent", model_spec())
    world.settle()
    assert world.condition("intent", "Converted") == ("False", "TritonFailed")
    assert world.models["intent"].status["conversion"]["attempts"] == 3
    assert len(world.outcomes[f"convert:{A}"]) == 6


def terminal_failure_is_remembered(world: World) -> None:
    world.outcomes[f"intake:{A}"] = [BROKEN]
    world.add("intent", model_spec())
    world.settle()
    assert world.condition("intent", "Ready") == ("False", "InvalidModel")
    world.jobs.clear()
    world.settle()
    assert not world.jobs
    world.edit("intent", model_spec(B))
    world.settle()
    assert world.ready("intent")


def another_try_is_asked_for(step: str) -> Callable[[World], None]:
    def story(world: World) -> None:
        world.outcomes[f"{step}:{A}"] = [BROKEN, BROKEN]
        world.add("intent", model_spec())
        world.add("twin", model_spec())
        world.settle()
        failed = ("False", "InvalidModel")
        assert world.condition("intent", "Converted") == failed
        world.annotate("intent", "1")
        world.settle()
        assert world.condition("intent", "Converted") == failed
        assert world.models["intent"].status["conversion"]["retry"] == "1"
        world.annotate("intent", "2")
        world.settle()
        assert world.ready("intent")
        assert world.ready("twin")
        assert not world.outcomes[f"{step}:{A}"]

    return story


def new_version(replicas: int) -> Callable[[World], None]:
    def story(world: World) -> None:
        world.add("intent", model_spec(replicas=replicas))
        world.settle()
        old = world.models["intent"].status["artifact"]["digest"]
        world.edit("intent", model_spec(B, replicas=replicas))
        world.settle()
        assert world.ready("intent")
        assert world.models["intent"].status["artifact"]["digest"] != old
        assert "previous" not in world.models["intent"].status
        assert world.models["intent"].status["replicas"] == replicas

    return story


def new_version_does_not_load(world: World) -> None:
    world.add("intent", model_spec(replicas=2))
    world.settle()
    old = world.models["intent"].status["artifact"]
    real = world._result

    def bad(job: Any, uri: str) -> Any:  # noqa: ANN401
        result = real(job, uri)
        if uri == B and hasattr(result, "digest"):
            world.bad_digests.add(result.digest)
        return result

    world._result = bad  # type: ignore[method-assign]
    world.edit("intent", model_spec(B, replicas=2))
    world.settle()
    status = world.models["intent"].status
    assert world.condition("intent", "Serving") == ("True", "Serving")
    assert world.condition("intent", "Ready") == ("False", "ModelLoadFailed")
    assert status["modelStatus"]["transitionStatus"] == "BlockedByFailedLoad"
    assert status["previous"]["digest"] == old["digest"]
    assert {e["digest"] for e in status["placement"]} == {old["digest"]}
    updated = [p for p in world.pods.values() if p.failures]
    assert len(updated) == 1, "the others were not touched"
    world.kill_pod(updated[0].name)
    world.settle()
    assert world.models["intent"].status["replicas"] == 2


def server_lost(world: World) -> None:
    world.add("intent", model_spec(replicas=2))
    world.settle()
    world.kill_pod(world.servers_of("intent")[0])
    world.settle()
    assert world.ready("intent")
    assert len(world.servers_of("intent")) == 2


def triton_killed(world: World) -> None:
    first_conversion(world)
    routes = world.writes["RouteServer"]
    world.kill_triton(world.servers_of("intent")[0])
    world.settle()
    assert world.ready("intent")
    assert world.writes["RouteServer"] == routes, "the agent restores it without the operator"


def server_down_for_long(world: World) -> None:
    world.add("intent", model_spec())
    world.settle()
    pod = world.pods[world.servers_of("intent")[0]]
    world.kill_triton(pod.name)
    pod.triton_up = False
    pod.targets.clear()
    for _ in range(140):
        world.step()
    assert len(world.pods) == 2
    assert world.ready("intent")
    pod.triton_up = True
    pod.targets = dict.fromkeys(pod.remembered, 0)
    world.settle()
    assert world.ready("intent")
    assert len(world.servers_of("intent")) == 1


def rolling_update(servers: int) -> Callable[[World], None]:
    def story(world: World) -> None:
        for number in range(servers * 3):
            world.add(f"m{number}", model_spec(f"s3://models/{number}.onnx"))
        world.add("twice", model_spec("s3://models/t.onnx", replicas=servers))
        world.settle()
        before = set(world.pods)
        spec = world.pool_spec()
        world.edit_pool(world.changed(spec))
        world.settle(1500)
        assert not before & set(world.pods)
        assert len(world.pods) == servers
        assert all(world.ready(name) for name in world.models)
        assert world.pool is not None
        assert world.pool.status["readyServers"] == servers

    return story


def replicas_up_and_down(world: World) -> None:
    first_conversion(world)
    world.edit("intent", model_spec(replicas=3))
    world.settle()
    assert len(world.servers_of("intent")) == 3
    world.edit("intent", model_spec(replicas=1))
    world.settle()
    assert len(world.servers_of("intent")) == 1
    assert len(world.pods) == 1, "spare servers go"


def too_few_servers(world: World) -> None:
    world.add("intent", model_spec(replicas=2))
    world.settle()
    assert world.condition("intent", "Placed") == ("False", "TooFewServers")
    assert world.condition("intent", "Serving") == ("True", "Serving")


def full_pool(world: World) -> None:
    for name in "abc":
        world.add(name, model_spec(f"s3://models/{name}.onnx"))
    world.settle()
    reasons = sorted(world.condition(name, "Placed") for name in "abc")
    assert reasons == [("False", "NoRoom"), ("True", "Placed"), ("True", "Placed")]
    placed = next(n for n in "abc" if world.ready(n))
    world.delete(placed)
    world.settle()
    assert all(world.ready(name) for name in world.models)


def no_room_for_update(world: World) -> None:
    world.memory = lambda _: 600 * MIB
    first_conversion(world)
    world.edit("intent", model_spec(B))
    world.settle()
    assert world.condition("intent", "Placed") == ("False", "NoRoomForUpdate")
    assert world.condition("intent", "Serving") == ("True", "Serving")
    world.edit_pool(pool_spec(servers=(1, 2)))
    world.settle()


def update_moves_to_another_server(world: World) -> None:
    world.memory = lambda _: 600 * MIB
    first_conversion(world)
    world.add("other", model_spec("s3://models/o.onnx"))
    world.settle()
    world.delete("other")
    old = world.servers_of("intent")
    world.edit("intent", model_spec(B))
    world.settle()
    assert world.ready("intent")
    assert world.servers_of("intent") != old


def room_is_counted_during_a_change(world: World) -> None:
    """Old, new and a newcomer do not fit at once: the newcomer waits for the old one to go."""
    world.memory = lambda _: 400 * MIB
    world.foreign.add("late")
    world.add("late", model_spec("s3://models/c.onnx"))
    first_conversion(world)
    world.edit("intent", model_spec(B))
    (pod,) = world.pods.values()
    while "intent" not in pod.targets:
        world.step()
    world.foreign.clear()
    world.step()
    assert world.condition("late", "Placed")[1] in {"AwaitingRoom", "NoRoom"}
    world.settle()
    assert all(world.ready(name) for name in world.models)


def too_large(world: World) -> None:
    world.memory = lambda _: 1001 * MIB
    world.add("intent", model_spec())
    world.settle()
    assert world.condition("intent", "Placed") == ("False", "TooLarge")


def scaled_up_by_hand(world: World) -> None:
    first_conversion(world)
    assert world.deployment is not None
    holders = world.servers_of("intent")
    world.deployment = replace(world.deployment, replicas=3)
    for _ in range(4):
        world.advance()
    assert len(world.pods) == 3
    world.settle()
    assert list(world.pods) == holders
    assert world.ready("intent")


def converted_anew(world: World, name: str, speedup: float) -> None:
    """An edit that needs another artifact of the same source."""
    spec = world.models[name].spec
    assert isinstance(spec, OptimizedModelSpec)
    optimization = replace(spec.optimization, min_speedup=speedup)
    world.edit(name, replace(spec, optimization=optimization))


def source_changed_under_an_edit(world: World) -> None:
    first_conversion(world)
    world.add("twin", model_spec())
    world.settle()
    old = world.models["twin"].status["artifact"]
    world.content[A] = "new bytes"
    converted_anew(world, "intent", 1.5)
    world.settle()
    assert world.ready("intent")
    conversion = world.models["intent"].status["conversion"]
    assert conversion["sourceDigest"] == sha("new bytes")
    assert not {"failure", "renewed", "attempts"} & set(conversion)
    assert world.writes["ApplyIntakeJob"] == 2
    assert world.models["twin"].status["artifact"] == old, "nobody asked for another one"
    assert "DigestMismatch" not in events(world, "intent")


def source_changed_and_jobs_are_gone(world: World) -> None:
    first_conversion(world)
    world.jobs.clear()
    world.content[A] = "new bytes"
    converted_anew(world, "intent", 1.5)
    world.settle()
    assert world.ready("intent")
    assert world.models["intent"].status["conversion"]["sourceDigest"] == sha("new bytes")


def source_changes_all_the_time(world: World) -> None:
    first_conversion(world)
    converted_anew(world, "intent", 1.5)
    for _ in range(80):
        world.content[A] = f"bytes of {world.now}"
        world.step()
    world.settle()
    assert world.condition("intent", "Converted") == ("False", "DigestMismatch")
    assert world.condition("intent", "Serving") == ("True", "Serving")
    assert world.writes["ApplyIntakeJob"] == 2, "the source is checked anew once"
    world.annotate("intent", "1")
    world.settle()
    assert world.ready("intent")
    assert world.writes["ApplyIntakeJob"] == 3
    world.content[A] = "new bytes"
    converted_anew(world, "intent", 1.6)
    world.settle()
    assert world.ready("intent"), "after a success it may change again"


def deleted_during_conversion(world: World) -> None:
    world.add("intent", model_spec())
    for _ in range(8):
        world.step()
    assert any(job.kind == "convert" for job in world.jobs.values())
    world.delete("intent")
    world.settle()
    assert not world.jobs


def deleted_while_served(world: World) -> None:
    first_conversion(world)
    world.delete("intent")
    world.settle()
    assert all(not p.serves and not p.routed for p in world.pods.values())


def unreachable_agent(world: World) -> None:
    world.add("intent", model_spec(replicas=2))
    world.settle()
    pod = world.pods[world.servers_of("intent")[0]]
    pod.reachable = False
    world.edit("intent", model_spec(replicas=1))
    world.add("other", model_spec(B))
    world.settle()
    assert world.ready("other")
    assert pod.assignment.models
    assert "intent" in pod.routed
    pod.reachable = True
    world.settle()
    assert len(world.servers_of("intent")) == 1


def invalid_spec_keeps_serving(world: World) -> None:
    first_conversion(world)
    world.edit("intent", InvalidSpec("spec.optimization.minSpeedup must be at least 1"))
    world.settle()
    assert world.condition("intent", "Ready") == ("False", "InvalidSpec")
    assert world.condition("intent", "Serving") == ("True", "Serving")
    assert world.models["intent"].status["modelStatus"]["transitionStatus"] == "InvalidSpec"


def crashed_copy_is_no_failed_update(world: World) -> None:
    world.add("intent", model_spec(replicas=2))
    world.settle()
    pod = next(p for p in world.pods.values() if "intent" in p.serves)
    entry = pod.serves.pop("intent")
    pod.failures["intent"] = CRASHED
    world._excuse(pod.name)
    for _ in range(20):
        world.step()
    status = world.models["intent"].status
    assert world.condition("intent", "Serving") == ("True", "Serving")
    assert world.condition("intent", "Ready") == ("Unknown", "Updating")
    assert status["modelStatus"]["transitionStatus"] == "InProgress"
    assert status["modelStatus"]["lastFailureInfo"]["reason"] == "ModelCrashed"
    assert pod.assignment.models == (entry,), "the agent is left to bring back what it had"
    assert not pod.routed
    del pod.failures["intent"]
    world.settle()
    assert world.ready("intent")


def only_copy_crashed(world: World) -> None:
    world.add("intent", model_spec())
    world.settle()
    pod = next(p for p in world.pods.values() if "intent" in p.serves)
    pod.serves.pop("intent")
    pod.failures["intent"] = CRASHED
    world._excuse(pod.name)
    for _ in range(20):
        world.step()
    assert world.condition("intent", "Ready") == ("False", "ModelCrashed")
    assert not pod.routed


def foreign_service(world: World) -> None:
    world.foreign.add("intent")
    world.add("intent", model_spec())
    world.settle()
    assert world.condition("intent", "Placed") == ("False", "ServiceConflict")
    assert "url" not in world.models["intent"].status
    world.foreign.clear()
    world.settle()
    assert world.ready("intent")


def evaluated_again(world: World) -> None:
    """On a schedule: good, outside the gate, and a Job that fails."""
    world.add("intent", model_spec(cron="*/5 * * * *", age=3600.0))
    world.settle()
    world.now += 300
    world.settle()
    assert world.condition("intent", "Fresh") == ("True", "Fresh")
    world.measured["s3://models/a.onnx"] = 0.5
    world.now += 300
    world.settle()
    assert world.condition("intent", "Fresh") == ("False", "GateFailed")
    denied = Failure(reason="AccessDenied", message="Check the keys in the Secret.")
    world.outcomes["evaluate:s3://models/a.onnx"] = [denied]
    world.now += 300
    world.settle()
    assert world.models["intent"].status["evaluation"]["attempts"] == 1
    assert world.ready("intent")


STORIES: dict[str, tuple[Callable[[World], None], dict[str, Any]]] = {
    "first conversion": (first_conversion, {}),
    "how far it is": (how_far_it_is, {}),
    "paused while it runs": (paused_while_it_runs, {}),
    "limited model": (limited_model, {}),
    "slow start": (slow_start, {"servers": (1, 2)}),
    "shared inputs": (shared_inputs, {}),
    "later user of known inputs": (later_user_of_known_inputs, {}),
    "failure then success": (failure_then_success, {}),
    "retries run out": (retries_run_out, {}),
    "terminal failure is remembered": (terminal_failure_is_remembered, {}),
    "another try of an intake": (another_try_is_asked_for("intake"), {}),
    "another try of a conversion": (another_try_is_asked_for("convert"), {}),
    "new version, one copy": (new_version(1), {}),
    "new version, two copies": (new_version(2), {"servers": (2, 2)}),
    "new version does not load": (new_version_does_not_load, {"servers": (2, 2)}),
    "crashed copy is no failed update": (
        crashed_copy_is_no_failed_update,
        {"servers": (2, 2)},
    ),
    "only copy crashed": (only_copy_crashed, {}),
    "server lost": (server_lost, {"servers": (2, 2)}),
    "Triton killed": (triton_killed, {}),
    "server down for long": (server_down_for_long, {"servers": (2, 2)}),
    "rolling update, one server": (rolling_update(1), {}),
    "rolling update, two servers": (rolling_update(2), {"servers": (2, 2)}),
    "draining update, one server": (
        rolling_update(1),
        {"strategy": UpdateStrategy.DRAIN},
    ),
    "draining update, three servers": (
        rolling_update(3),
        {"strategy": UpdateStrategy.DRAIN, "servers": (3, 3)},
    ),
    "replicas up and down": (replicas_up_and_down, {"servers": (1, 3)}),
    "too few servers": (too_few_servers, {}),
    "full pool": (full_pool, {"room": 250}),
    "no room for an update": (no_room_for_update, {}),
    "update moves to another server": (
        update_moves_to_another_server,
        {"servers": (2, 2)},
    ),
    "room is counted during a change": (room_is_counted_during_a_change, {}),
    "too large": (too_large, {}),
    "source changed under an edit": (source_changed_under_an_edit, {}),
    "source changed and Jobs are gone": (source_changed_and_jobs_are_gone, {}),
    "source changes all the time": (source_changes_all_the_time, {}),
    "scaled up by hand": (scaled_up_by_hand, {}),
    "scaled up by hand, below the limit": (scaled_up_by_hand, {"servers": (1, 4)}),
    "deleted during conversion": (deleted_during_conversion, {}),
    "deleted while served": (deleted_while_served, {}),
    "unreachable agent": (unreachable_agent, {"servers": (2, 2)}),
    "invalid spec keeps serving": (invalid_spec_keeps_serving, {}),
    "foreign service": (foreign_service, {}),
    "evaluated again": (evaluated_again, {}),
}


CRDS = Path(__file__).parents[3] / "crds"


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, refusing what the API server would only prune."""
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
    for part in [*schema.get("properties", {}).values(), schema.get("items")]:
        if part:
            strict(part)
    return schema


@pytest.fixture(scope="module")
def schemas() -> dict[type, Draft202012Validator]:
    found: dict[type, Draft202012Validator] = {}
    for action, plural in (
        (ApplyModelStatus, "optimizedmodels"),
        (ApplyPoolStatus, "servingpools"),
    ):
        crd = yaml.safe_load((CRDS / f"{plural}.yaml").read_text())
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        found[action] = Draft202012Validator(strict(schema["properties"]["status"]))
    return found


@pytest.mark.parametrize("restarts", [False, True], ids=["steady", "restarting"])
@pytest.mark.parametrize("name", STORIES)
def test_story(name: str, schemas: dict[type, Draft202012Validator], *, restarts: bool) -> None:
    story, pool = STORIES[name]
    world = World(pool_spec(**pool))
    world.schemas = schemas
    world.restarts = restarts
    world.allow_gap = pool.get("strategy") is UpdateStrategy.DRAIN
    story(world)
