"""The CRDs keep every status that a plan writes: what they lack would be written for ever."""

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.support import schemas
from tests.unit.plan.test_scenarios import STORIES
from tests.unit.plan.world import World, pool_spec

from tightship.api import names
from tightship.api.v1alpha1 import UpdateStrategy
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
