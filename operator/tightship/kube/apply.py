"""Writing wanted objects: nothing is sent when nothing differs, no stranger's object is taken."""

import hashlib
import json
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tightship.api import names
from tightship.kube.client import STRATEGIC, Client
from tightship.kube.compare import contains
from tightship.kube.errors import NotFoundError
from tightship.kube.resources import JOBS, PODS, Object, Resource, resource_of
from tightship.kube.store import Entry, PoolKey, Store


class Outcome(StrEnum):
    """What became of a wish."""

    UNCHANGED = "Unchanged"  # nothing was sent
    WRITTEN = "Written"
    NOT_OURS = "NotOurs"  # an object of that name belongs to somebody else; it was left alone


Reference = tuple[Resource, str, str]
"""Kind, namespace and name of an object."""


@dataclass(frozen=True, slots=True)
class _Fulfilled:
    wish: object
    references: tuple[Reference, ...]
    entries: tuple[Entry | None, ...]


class Memory:
    """Wishes that were found fulfilled, and the live versions that they were fulfilled by.

    It makes a look at rest cheap: no rendering, no comparison of objects.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[PoolKey, dict[Hashable, _Fulfilled]] = {}

    def fulfilled(self, pool: PoolKey, key: Hashable, wish: object) -> bool:
        """Whether this same wish was fulfilled by these same live objects."""
        last = self._known.get(pool, {}).get(key)
        if last is None or (last.wish is not wish and last.wish != wish):
            return False
        # A stored version is one entry: another version is another one.
        for reference, entry in zip(last.references, last.entries, strict=True):
            if self._store.get(*reference) is not entry:
                return False
        return True

    def remember(
        self, pool: PoolKey, key: Hashable, wish: object, references: Collection[Reference]
    ) -> None:
        """The wish is fulfilled by these objects as they are stored now."""
        kept = tuple(references)
        entries = tuple(self._store.get(*reference) for reference in kept)
        self._known.setdefault(pool, {})[key] = _Fulfilled(wish, kept, entries)

    def keep(self, pool: PoolKey, keys: Collection[Hashable]) -> None:
        """Forget all of a pool's wishes but these."""
        known = self._known.get(pool, {})
        for key in known.keys() - keys:
            del known[key]
        if not known:
            self._known.pop(pool, None)


