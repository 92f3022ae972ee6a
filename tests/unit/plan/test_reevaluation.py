"""What is served, evaluated again on a schedule, told as stories in a small world."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.plan.test_freshness import BROKEN, DENIED, DOWN, HOUR, A, later
from tests.unit.plan.test_freshness import settled as settled_with
from tests.unit.plan.world import World, model_spec, pool_spec, sha

from tightship.api import schedule
from tightship.api.conditions import ConditionType, find_condition, seconds_of
from tightship.plan.actions import ApplyEvaluateJob, ApplyIntakeJob
from tightship.plan.reevaluation import Evaluation, due
from tightship.plan.snapshot import JobKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tightship.api.failures import Failure

HOURLY = "0 * * * *"


def settled(*names: str, **spec: Any) -> World:  # noqa: ANN401 (fields of a spec)
    """A world at rest with models that are evaluated every hour."""
    return settled_with(*names, **{"refresh": 0.0, "cron": HOURLY, **spec})


def evaluations(world: World) -> list[str]:
    return [job.name for job in world.jobs.values() if job.kind is JobKind.EVALUATE]


def told(world: World, name: str = "intent") -> Mapping[str, Any]:
    found: Mapping[str, Any] = world.models[name].status.get("evaluation", {})
    return found


def message(world: World) -> str:
    found = find_condition(world.models["intent"].status, ConditionType.FRESH)
    return str(found["message"])


def test_at_its_minute_and_not_before() -> None:
    world = settled()
    assert world.condition("intent", "Fresh") == ("True", "Fresh")
    assert world.requeue is not None
    at = world.now + world.requeue
    assert at == pytest.approx(schedule.parse(HOURLY).after(world.now), abs=1)
    world.now = at - 1
    world.step()
    assert not evaluations(world)
    world.now = at
    world.step()
    assert len(evaluations(world)) == 1
    world.settle()
    assert seconds_of(told(world)["lastCheckTime"]) == pytest.approx(at, abs=10)
    assert world.requeue == pytest.approx(at + HOUR - world.now, abs=1)


def test_a_good_evaluation_is_one_small_write() -> None:
    world = settled()
    later(world)
    for _ in range(3):
        before, writes = world.models["intent"].status, world.writes["ApplyModelStatus"]
        later(world)
        after = world.models["intent"].status
        assert world.writes["ApplyModelStatus"] == writes + 1
        changed = {name for name in after if after[name] != before[name]}
        assert changed == {"evaluation", "conditions"}  # Fresh says when
        assert not evaluations(world), "a Job that has told is removed"
    assert told(world)["result"] == {
        "evaluationTime": told(world)["result"]["evaluationTime"],
        "dataDigest": sha("0.97"),
        "samples": 400,
        "metric": "accuracy",
        "value": "0.9700",
        "best": "0.9800",
        "allowed": "0.9600",
        "passed": True,
    }
    assert world.condition("intent", "Fresh") == ("True", "Fresh")
    assert "0.9700 on 400 samples" in message(world)


def test_what_no_longer_holds_is_told_and_served_until_it_holds_again() -> None:
    world = settled()
    world.measured[A] = 0.8
    later(world)
    assert world.condition("intent", "Fresh") == ("False", "GateFailed")
    digest = sha("0.8")[:12]
    for part in ("accuracy", "0.8000", "400 samples", digest, "no better than 0.8100", "maxDrop"):
        assert part in message(world)
    assert "nothing worse than 0.9600" in message(world)
    assert "train the model" in message(world)
    assert told(world)["result"]["missed"] == ["maxDrop"]
    assert world.ready("intent")
    later(world)
    (event,) = [event for event in world.events if event.reason == "GateFailed"]
    assert event.kind == "Warning"
    world.measured[A] = 0.955
    later(world)
    assert world.condition("intent", "Fresh") == ("True", "Fresh"), "not for sure"


FAILURES: dict[str, tuple[list[Failure], tuple[str, str], int]] = {
    "it passes": ([DOWN], ("True", "Fresh"), 0),
    "it lasts": ([DOWN] * 9, ("False", "SourceUnreachable"), 3),
    "somebody has to act": ([DENIED], ("False", "AccessDenied"), 1),
}


@pytest.mark.parametrize("case", FAILURES)
def test_an_evaluation_that_fails_changes_nothing_but_fresh(case: str) -> None:
    failures, condition, attempts = FAILURES[case]
    world = settled()
    later(world)
    before = world.models["intent"].status
    world.outcomes[f"evaluate:{A}"] = list(failures)
    later(world)
    for _ in range(200):  # retries come after some seconds
        world.step()
    assert world.condition("intent", "Fresh") == condition
    assert told(world).get("attempts", 0) == attempts
    assert told(world)["result"]["value"] == "0.9700"
    assert world.ready("intent")
    for part in ("artifact", "conversion", "placement", "replicas"):
        assert world.models["intent"].status[part] == before[part]
    world.outcomes.clear()
    later(world)
    assert world.condition("intent", "Fresh") == ("True", "Fresh")


def test_what_is_known_to_fail_does_so_until_an_evaluation_says_otherwise() -> None:
    world = settled()
    world.measured[A] = 0.8
    later(world)
    world.outcomes[f"evaluate:{A}"] = [DENIED]
    later(world)
    assert told(world)["failure"]["reason"] == "AccessDenied"
    assert world.condition("intent", "Fresh") == ("False", "GateFailed")


def test_times_that_were_missed_are_made_up_for_once() -> None:
    world = settled()
    world.now += 50 * HOUR
    world.settle()
    assert world.writes["ApplyEvaluateJob"] == 1
    last = told(world)["lastCheckTime"]
    for _ in range(20):
        world.step()
    assert told(world)["lastCheckTime"] == last


def test_a_schedule_that_is_given_later_counts_from_the_conversion() -> None:
    world = settled(cron=None)
    later(world, 10 * HOUR)
    world.edit("intent", model_spec(A, cron=HOURLY))
    world.settle()
    assert told(world)["result"]["value"] == "0.9700"
    assert world.writes["ApplyEvaluateJob"] == 1


def test_models_of_one_artifact_and_data_are_evaluated_once() -> None:
    world = settled("a", "b")
    later(world)
    assert world.writes["ApplyEvaluateJob"] == 1
    assert told(world, "a") == told(world, "b") != {}


def test_looks_and_intakes_come_first_and_share_the_slots() -> None:
    world = World(pool_spec(max_concurrent_intakes=1))
    world.add("intent", model_spec(A, cron=HOURLY, refresh=HOUR))
    world.settle()
    world.now += HOUR
    world.add("c", model_spec("s3://models/c"))
    kinds = ApplyIntakeJob | ApplyEvaluateJob
    actions = [action for _ in range(60) for action in world.step().actions]
    began = [action.name.split("-")[0] for action in actions if isinstance(action, kinds)]
    assert began == ["intake", "refresh", "evaluate"]


def test_nothing_is_evaluated_while_another_version_is_wanted() -> None:
    world = settled()
    world.measured[A] = 0.8
    later(world)
    former = told(world)
    world.now += HOUR - 5
    world.content[A] = "new bytes"
    spec = model_spec(A, cron=HOURLY, refresh=60.0)
    world.edit("intent", spec)
    artifact = world.models["intent"].status["artifact"]
    for _ in range(60):
        world.step()
        run = {job.kind for job in world.jobs.values() if not job.ended}
        assert not {JobKind.CONVERT, JobKind.EVALUATE} <= run
        if world.models["intent"].status["artifact"] == artifact:
            assert told(world) == former, "it is about what is served still"
    world.measured.clear()
    later(world)
    assert told(world)["inputs"] != former["inputs"]
    assert world.condition("intent", "Fresh") == ("True", "Fresh")


def test_a_version_that_cannot_be_made_leaves_what_is_told_of_the_former() -> None:
    world = settled()
    later(world)
    before = told(world)
    world.outcomes["intake:s3://models/other"] = [BROKEN]
    world.edit("intent", model_spec("s3://models/other", cron=HOURLY))
    later(world)
    assert world.condition("intent", "Fresh") == ("False", "Outdated")
    assert told(world) == before


def test_it_keeps_a_model_young() -> None:
    world = settled(age=2 * HOUR)
    for _ in range(4):
        later(world)
        assert world.condition("intent", "Fresh") == ("True", "Fresh")
    world.outcomes[f"evaluate:{A}"] = [DENIED] * 9
    later(world, 3 * HOUR)
    assert world.condition("intent", "Fresh") == ("False", "TooOld")


def test_it_is_forgotten_with_the_wish_for_it() -> None:
    world = settled()
    later(world)
    world.edit("intent", model_spec(A))
    world.settle()
    assert not told(world)
    assert not find_condition(world.models["intent"].status, ConditionType.FRESH)


def test_a_paused_model_is_not_evaluated() -> None:
    world = settled()
    later(world)
    world.models["intent"] = replace(world.models["intent"], paused=True)
    world.settle()
    before = world.models["intent"].status
    later(world, 3 * HOUR)
    assert world.models["intent"].status == before
    world.models["intent"] = replace(world.models["intent"], paused=False)
    world.settle()
    assert told(world)["lastCheckTime"] != before["evaluation"]["lastCheckTime"]


ZERO = 1_000_800.0  # a full hour
DUE: dict[str, tuple[Evaluation, float]] = {
    "on time": (Evaluation(inputs="", time=ZERO + 40), ZERO + HOUR),
    "to the second": (Evaluation(inputs="", time=ZERO), ZERO + HOUR),
    "a retry may help": (
        Evaluation(inputs="", time=ZERO + 40, attempts=2, failure=DOWN),
        ZERO + 60,
    ),
    "the next time comes before the retry": (
        Evaluation(inputs="", time=ZERO - 5, attempts=2, failure=DOWN),
        ZERO,
    ),
    "retries are used up": (
        Evaluation(inputs="", time=ZERO + 40, attempts=3, failure=DOWN),
        ZERO + HOUR,
    ),
    "no retry helps": (
        Evaluation(inputs="", time=ZERO + 40, attempts=1, failure=DENIED),
        ZERO + HOUR,
    ),
}


@pytest.mark.parametrize("case", DUE)
def test_when_an_evaluation_is_due(case: str) -> None:
    evaluation, expected = DUE[case]
    assert due(evaluation, schedule.parse(HOURLY), retries=2) == expected
