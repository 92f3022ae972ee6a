"""What the cluster has beside our objects: nodes and ResourceSlices, less what says nothing new.

A kubelet writes its node's status every few minutes though nothing has changed, and a node's object
is mostly names of images. Kept is what decides where a pod may go; only a change of that is news.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from tightship.kube.resources import NODES, RESOURCE_SLICES, Object, Resource
from tightship.kube.store import is_older

_RESTLESS_LABELS = frozenset({"nvidia.com/gfd.timestamp"})
_PROCESSOR_AND_MEMORY = ("cpu", "memory")


class Inventory:
    """Objects by kind and name. Not thread-safe: it belongs to one event loop."""

    def __init__(self) -> None:
        self._known: dict[Resource, dict[str, tuple[str, str, Object]]] = {}
        self.changes = 0
        """Grows with every change that matters; equal numbers mean an equal content."""

    def of(self, resource: Resource) -> list[Object]:
        """What is kept of all objects of a kind, by name; the same object while it is equal."""
        known = self._known.get(resource, {})
        return [known[name][2] for name in sorted(known)]

    def put(self, resource: Resource, value: Object, *, listed: bool = False) -> bool:
        """Take a version of an object; whether anything that matters is different now."""
        metadata = value["metadata"]
        name, uid, version = metadata["name"], metadata["uid"], metadata["resourceVersion"]
        known = self._known.setdefault(resource, {})
        old = known.get(name)
        if old and old[0] == uid and not listed and is_older(version, old[1]):
            return False
        kept = _KEPT[resource](value)
        same = old is not None and old[2] == kept
        known[name] = (uid, version, old[2] if old and same else kept)
        return self._changed(not same)

    def remove(self, resource: Resource, value: Object) -> bool:
        """Forget a deleted object, unless another one has its name by now."""
        metadata = value["metadata"]
        old = self._known.get(resource, {}).get(metadata["name"])
        if old is None or old[0] != metadata["uid"]:
            return False
        del self._known[resource][metadata["name"]]
        return self._changed(True)

    def relisted(self, resource: Resource, uids: Collection[str], version: str) -> bool:
        """Forget what a complete list at `version` no longer holds."""
        known = self._known.get(resource, {})
        gone = [
            name
            for name, (uid, seen, _) in known.items()
            if uid not in uids and not is_older(version, seen)
        ]
        for name in gone:
            del known[name]
        return self._changed(bool(gone))

    def _changed(self, changed: bool) -> bool:  # noqa: FBT001 (its own answer)
        self.changes += changed
        return changed


def _node(value: Object) -> Object:
    spec, status = value.get("spec") or {}, value.get("status") or {}
    labels: Mapping[str, str] = value["metadata"].get("labels") or {}
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    return {
        "name": value["metadata"]["name"],
        "labels": {k: v for k, v in labels.items() if k not in _RESTLESS_LABELS},
        "taints": [
            {key: taint.get(key, "") for key in ("key", "value", "effect")}
            for taint in spec.get("taints") or ()
        ],
        "usable": conditions.get("Ready") == "True" and not spec.get("unschedulable"),
        "allocatable": {
            name: amount
            for name, amount in (status.get("allocatable") or {}).items()
            if "/" in name or name in _PROCESSOR_AND_MEMORY
        },
    }


def _slice(value: Object) -> Object:
    spec: Mapping[str, Any] = value.get("spec") or {}
    return {
        "name": value["metadata"]["name"],
        "node": spec.get("nodeName"),
        "pool": [spec.get("driver"), (spec.get("pool") or {}).get("name")],
        "generation": (spec.get("pool") or {}).get("generation", 0),
        "devices": len(spec.get("devices") or ()),
    }


_KEPT: Mapping[Resource, Callable[[Object], Object]] = {NODES: _node, RESOURCE_SLICES: _slice}
