"""The CRDs keep every status that a plan writes: what they lack would be written for ever."""

import math
from dataclasses import replace

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.support import schemas
from tests.support.summaries import summary
from tests.unit.plan.test_scenarios import STORIES
from tests.unit.plan.world import World, model_spec, pool_spec

from tightship.api import names
from tightship.api.v1alpha1 import EvaluationSet, OwnMetric, UpdateStrategy
from tightship.plan import figures
from tightship.plan.actions import Action, ApplyModelStatus, ApplyPoolStatus

_MODEL = jsonschema.Draft7Validator(
    schemas.strict(schemas.of_crd(names.OPTIMIZED_MODELS, "status"))
)
_POOL = jsonschema.Draft7Validator(schemas.strict(schemas.of_crd(names.SERVING_POOLS, "status")))


class CheckedWorld(World):
    """A world whose API server knows the schemas."""

    def apply(self, action: Action) -> None:
        if isinstance(action, ApplyModelStatus):
            _MODEL.validate(action.status)
        if isinstance(action, ApplyPoolStatus):
            _POOL.validate(action.status)
        super().apply(action)


@pytest.mark.parametrize("name", STORIES)
def test_statuses_of_a_story(name: str) -> None:
    story, pool = STORIES[name]
    world = CheckedWorld(pool_spec(**pool))
    world.allow_gap = pool.get("strategy") is UpdateStrategy.DRAIN
    story(world)


def test_the_status_of_a_model_that_code_judges() -> None:
    world = CheckedWorld(replace(pool_spec(), trusted_code=True))
    code = OwnMetric(storage_uri="s3://code/metric.py", entrypoint="metric.py:near")
    data = EvaluationSet(storage_uri="s3://data/e.npz", metric=None, own_metric=code)
    world.add("intent", replace(model_spec(), evaluation=data))
    world.settle()
    assert world.models["intent"].status["conversion"]["metricDigest"]


@pytest.mark.parametrize("value", [-1e30, 1e300, math.nan, -math.inf, 1e19])
def test_a_status_holds_any_value_of_any_metric(value: float) -> None:
    name = f"{'m' * 248}.py:n"
    found = replace(summary("k"), metric=name, metric_before=value, metric_after=value)
    told = figures.optimization_json(found, "s3://store")
    _MODEL.validate({"optimization": told})
    assert float(told["metric"]["before"]) == pytest.approx(value, nan_ok=True)