class Applier:
    """Makes objects as they are wanted.

    Answers of writes go into the store at once, so that the next pass sees its own work.
    """

    def __init__(
        self, client: Client, store: Store, *, changed: Callable[[Collection[PoolKey]], None]
    ) -> None:
        self._client = client
        self._store = store
        self._changed = changed

    async def apply(self, wanted: Object) -> Outcome:
        """Make a child as wanted. Fields that another manager has changed are set back.

        Raises:
            ConflictError: a stranger made an object of that name just now.
            KubeError: as any request.
        """
        resource = resource_of(wanted)
        marked = _marked(wanted)
        entry = self._entry(marked)
        if entry is None:
            return await self._make(resource, marked)
        if _unchanged(entry, marked):
            return Outcome.UNCHANGED
        if resource is JOBS:
            return await self._share(entry, marked)
        self._store_answer(await self._client.apply(marked, manager=names.MANAGER, force=True))
        return Outcome.WRITTEN

    async def apply_status(
        self, resource: Resource, namespace: str, name: str, uid: str, status: Mapping[str, Any]
    ) -> Outcome:
        """Make the status of one of our resources exactly this, unless it was recreated."""
        entry = self._store.get(resource, namespace, name)
        if entry is None or entry.uid != uid or entry.value.get("status", {}) == status:
            return Outcome.UNCHANGED
        wanted = resource.identity(namespace, name)
        wanted["status"] = dict(status)
        answer = await self._client.apply(
            wanted, manager=names.STATUS_MANAGER, force=True, subresource="status"
        )
        self._store_answer(answer)
        return Outcome.WRITTEN

    async def patch_pod(
        self, namespace: str, name: str, uid: str, metadata: Mapping[str, Any]
    ) -> None:
        """Merge labels and annotations into a pod; a null removes one."""
        changes = {"metadata": {**metadata, "uid": uid}}
        answer = await self._client.patch(PODS, namespace, name, changes, manager=names.MANAGER)
        self._store_answer(answer)

    async def patch_pod_condition(
        self, namespace: str, name: str, uid: str, condition: Mapping[str, Any]
    ) -> None:
        """Set one condition of a pod, by its type."""
        changes = {"metadata": {"uid": uid}, "status": {"conditions": [dict(condition)]}}
        answer = await self._client.patch(
            PODS,
            namespace,
            name,
            changes,
            manager=names.MANAGER,
            content_type=STRATEGIC,
            subresource="status",
        )
        self._store_answer(answer)

    async def set_owners(self, entry: Entry, references: Sequence[Mapping[str, Any]]) -> None:
        """Make the owners of an object exactly these.

        Raises:
            ConflictError: the object has changed since it was stored.
        """
        changes = {"metadata": {"resourceVersion": entry.version, "ownerReferences": references}}
        answer = await self._client.patch(
            entry.resource, entry.namespace, entry.name, changes, manager=names.MANAGER
        )
        self._store_answer(answer)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> Outcome:
        """Delete exactly this object; one that is gone already is no error."""
        entry = self._store.get(resource, namespace, name)
        if entry is None or entry.uid != uid or entry.value["metadata"].get("deletionTimestamp"):
            return Outcome.UNCHANGED
        try:
            await self._client.delete(resource, namespace, name, uid=uid, version=entry.version)
        except NotFoundError:
            self._changed(self._store.remove(resource, entry.value))
            return Outcome.UNCHANGED
        return Outcome.WRITTEN

    async def _make(self, resource: Resource, wanted: Object) -> Outcome:
        """Make an object that the watches do not know: it is new, or it is not ours."""
        metadata = wanted["metadata"]
        try:
            live = await self._client.get(resource, metadata["namespace"], metadata["name"])
        except NotFoundError:
            answer = await self._client.apply(wanted, manager=names.MANAGER, force=False)
            self._store_answer(answer)
            return Outcome.WRITTEN
        if not is_ours(live):
            return Outcome.NOT_OURS
        self._store_answer(live)
        return await self.apply(wanted)

    async def _share(self, entry: Entry, wanted: Object) -> Outcome:
        """Make a Job's owners as wanted. Its name is a hash of its work: the rest never changes."""
        await self.set_owners(entry, wanted["metadata"]["ownerReferences"])
        return Outcome.WRITTEN

    def _entry(self, wanted: Object) -> Entry | None:
        metadata = wanted["metadata"]
        return self._store.get(resource_of(wanted), metadata["namespace"], metadata["name"])

    def _store_answer(self, answer: Object) -> None:
        self._changed(self._store.put(resource_of(answer), answer))


def is_ours(live: Mapping[str, Any]) -> bool:
    """Whether an object was made by this operator: by its label, for one of our resources."""
    metadata = live["metadata"]
    labelled = (metadata.get("labels") or {}).get(names.MANAGED_BY_LABEL) == names.MANAGED_BY
    owners = metadata.get("ownerReferences") or ()
    return labelled and any(
        str(owner.get("apiVersion", "")).startswith(f"{names.GROUP}/") for owner in owners
    )


def _unchanged(entry: Entry, wanted: Object) -> bool:
    if entry.resource is JOBS:  # its work is immutable, only its owners can differ
        owners = {owner["uid"] for owner in wanted["metadata"]["ownerReferences"]}
        return owners == entry.owners
    applied = wanted["metadata"]["annotations"][names.APPLIED_ANNOTATION]
    if entry.annotations.get(names.APPLIED_ANNOTATION) != applied:
        return False
    comparable = {key: value for key, value in wanted.items() if key not in ("apiVersion", "kind")}
    return contains(entry.value, comparable)


def _marked(wanted: Object) -> Object:
    """The object with the hash of itself among its annotations."""
    canonical = json.dumps(wanted, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    metadata = wanted["metadata"]
    annotations = {**(metadata.get("annotations") or {}), names.APPLIED_ANNOTATION: digest}
    return {**wanted, "metadata": {**metadata, "annotations": annotations}}
