"""What a gate asks of a later evaluation: the worst value that passes, and what is missed."""

from dataclasses import replace

import pytest

from tightship.api.job import DataRequest, EvaluateRequest
from tightship.optimize.metrics import registry
from tightship.optimize.reevaluate import allowed, failed

REQUEST = EvaluateRequest(
    key="ab",
    digest="cd",
    data=DataRequest(uri="s3://data/evaluation.npz", max_samples=100),
    metric="accuracy",
    max_drop=0.25,
    confidence=0.95,
    store_uri="s3://store",
    allowed_hosts=(),
    max_source_bytes=2**30,
    scratch_bytes=2**30,
)
RISE = replace(REQUEST, metric="rmse")

# Each: the request, what the original reached, the bound, a best value, and what that misses.
GATES: dict[str, tuple[EvaluateRequest, float | None, float | None, float, tuple[str, ...]]] = {
    "just inside": (REQUEST, 1.0, 0.75, 0.75, ()),
    "outside": (REQUEST, 1.0, 0.75, 0.74, ("maxDrop",)),
    "the floor is stricter": (
        replace(REQUEST, worst_value=0.875),
        1.0,
        0.875,
        0.8,
        ("worstValue",),
    ),
    "the drop is stricter": (replace(REQUEST, worst_value=0.5), 1.0, 0.75, 0.7, ("maxDrop",)),
    "both": (replace(REQUEST, worst_value=0.5), 1.0, 0.75, 0.4, ("maxDrop", "worstValue")),
    "smaller is better": (RISE, 2.0, 2.25, 2.3, ("maxDrop",)),
    "smaller is better, inside": (RISE, 2.0, 2.25, 2.25, ()),
    "a ceiling": (replace(RISE, worst_value=2.125), 2.0, 2.125, 2.2, ("worstValue",)),
    "nothing is recorded": (REQUEST, None, None, 0.0, ()),
    "but a floor": (replace(REQUEST, worst_value=0.5), None, 0.5, 0.25, ("worstValue",)),
}


@pytest.mark.parametrize("case", GATES)
def test_gates(case: str) -> None:
    request, recorded, bound, best, missed = GATES[case]
    traits = registry.traits(request.metric)
    assert allowed(request, traits, recorded) == bound
    assert failed(request, traits, recorded, {"best": best}) == missed
