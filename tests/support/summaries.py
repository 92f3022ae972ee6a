"""Results as Jobs would tell them, for tests that stand in for the Jobs."""

import hashlib
from dataclasses import replace

from tightship.api.artifact import EvaluationResult, Summary

_SUMMARY = Summary(
    key="",
    digest="",
    variant="static-int8",
    technique="Quantize",
    reason="2.41 times as fast, drop 0.0028 inside 0.01",
    bytes_before=400,
    bytes_after=100,
    speedup=2.41,
    p50_before=0.0046,
    p50_after=0.00191,
    p99=0.0023,
    metric="accuracy",
    metric_before=0.9722,
    metric_after=0.9694,
    gate_max_drop=0.01,
    candidates=7,
    memory=50 * 2**20,
    load_seconds=1.8,
    duty_seconds=0.0012,
    max_batch=32,
    evaluated=1_000_000,
    duty_batches=((4, 0.0036), (16, 0.0131)),
)


def summary(key: str, *, digest: str = "", memory: int = _SUMMARY.memory) -> Summary:
    """That of a model made faster, with what the test depends on."""
    return replace(_SUMMARY, key=key, digest=digest, memory=memory)


def evaluated(key: str, value: float, *, time: int = 1_000_000) -> EvaluationResult:
    """That of another evaluation, by a gate that lets 0.96 pass."""
    best = value + 0.01
    return EvaluationResult(
        key=key,
        metric="accuracy",
        evaluation_digest=hashlib.sha256(str(value).encode()).hexdigest(),
        evaluated=time,
        value=value,
        best=best,
        worst=value - 0.01,
        samples=400,
        recorded=0.97,
        allowed=0.96,
        failed=("maxDrop",) if best < 0.96 else (),
    )
