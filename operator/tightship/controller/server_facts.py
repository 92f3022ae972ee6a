"""Facts of the pool's servers: what their pods say, and which models clients reach on them."""

from collections.abc import Mapping
from typing import Any

from tightship.api import names
from tightship.controller.job_facts import seconds, waiting
from tightship.kube.store import Entry
from tightship.plan.snapshot import ServerFact

_SERVICE_NAME_LABEL = "kubernetes.io/service-name"
POD_FIELDS = (
    "name",
    "uid",
    "created",
    "ip",
    "node",
    "revision",
    "ready",
    "ready_changed",
    "deleting",
    "waiting",
    "routed",
    "placed",
    "placed_changed",
    "deletion_cost",
)
"""What a pod tells of its server; the rest is told by its agent."""


def server_fact(entry: Entry) -> ServerFact:
    """Of a pod, without what its agent tells."""
    metadata, status = entry.value["metadata"], entry.value.get("status") or {}
    ready, placed = _condition(status, "Ready"), _condition(status, names.PLACED_GATE)
    return ServerFact(
        name=entry.name,
        uid=entry.uid,
        created=seconds(metadata.get("creationTimestamp")) or 0.0,
        ip=status.get("podIP"),
        node=(entry.value.get("spec") or {}).get("nodeName"),
        revision=entry.labels.get(names.REVISION_LABEL),
        ready=ready.get("status") == "True",
        ready_changed=seconds(ready.get("lastTransitionTime")),
        deleting="deletionTimestamp" in metadata,
        waiting=waiting(entry.value),
        routed=routed_models(entry),
        placed=placed.get("status") == "True",
        placed_changed=seconds(placed.get("lastTransitionTime")),
        deletion_cost=_cost(entry),
    )


def routed_models(pod: Entry) -> frozenset[str]:
    """Models whose route label a pod bears."""
    prefix = names.ROUTE_LABEL_PREFIX
    return frozenset(
        label.removeprefix(prefix)
        for label, value in pod.labels.items()
        if label.startswith(prefix) and value == names.ROUTED
    )


def slice_pairs(entry: Entry) -> dict[tuple[str, str], bool]:
    """(model, server) pairs of an EndpointSlice, and whether clients reach them."""
    model = entry.labels.get(_SERVICE_NAME_LABEL, "")
    pairs: dict[tuple[str, str], bool] = {}
    for endpoint in entry.value.get("endpoints") or ():
        target = endpoint.get("targetRef") or {}
        if target.get("kind") != "Pod":
            continue
        conditions = endpoint.get("conditions") or {}
        pair = (model, str(target.get("name")))
        pairs[pair] = pairs.get(pair, False) or conditions.get("ready", True) is not False
    return pairs


def _cost(pod: Entry) -> int | None:
    try:
        return int(pod.annotations[names.DELETION_COST_ANNOTATION])
    except (KeyError, ValueError):
        return None


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(
        (c for c in status.get("conditions") or () if c.get("type") == kind), {}
    )
    return found
