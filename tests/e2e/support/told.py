"""What a status says of a model that is not taken as it came: in time, and in plain words."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.e2e.support.kubectl import Object
from tests.e2e.support.workspace import Workspace, condition

from tightship.api.conditions import DESCRIPTIONS
from tightship.api.reasons import JOB_FAILURES

WITHIN_SECONDS = 60.0  # from the start of the Job that found it out
_DOCUMENTED = {*map(str, DESCRIPTIONS), *JOB_FAILURES}


def told(workspace: Workspace, model: Object, kind: str) -> Mapping[str, Any]:
    """The condition, which has a documented reason, no traceback, and came in time."""
    text = json.dumps(model["status"])
    assert "Traceback" not in text
    assert 'File \\"' not in text
    found = condition(model, kind)
    assert found["reason"] in _DOCUMENTED
    starts = _starts(workspace, model)
    if starts:
        assert _time(found["lastTransitionTime"]) - max(starts) <= WITHIN_SECONDS
    return found


def refused(model: Object) -> bool:
    """Whether the model is not served, and why is known."""
    return bool(condition(model, "Ready").get("status") == "False")


def _starts(workspace: Workspace, model: Object) -> list[float]:
    """When the model's Jobs began; none for a resource that is refused without one."""
    return [
        _time(job["status"]["startTime"])
        for job in workspace.kubectl.listed("jobs", workspace.namespace)
        if any(o["uid"] == model["metadata"]["uid"] for o in job["metadata"]["ownerReferences"])
        and "startTime" in job["status"]
    ]


def _time(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
