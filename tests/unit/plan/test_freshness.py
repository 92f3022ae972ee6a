"""Looks at sources that may change, and what Fresh says, told as stories in a small world."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.plan.world import World, model_spec, pool_spec

from tightship.api.conditions import ConditionType, find_condition, seconds_of
from tightship.api.failures import Failure
from tightship.api.v1alpha1 import EvaluationSet, ModelSource, OptimizedModelSpec, Serving
from tightship.plan.refresh import SPREAD, Look, due, is_watched
from tightship.plan.snapshot import JobKind

if TYPE_CHECKING:
    from collections.abc import Callable

A, B = "s3://models/a.onnx", "s3://models/b.onnx"
HOUR = 3600.0
DOWN = Failure(reason="SourceUnreachable", message="No connection.", retryable=True)
DENIED = Failure(reason="AccessDenied", message="Check the keys in the Secret.")
BROKEN = Failure(reason="InvalidModel", message="Not an ONNX file.")


def settled(*names: str, uri: str = A, **spec: Any) -> World:  # noqa: ANN401 (fields of a spec)
    """A world at rest with models of one source that is looked at every hour."""
    world = World(pool_spec())
    for name in names or ("intent",):
        world.add(name, model_spec(uri, **{"refresh": HOUR, **spec}))
    world.settle()
    return world


def later(world: World, seconds: float = HOUR) -> None:
    """So much later all is at rest again."""
    world.now += seconds
    world.settle()


def looks(world: World) -> list[str]:
    return [job.name for job in world.jobs.values() if job.kind is JobKind.REFRESH]


def test_new_bytes_are_converted_and_the_former_serve_until_then() -> None:
    world = settled()
    before = world.models["intent"].status
    world.content[A] = "new bytes"
    world.now += HOUR
    seen = set()
    for _ in range(40):
        world.step()  # it checks that a copy answers all the time
        seen.add(world.condition("intent", "Fresh"))
        assert world.condition("intent", "Serving") == ("True", "Serving")
    world.settle()
    after = world.models["intent"].status
    assert after["artifact"]["key"] != before["artifact"]["key"]
    assert after["conversion"]["sourceDigest"] != before["conversion"]["sourceDigest"]
    assert seen == {("True", "Fresh"), ("Unknown", "Outdated")}
    assert world.ready("intent")
    assert world.condition("intent", "Fresh") == ("True", "Fresh")


def test_a_look_that_finds_nothing_new_is_one_small_write() -> None:
    world = settled()
    for _ in range(3):
        before, writes = world.models["intent"].status, world.writes["ApplyModelStatus"]
        later(world)
        after = world.models["intent"].status
        assert world.writes["ApplyModelStatus"] == writes + 1
        changed = {name for name in after if after[name] != before.get(name)}
        assert changed == {"refresh"}
        assert set(after["refresh"]) == {"inputs", "lastCheckTime"}
        assert after["refresh"]["lastCheckTime"] > before["refresh"]["lastCheckTime"]
        assert not looks(world), "a Job that has told is removed"
    assert not [event for event in world.events if event.reason == "Outdated"]


def test_models_of_one_source_look_at_it_once() -> None:
    world = settled("a", "b")
    world.now += HOUR
    world.step()
    (job,) = looks(world)
    assert world.jobs[job].owners == {model.uid for model in world.models.values()}
    world.content[A] = "new bytes"
    world.settle()
    keys = {model.status["artifact"]["key"] for model in world.models.values()}
    assert len(keys) == 1


def test_a_model_that_does_not_look_keeps_what_it_has() -> None:
    world = settled("a")
    world.add("b", model_spec(A))
    world.settle()
    world.content[A] = "new bytes"
    kept = world.models["b"].status
    later(world)
    assert world.models["b"].status == kept
    assert "refresh" not in kept
    assert not find_condition(kept, ConditionType.FRESH)
    assert world.models["a"].status["artifact"]["key"] != kept["artifact"]["key"]
    world.add("c", model_spec(A))
    world.settle()
    newest = world.models["a"].status["artifact"]
    assert world.models["c"].status["artifact"] == newest, "the last look counts"


def test_many_models_do_not_look_at_once() -> None:
    names = [f"m{number}" for number in range(12)]
    world = World(pool_spec(room=20_000, max_concurrent=12))
    for name in names:
        world.add(name, model_spec(f"s3://models/{name}", refresh=HOUR))
    world.settle()
    start = world.now
    began: dict[str, float] = {}
    while len(began) < len(names):
        world.step()
        for name in looks(world):
            began.setdefault(name, world.now)
        world.now += 2
    times = sorted(began.values())
    assert times[0] < start + HOUR
    assert times[-1] - times[0] > HOUR * SPREAD / 3


def test_intakes_come_before_looks_and_share_their_slots() -> None:
    world = World(pool_spec(max_concurrent_intakes=1))
    for name in "ab":
        world.add(name, model_spec(f"s3://models/{name}", refresh=HOUR))
    world.settle()
    world.now += HOUR
    world.add("c", model_spec("s3://models/c"))
    world.step()
    assert not looks(world)
    assert world.condition("c", "Converted") == ("Unknown", "IntakeRunning")
    before = {name: world.models[name].status["refresh"]["lastCheckTime"] for name in "ab"}
    world.settle()
    for name in "ab":
        assert world.models[name].status["refresh"]["lastCheckTime"] > before[name]


FAILURES: dict[str, tuple[list[Failure], tuple[str, str], int]] = {
    "it passes": ([DOWN], ("True", "Fresh"), 0),
    "it lasts": ([DOWN] * 9, ("False", "SourceUnreachable"), 3),
    "somebody has to act": ([DENIED], ("False", "AccessDenied"), 1),
    "what is there is no model": ([BROKEN], ("False", "InvalidModel"), 1),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_look_that_fails_changes_nothing_but_fresh(case: str) -> None:
    failures, told, attempts = FAILURES[case]
    world = settled()
    before = world.models["intent"].status
    world.outcomes[f"refresh:{A}"] = list(failures)
    later(world)
    for _ in range(200):  # retries of looks come after some seconds
        world.step()
    status = world.models["intent"].status
    assert world.condition("intent", "Fresh") == told
    assert status["refresh"].get("attempts", 0) == attempts
    assert world.ready("intent")
    for part in ("artifact", "conversion", "placement", "replicas"):
        assert status[part] == before[part]
    world.outcomes.clear()
    later(world)
    assert world.condition("intent", "Fresh") == ("True", "Fresh")


def test_what_is_not_known_for_the_moment_is_unknown() -> None:
    world = settled()
    world.outcomes[f"refresh:{A}"] = [DOWN, DOWN]
    world.now += HOUR
    while world.condition("intent", "Fresh")[0] == "True":
        world.step()
    assert world.condition("intent", "Fresh") == ("Unknown", "SourceUnreachable")
    world.settle()


def test_a_source_that_could_not_be_used_is_looked_at_again() -> None:
    world = World(pool_spec())
    world.outcomes[f"intake:{A}"] = [BROKEN]
    world.add("intent", model_spec(A, refresh=HOUR))
    world.settle()
    assert world.condition("intent", "Converted") == ("False", "InvalidModel")
    assert world.condition("intent", "Fresh") == ("Unknown", "AwaitingConversion")
    world.jobs.clear()
    later(world)
    assert world.ready("intent")


def test_new_bytes_that_cannot_be_converted_leave_the_former_served() -> None:
    world = settled()
    before = world.models["intent"].status["artifact"]
    world.content[A] = "new bytes"
    world.outcomes[f"convert:{A}"] = [BROKEN]
    later(world)
    assert world.models["intent"].status["artifact"] == before
    assert world.condition("intent", "Serving") == ("True", "Serving")
    assert world.condition("intent", "Converted") == ("False", "InvalidModel")
    assert world.condition("intent", "Fresh") == ("False", "Outdated")
    world.content[A] = "newer bytes"
    later(world)
    assert world.ready("intent")


def test_a_look_is_forgotten_with_the_wish_for_it() -> None:
    world = settled()
    world.edit("intent", model_spec(A))
    world.settle()
    status = world.models["intent"].status
    assert "refresh" not in status
    assert not find_condition(status, ConditionType.FRESH)
    world.edit("intent", model_spec(A, refresh=HOUR))
    later(world)
    assert "lastCheckTime" in world.models["intent"].status["refresh"]


def test_a_paused_model_is_not_looked_at() -> None:
    world = settled()
    world.models["intent"] = replace(world.models["intent"], paused=True)
    world.settle()
    before = world.models["intent"].status
    later(world, 3 * HOUR)
    assert world.models["intent"].status == before
    world.models["intent"] = replace(world.models["intent"], paused=False)
    world.settle()
    assert world.models["intent"].status["refresh"] != before["refresh"]


def test_what_is_too_old_says_so_at_the_right_time_and_serves() -> None:
    world = settled(refresh=0.0, age=10 * HOUR)
    status = world.models["intent"].status
    time = seconds_of(status["optimization"]["evaluationTime"])
    assert time is not None
    assert world.condition("intent", "Fresh") == ("True", "Fresh")
    assert world.requeue == pytest.approx(time + 10 * HOUR - world.now, abs=1)
    writes = sum(world.writes.values())
    world.now = time + 10 * HOUR - 1
    world.step()
    assert world.condition("intent", "Fresh") == ("True", "Fresh")
    later(world)
    assert world.condition("intent", "Fresh") == ("False", "TooOld")
    told = find_condition(world.models["intent"].status, ConditionType.FRESH)
    assert "monitoring.maxAge" in told["message"]
    assert world.ready("intent")
    assert sum(world.writes.values()) > writes
    assert world.requeue is None


def test_an_artifact_without_a_time_is_not_called_old() -> None:
    world = settled(refresh=0.0)
    status = dict(world.models["intent"].status)
    status["optimization"] = {
        name: value for name, value in status["optimization"].items() if name != "evaluationTime"
    }
    spec = model_spec(A, age=10 * HOUR)
    world.models["intent"] = replace(world.models["intent"], status=status, spec=spec)
    world.jobs.clear()
    world.settle()
    assert world.condition("intent", "Fresh") == ("Unknown", "NotEvaluated")


SPECS: dict[str, tuple[ModelSource, EvaluationSet | None, bool]] = {
    "nobody asked": (ModelSource(storage_uri=A), None, False),
    "every hour": (ModelSource(storage_uri=A, refresh_interval=HOUR), None, True),
    "pinned": (ModelSource(storage_uri=A, refresh_interval=HOUR, digest="sha256:0"), None, False),
    "pinned, with data": (
        ModelSource(storage_uri=A, refresh_interval=HOUR, digest="sha256:0"),
        EvaluationSet(storage_uri=B),
        True,
    ),
}


@pytest.mark.parametrize("case", SPECS)
def test_what_is_looked_at(case: str) -> None:
    source, data, watched = SPECS[case]
    spec = OptimizedModelSpec(model=source, evaluation=data, serving=Serving(pool="shared"))
    assert is_watched(spec) is watched


DUE: dict[str, tuple[Look, Callable[[float], bool]]] = {
    "first share": (Look(inputs="0" * 64, time=0.0), lambda t: t == HOUR),
    "last share": (
        Look(inputs="f" * 64, time=0.0),
        lambda t: HOUR * (1 - SPREAD) <= t < HOUR * (1 - SPREAD) + 1,
    ),
    "a retry may help": (
        Look(inputs="0" * 64, time=0.0, attempts=2, failure=DOWN),
        lambda t: t == 20,
    ),
    "retries are used up": (
        Look(inputs="0" * 64, time=0.0, attempts=3, failure=DOWN),
        lambda t: t == HOUR,
    ),
    "no retry helps": (
        Look(inputs="0" * 64, time=0.0, attempts=1, failure=DENIED),
        lambda t: t == HOUR,
    ),
}


@pytest.mark.parametrize("case", DUE)
def test_when_a_look_is_due(case: str) -> None:
    look, right = DUE[case]
    assert right(due(look, HOUR, retries=2))
