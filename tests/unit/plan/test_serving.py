from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.plan.world import model_spec, pool_spec

from tightship.api.v1alpha1 import DynamicBatching, LatencyObjective, Slo
from tightship.plan.figures import Artifact, duration, ratio, read_artifact, seconds
from tightship.plan.serving import serving_config

FAST = Artifact(key="k", digest="d", memory=1, max_batch=8, p50=0.005, p99=0.010)


@pytest.mark.parametrize(
    ("asked", "target", "percentile", "granted", "cut"),
    [
        (0.0, 0.050, 99, 0, False),
        (0.005, 0.050, 99, 5_000, False),
        (0.020, 0.050, 99, 10_000, True),  # a quarter of the 40 ms that are left
        (0.020, 0.045, 50, 10_000, True),  # the median was measured too
        (0.020, 0.010, 99, 0, True),
        (0.020, 0.001, 99, 0, True),
    ],
)
def test_queue_delay_is_bounded_by_the_objective(
    asked: float, target: float, percentile: int, granted: int, *, cut: bool
) -> None:
    spec = model_spec(
        dynamic_batching=DynamicBatching(max_queue_delay=asked),
        slo=Slo(latency=LatencyObjective(target=target, percentile=percentile)),
    )
    config, reason = serving_config(spec, pool_spec(), FAST)
    assert abs(config.max_queue_delay_us - granted) <= 1
    assert (reason is not None) == cut


def test_without_an_objective_the_wish_is_granted() -> None:
    spec = model_spec(dynamic_batching=DynamicBatching(max_queue_delay=1.0))
    config, reason = serving_config(spec, replace(pool_spec(), slo_classes={}), FAST)
    assert (config.max_queue_delay_us, reason) == (1_000_000, None)


def test_a_model_without_batches_has_no_batcher() -> None:
    spec = model_spec(dynamic_batching=DynamicBatching(max_queue_delay=0.001))
    config, reason = serving_config(spec, pool_spec(), replace(FAST, max_batch=1))
    assert (config.dynamic_batching, config.max_queue_delay_us) == (False, 0)
    assert reason == "dynamicBatching is off: the model takes batches of 1"
    off = model_spec(dynamic_batching=DynamicBatching(enabled=False))
    assert serving_config(off, pool_spec(), replace(FAST, max_batch=0))[1] is None


def test_the_response_cache_needs_a_cache_in_the_pool() -> None:
    pool = pool_spec()
    spec = model_spec(response_cache=True)
    assert not serving_config(spec, pool, FAST)[0].response_cache
    cached = replace(pool, server=replace(pool.server, response_cache_bytes=1))
    assert serving_config(spec, cached, FAST)[0].response_cache


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.05, "50ms"), (0.00191, "1.91ms"), (1.8, "1.8s"), (0.0, "0ms"), (0.99999, "999.99ms")],
)
def test_durations_are_read_back(value: float, text: str) -> None:
    assert duration(value) == text
    assert abs(seconds(text) - value) < 1e-5


def test_odd_statuses_are_no_artifacts() -> None:
    assert seconds("soon") == 0.0
    assert ratio(2.413) == "2.41"
    assert read_artifact({"key": "k", "digest": "d"}, None) is None
    assert read_artifact(None, None) is None
