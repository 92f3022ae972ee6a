"""The operator's Prometheus metrics. Labels are bounded: kinds, verbs, reasons, pools."""

import re
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from tightship.kube.resources import Resource
from tightship.kube.store import PoolKey

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_REASON = re.compile(r"^[A-Z][A-Za-z]{1,39}$")


def condition_labels(status: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Type, status and reason of each condition of a model's status."""
    found = []
    for condition in status.get("conditions") or ():
        reason = str(condition.get("reason", ""))
        reason = reason if _REASON.match(reason) else "Other"
        found.append((str(condition.get("type")), str(condition.get("status")), reason))
    return tuple(found)


class Telemetry:
    """All metrics of one process, in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._depth = self._gauge("queue_depth", "Pools that wait to be reconciled")
        self.leader = self._gauge("leader", "1 while this process leads")
        self.reconcile_seconds = self._histogram("reconcile_seconds", "One pass over one pool")
        self.plan_seconds = self._histogram("plan_seconds", "The pure decision of one pass")
        self.decisions = self._counter(
            "decisions", "Actions of plans that were carried out", "action", "outcome"
        )
        self.requests = self._counter(
            "api_requests", "Requests to the API server", "kind", "verb", "outcome"
        )
        self.skipped = self._counter("skipped", "Wishes that were fulfilled already", "action")
        self.failures = self._counter("action_failures", "Actions that failed", "action", "error")
        self.events_dropped = self._gauge("events_dropped", "Events cut off in a storm")
        self.watch_restarts = self._counter("watch_restarts", "Ends of the watch", "error")
        self.watch_age = self._gauge(
            "watch_age_seconds", "Since the last sign of life of a watch", "kind"
        )
        self.agents = self._gauge("agents", "Agents of a pool", "namespace", "pool", "reachable")
        self.models = self._gauge(
            "models", "Models by condition", "namespace", "pool", "condition", "status", "reason"
        )
        self._known: dict[tuple[Gauge, PoolKey], set[tuple[str, ...]]] = {}

    def watch_depth(self, depth: Callable[[], int]) -> None:
        """Where the queue's depth is read from."""
        self._depth.set_function(depth)

    def request(self, verb: str, resource: Resource, outcome: str, _seconds: float) -> None:
        """Count a request to the API server."""
        self.requests.labels(resource.kind, verb, outcome).inc()

    def count_models(self, pool: PoolKey, labels: Iterable[tuple[str, ...]]) -> None:
        """Count a pool's models by the labels of their conditions."""
        self._set(self.models, pool, Tally(labels))

    def count_agents(self, pool: PoolKey, reachable: int, unreachable: int) -> None:
        """Count a pool's agents that answer, and those that do not."""
        self._set(self.agents, pool, {("true",): reachable, ("false",): unreachable})

    def forget(self, pool: PoolKey) -> None:
        """Drop the series of a pool that is gone."""
        self._set(self.models, pool, {})
        self._set(self.agents, pool, {})

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _set(self, gauge: Gauge, pool: PoolKey, counts: Mapping[tuple[str, ...], int]) -> None:
        known = self._known.pop((gauge, pool), set())
        for labels in known - set(counts):
            gauge.remove(*pool, *labels)
        for labels, count in counts.items():
            gauge.labels(*pool, *labels).set(count)
        if counts:
            self._known[gauge, pool] = set(counts)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"tightship_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"tightship_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"tightship_{name}", text, registry=self.registry, buckets=_SECONDS)
