"""Serving settings of a model: what the user wishes, held within the latency objective."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightship.api.agent import ServingConfig
from tightship.plan import figures, inputs

if TYPE_CHECKING:
    from tightship.api.v1alpha1 import LatencyObjective, OptimizedModelSpec, ServingPoolSpec
    from tightship.plan.figures import Artifact

QUEUE_SHARE = 0.25
"""Share of the slack below the objective that waiting for a batch may take. A queue delay is added
to every request while the load is low, and the rest of the slack is for other models' work."""

MEDIAN = 50


def measured(artifact: Artifact, objective: LatencyObjective) -> float:
    """Seconds measured at the objective's percentile, or above it where only p99 is known."""
    return artifact.p50 if objective.percentile == MEDIAN else artifact.p99


def serving_config(
    spec: OptimizedModelSpec, pool: ServingPoolSpec, artifact: Artifact
) -> tuple[ServingConfig, str | None]:
    """The settings, and why they differ from the wish (None: they do not).

    One instance always: Triton would start two on CPU, and memory is measured for one.
    """
    wish = spec.serving.dynamic_batching
    batching = wish.enabled and artifact.max_batch > 1
    asked = wish.max_queue_delay if batching else 0.0
    objective = inputs.objective(spec, pool)
    delay, reason = asked, None
    if wish.enabled and not batching:
        reason = f"dynamicBatching is off: the model takes batches of {max(1, artifact.max_batch)}"
    if objective and asked > 0:
        latency = measured(artifact, objective)
        delay = min(asked, max(0.0, objective.target - latency) * QUEUE_SHARE)
        if delay < asked:
            reason = (
                f"maxQueueDelay {figures.duration(asked)} is cut: p{objective.percentile} of "
                f"{figures.duration(latency)} leaves little of the objective "
                f"{figures.duration(objective.target)}"
            )
    config = ServingConfig(
        instances=1,
        dynamic_batching=batching,
        max_queue_delay_us=int(delay * 1_000_000),
        response_cache=spec.serving.response_cache and pool.server.response_cache_bytes > 0,
    )
    return config, reason
