"""Figures of a conversion as a status holds them, and back: text with fixed digits, no floats.

What the plan decides from comes from the status even while the Job's exact answer is at hand, so
that a Job's removal changes no decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tightship.api import quantity
from tightship.api.conditions import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tightship.api.artifact import EvaluationResult, Summary

REPORT = "report.json"
_SHORTEST = 1e-5  # the step in which durations are told: what is shorter reads as 0
_LONG = 1e20  # of an error where an answer is not finite; the schema allows 32 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What deciding needs of a finished conversion. Memory is bytes, times are seconds."""

    key: str
    digest: str
    memory: int
    max_batch: int = 1
    p50: float = 0.0
    p99: float = 0.0
    load_seconds: float = 0.0
    busy: tuple[tuple[int, float], ...] = ()  # (batch, seconds of one execution), ascending


@lru_cache(maxsize=4096)
def duration(seconds: float) -> str:
    """A duration as a user would write it, to a hundredth: "1.91ms", "50ms", "1.8s"."""
    unit, value = ("s", seconds) if seconds >= 1 else ("ms", seconds * 1000)
    return f"{value:.2f}".rstrip("0").rstrip(".") + unit


@lru_cache(maxsize=4096)
def seconds(text: str) -> float:
    """The reverse of `duration`; what is no duration is 0."""
    try:
        return float(quantity.duration(text))
    except ValueError:
        return 0.0


def ratio(value: float, digits: int = 2) -> str:
    """A ratio, a share or a metric with fixed digits: "2.41"; 1e20 and more as "1.00e+20"."""
    return f"{value:.{digits}{'f' if abs(value) < _LONG else 'e'}}"


def money(amount: float) -> str:
    """An amount to a ten-thousandth: "2.5", "0.0125", "0"."""
    return f"{amount:.4f}".rstrip("0").rstrip(".")


def artifact_json(summary: Summary) -> dict[str, Any]:
    """`status.artifact`."""
    batches = [{"batch": b, "busyTime": duration(s)} for b, s in summary.duty_batches]
    return {
        "key": summary.key,
        "digest": summary.digest,
        "variant": summary.variant,
        "technique": summary.technique,
        "bytes": summary.bytes_after,
        "memory": summary.memory,
        "maxBatch": summary.max_batch,
        "loadTime": duration(summary.load_seconds),
        "busyTime": duration(summary.duty_seconds),
        **({"batches": batches} if batches else {}),
    }


def optimization_json(summary: Summary, store_uri: str) -> dict[str, Any]:
    """`status.optimization`."""
    time = {} if summary.evaluated is None else {"evaluationTime": timestamp(summary.evaluated)}
    return {
        **time,
        "speedup": ratio(summary.speedup),
        "latency": {
            "before": duration(summary.p50_before),
            "after": duration(summary.p50_after),
            "p99": duration(summary.p99),
        },
        "metric": {
            "name": summary.metric,
            "before": ratio(summary.metric_before, 4),
            "after": ratio(summary.metric_after, 4),
            "maxDrop": ratio(summary.gate_max_drop, 4),
        },
        "size": {"before": summary.bytes_before, "after": summary.bytes_after},
        "candidates": summary.candidates,
        "reason": summary.reason[:1024],
        "reportUri": f"{store_uri.rstrip('/')}/sha256/{summary.key}/{summary.digest}/{REPORT}",
    }


def evaluation_json(found: EvaluationResult) -> dict[str, Any]:
    """`result` of `status.evaluation`."""
    bound = {} if found.allowed is None else {"allowed": ratio(found.allowed, 4)}
    return {
        "evaluationTime": timestamp(found.evaluated),
        "dataDigest": found.evaluation_digest,
        "samples": found.samples,
        "metric": found.metric,
        "value": ratio(found.value, 4),
        "best": ratio(found.best, 4),
        **bound,
        "passed": not found.failed,
        **({"missed": list(found.failed)} if found.failed else {}),
    }


def read_artifact(
    artifact: Mapping[str, Any] | None, optimization: Mapping[str, Any] | None
) -> Artifact | None:
    """What these two parts of a status say; None when they lack what deciding needs."""
    raw = artifact or {}
    key, digest, memory = raw.get("key"), raw.get("digest"), raw.get("memory")
    if not (key and digest and memory):
        return None
    latency = (optimization or {}).get("latency") or {}
    return Artifact(
        key=key,
        digest=digest,
        memory=int(memory),
        max_batch=int(raw.get("maxBatch", 1)),
        p50=seconds(latency.get("after", "")),
        p99=seconds(latency.get("p99", "")),
        load_seconds=seconds(raw.get("loadTime", "")),
        busy=_busy(raw),
    )


def _busy(artifact: Mapping[str, Any]) -> tuple[tuple[int, float], ...]:
    """Seconds of an execution by its batch, as far as they are known."""
    told = artifact.get("busyTime")
    if not told:
        return ()
    more = [
        (int(each["batch"]), max(_SHORTEST, seconds(each["busyTime"])))
        for each in artifact.get("batches", ())
    ]
    return ((1, max(_SHORTEST, seconds(told))), *more)


def read_previous(status: Mapping[str, Any]) -> Artifact | None:
    """The last good version that a status remembers beside the wanted one."""
    return read_artifact(status.get("previous"), None)
