"""What InDistribution says, told as stories in a small world, and how seldom it is written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.plan.world import World, model_spec, pool_spec

from tightship.api.agent import DriftReport, DriftSampling, FeatureDrift, ModelAssignment
from tightship.api.conditions import ConditionType, find_condition
from tightship.api.v1alpha1 import Drift
from tightship.plan.drift import sampling
from tightship.plan.snapshot import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

KIND = "InDistribution"
FULL = DriftReport(digest="", samples=500)


def shows(**psi: float) -> DriftReport:
    """A full window with these features."""
    features = (FeatureDrift(name=name, psi=value, chance=0.05) for name, value in psi.items())
    return replace(FULL, features=tuple(features))


def watched(report: DriftReport | None = None) -> World:
    """A world at rest with one model whose requests are sampled."""
    world = World(pool_spec())
    world.add("intent", model_spec(drift=Drift()))
    if report is not None:
        world.shown["intent"] = report
    world.settle()
    return world


def live(world: World) -> Mapping[str, Any]:
    return find_condition(world.models["intent"].status, ConditionType.IN_DISTRIBUTION)


def assigned(world: World) -> list[ModelAssignment]:
    return [entry for pod in world.pods.values() for entry in pod.assignment.models]


def message(world: World) -> str:
    return str(
        find_condition(world.models["intent"].status, ConditionType.IN_DISTRIBUTION)["message"]
    )


@pytest.mark.parametrize(
    ("report", "wanted", "words"),
    [
        (None, ("Unknown", "AwaitingSamples"), "No copy has sampled 500 requests yet."),
        (DriftReport(digest=""), ("Unknown", "AwaitingSamples"), "No copy has sampled 500"),
        (FULL, ("True", "Stable"), "a PSI of 0.2 or more"),
        (shows(a=0.15), ("True", "Stable"), "a PSI of 0.2 or more"),
        (shows(a=0.2), ("False", "Drifted"), "a has a PSI of at least 0.2, and 0.2 is the limit"),
        (shows(a=3.75, b=0.5), ("False", "Drifted"), "a has a PSI of at least 3 and others"),
        (DriftReport(digest="", trouble="why"), ("Unknown", "NotSampled"), "sampled: why."),
    ],
)
def test_what_is_said(report: DriftReport | None, wanted: tuple[str, str], words: str) -> None:
    world = watched(report)
    assert world.condition("intent", KIND) == wanted
    assert words in message(world)
    assert world.ready("intent")


def test_the_remedy_is_told() -> None:
    assert "data.evaluation" in message(watched(shows(a=1.0)))


def test_nobody_asks() -> None:
    world = World(pool_spec())
    world.add("intent", model_spec())
    world.shown["intent"] = shows(a=1.0)
    world.settle()
    assert not find_condition(world.models["intent"].status, ConditionType.IN_DISTRIBUTION)
    assert all(
        entry.drift is None for pod in world.pods.values() for entry in pod.assignment.models
    )


def test_the_wish_reaches_servers_without_a_load_and_can_be_taken_back() -> None:
    world = World(pool_spec())
    world.add("intent", model_spec())
    world.settle()
    world.shown["intent"] = FULL
    for drift, wanted in (
        (Drift(sample_rate=0.05), DriftSampling(rate=20, samples=500)),
        (None,) * 2,
    ):
        world.models["intent"] = replace(
            world.models["intent"], spec=model_spec(drift=drift), generation=2
        )
        world.step()
        assert not any(pod.targets for pod in world.pods.values())
        world.settle()
        assert [entry.drift for entry in assigned(world)] == [wanted]
        assert bool(live(world)) == bool(drift)


def test_the_verdict_stays_while_a_new_agent_has_none() -> None:
    world = watched(shows(a=1.0))
    world.shown["intent"] = DriftReport(digest="")
    world.settle()
    assert world.condition("intent", KIND) == ("False", "Drifted")
    del world.shown["intent"]
    world.settle()
    assert world.condition("intent", KIND) == ("False", "Drifted")
    world.shown["intent"] = FULL
    world.settle()
    assert world.condition("intent", KIND) == ("True", "Stable")


def test_another_artifact_begins_anew() -> None:
    world = watched(shows(a=1.0))
    del world.shown["intent"]
    world.models["intent"] = replace(
        world.models["intent"], spec=model_spec("s3://models/b.onnx", drift=Drift()), generation=2
    )
    world.settle()
    assert world.condition("intent", KIND) == ("Unknown", "AwaitingSamples")


def test_small_changes_are_not_written_and_the_verdict_is_told_once() -> None:
    world = watched(shows(a=0.3, b=0.25))
    told = [event.reason for event in world.events]
    assert told.count("Drifted") == 1
    before = world.writes["ApplyModelStatus"]
    for psi in (0.35, 0.3, 0.35):
        world.shown["intent"] = shows(b=0.25, a=psi)
        world.settle()
    assert world.writes["ApplyModelStatus"] == before > 0
    world.shown["intent"] = shows(a=0.45, b=0.25)
    world.settle()
    assert world.writes["ApplyModelStatus"] == before + 1
    assert [event.reason for event in world.events] == told


def test_an_invalid_spec_keeps_what_is_known() -> None:
    world = watched(shows(a=1.0))
    before = message(world)
    world.models["intent"] = replace(
        world.models["intent"], spec=InvalidSpec("spec.x: no"), generation=2
    )
    world.settle()
    assert message(world) == before


@pytest.mark.parametrize(("share", "rate"), [(0.01, 100), (1.0, 1), (0.0001, 10_000), (0.3, 3)])
def test_a_share_is_every_so_many_requests(share: float, rate: int) -> None:
    wanted = sampling(model_spec(drift=Drift(sample_rate=share)))
    assert wanted == DriftSampling(rate=rate, samples=500)
    assert sampling(model_spec()) is None
