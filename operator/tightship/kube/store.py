"""The read cache: what the watches have told, by kind and key, owner and pool."""

import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from tightship.api import names
from tightship.kube.resources import (
    JOBS,
    OPTIMIZED_MODELS,
    PODS,
    SERVING_POOLS,
    Object,
    Resource,
)

PoolKey = tuple[str, str]
"""Namespace and name of a ServingPool, whether it exists or not."""

_UNUSED = ("apiVersion", "kind")
_UNUSED_METADATA = ("managedFields", "generateName", "selfLink")


@dataclass(slots=True)
class Entry:
    """One stored object.

    `derived` holds what somebody worked out from it, together with what that depends on; it goes
    with the version. `parsed` is what the spec was read as; it stays for the spec's generation.
    """

    resource: Resource
    value: Object
    pools: frozenset[PoolKey]
    owners: frozenset[str]
    derived: Any = None
    parsed: Any = None

    @property
    def namespace(self) -> str:
        """Namespace of the object."""
        return str(self.value["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """Name of the object."""
        return str(self.value["metadata"]["name"])

    @property
    def uid(self) -> str:
        """Identity in time: a recreated object has another."""
        return str(self.value["metadata"]["uid"])

    @property
    def version(self) -> str:
        """The resourceVersion."""
        return str(self.value["metadata"]["resourceVersion"])

    @property
    def generation(self) -> int:
        """Version of the spec; 0 for kinds that have none."""
        return int(self.value["metadata"].get("generation", 0))

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the object."""
        return self.value["metadata"].get("labels") or {}

    @property
    def annotations(self) -> dict[str, str]:
        """Annotations of the object."""
        return self.value["metadata"].get("annotations") or {}


class Store:
    """Objects of all watched kinds. Every change answers with the pools that it concerns.

    Not thread-safe: it belongs to one event loop.
    """

    def __init__(self) -> None:
        self._entries: dict[Resource, dict[tuple[str, str], Entry]] = {}
        self._by_pool: dict[tuple[Resource, PoolKey], dict[tuple[str, str], Entry]] = {}
        self._by_owner: dict[tuple[Resource, str], set[tuple[str, str]]] = {}
        self._model_pools: dict[str, PoolKey] = {}

    def get(self, resource: Resource, namespace: str, name: str) -> Entry | None:
        """The object of that name, if the watches know one."""
        return self._entries.get(resource, {}).get((namespace, name))

    def of_pool(self, resource: Resource, pool: PoolKey) -> list[Entry]:
        """The pool's objects of one kind, by name."""
        found = self._by_pool.get((resource, pool), {})
        return [found[key] for key in sorted(found)]

    def owned_by(self, resource: Resource, uid: str) -> list[Entry]:
        """Objects of one kind with an owner reference to `uid`, by name."""
        entries = self._entries.get(resource, {})
        return [entries[key] for key in sorted(self._by_owner.get((resource, uid), ()))]

    def pools(self) -> set[PoolKey]:
        """Every pool that exists, or that something names."""
        return {pool for _, pool in self._by_pool}

    def count(self, resource: Resource) -> int:
        """How many objects of a kind are stored."""
        return len(self._entries.get(resource, {}))

    def put(self, resource: Resource, value: Object, *, listed: bool = False) -> set[PoolKey]:
        """Take a new version of an object; an older one than the stored is passed over.

        A list is believed even when its version is older: the server's database may have been
        set back.
        """
        key = _key(value)
        old = self.get(resource, *key)
        if old and old.uid == value["metadata"]["uid"]:
            version = value["metadata"]["resourceVersion"]
            if version == old.version or (not listed and is_older(version, old.version)):
                return set()
        entry = self._entry(resource, _trimmed(resource, value))
        if old and old.uid == entry.uid and old.generation == entry.generation:
            entry.parsed = old.parsed
        affected = self._drop(resource, key, old) if old else set()
        self._entries.setdefault(resource, {})[key] = entry
        for pool in entry.pools:
            self._by_pool.setdefault((resource, pool), {})[key] = entry
        for owner in entry.owners:
            self._by_owner.setdefault((resource, owner), set()).add(key)
        if resource is OPTIMIZED_MODELS:
            self._model_pools[entry.uid] = next(iter(entry.pools))
        return affected | entry.pools

    def remove(self, resource: Resource, value: Object) -> set[PoolKey]:
        """Forget a deleted object, unless another one has its name by now."""
        key = _key(value)
        old = self.get(resource, *key)
        if old is None or old.uid != value["metadata"]["uid"]:
            return set()
        return self._drop(resource, key, old)

    def relisted(
        self, resource: Resource, namespace: str | None, uids: Collection[str], version: str
    ) -> set[PoolKey]:
        """Forget what a complete list at `version` no longer holds: their deletion went unseen.

        What is newer than the list (such as our own write's answer) stays. `namespace` is None
        for a list of all namespaces.
        """
        affected: set[PoolKey] = set()
        for key, entry in list(self._entries.get(resource, {}).items()):
            inside = namespace is None or key[0] == namespace
            if inside and entry.uid not in uids and not is_older(version, entry.version):
                affected |= self._drop(resource, key, entry)
        return affected

    def _drop(self, resource: Resource, key: tuple[str, str], old: Entry) -> set[PoolKey]:
        del self._entries[resource][key]
        for pool in old.pools:
            found = self._by_pool[resource, pool]
            del found[key]
            if not found:
                del self._by_pool[resource, pool]
        for owner in old.owners:
            owned = self._by_owner[resource, owner]
            owned.discard(key)
            if not owned:
                del self._by_owner[resource, owner]
        if resource is OPTIMIZED_MODELS:
            self._model_pools.pop(old.uid, None)
        return set(old.pools)

    def _entry(self, resource: Resource, value: Object) -> Entry:
        references = value["metadata"].get("ownerReferences") or ()
        owners = frozenset(str(reference["uid"]) for reference in references)
        return Entry(resource, value, frozenset(self._pools(resource, value, owners)), owners)

    def _pools(
        self, resource: Resource, value: Object, owners: frozenset[str]
    ) -> Iterator[PoolKey]:
        metadata = value["metadata"]
        namespace = metadata["namespace"]
        if resource is SERVING_POOLS:
            yield namespace, metadata["name"]
        elif resource is OPTIMIZED_MODELS:
            yield namespace, _pool_name(value)
        else:
            label = (metadata.get("labels") or {}).get(names.POOL_LABEL)
            if label:
                yield namespace, label
            # A Job is shared by all models with the same inputs, and they may be of several pools.
            for owner in owners if resource is JOBS else ():
                if owner in self._model_pools:
                    yield self._model_pools[owner]


def is_older(version: str, other: str) -> bool:
    """Whether one resourceVersion is before another; Kubernetes promises integers since 1.35."""
    if version.isdigit() and other.isdigit():
        return int(version) < int(other)
    return False


def _pool_name(model: Object) -> str:
    """The pool that a model names; empty when the schema has let a model without one through."""
    reference = ((model.get("spec") or {}).get("serving") or {}).get("poolRef") or {}
    return str(reference.get("name") or "")


def _key(value: Object) -> tuple[str, str]:
    return value["metadata"]["namespace"], value["metadata"]["name"]


def _trimmed(resource: Resource, value: Object) -> Object:
    """The object without the parts that nobody reads, its keys shared with all others."""
    kept = {key: part for key, part in value.items() if key not in _UNUSED}
    kept["metadata"] = {k: v for k, v in value["metadata"].items() if k not in _UNUSED_METADATA}
    if resource is PODS:
        kept["spec"] = {"nodeName": (value.get("spec") or {}).get("nodeName")}
    elif resource is JOBS:
        kept.pop("spec", None)
    shared: Object = _interned(kept)
    return shared


def _interned(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    if isinstance(value, dict):
        return {sys.intern(key): _interned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_interned(item) for item in value]
    if isinstance(value, str) and len(value) < 32:  # noqa: PLR2004 (words, not texts)
        return sys.intern(value)
    return value
