"""Writing wanted objects: nothing is sent when nothing differs, and no stranger's object is taken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tightship.api import names
from tightship.kube.client import Client
from tightship.kube.compare import contains
from tightship.kube.errors import NotFoundError
from tightship.kube.resources import JOBS, PODS, Object, Resource, resource_of
from tightship.kube.store import Entry, PoolKey, Store


class Outcome(StrEnum):
    """What became of a wish."""

    UNCHANGED = "Unchanged"  # nothing was sent
    WRITTEN = "Written"
    NOT_OURS = "NotOurs"  # an object of that name belongs to somebody else; it was left alone


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What was last found right: the wish, and the live versions that it was found right with."""

    wish: object
    versions: tuple[str, ...]


class Applier:
    """Makes objects as they are wanted, and remembers what needs no second look.

    Answers of writes go into the store at once, so that the next pass sees its own work.
    """

    def __init__(
        self, client: Client, store: Store, *, changed: Callable[[Collection[PoolKey]], None]
    ) -> None:
        self._client = client
        self._store = store
        self._changed = changed
        self._remembered: dict[Hashable, _Remembered] = {}

    def settled(self, key: Hashable, wish: object, entries: Collection[Entry | None]) -> bool:
        """Whether this same wish was found right with these same live objects.

        This is what a pass at rest costs: no rendering, no comparison of objects.
        """
        last = self._remembered.get(key)
        if last is None or last.versions != _versions(entries):
            return False
        return last.wish is wish or last.wish == wish

    def settle(self, key: Hashable, wish: object, entries: Collection[Entry | None]) -> None:
        """Remember that the wish is fulfilled by these live objects."""
        self._remembered[key] = _Remembered(wish, _versions(entries))

    def forget(self, keys: Collection[Hashable]) -> None:
        """Drop what is remembered of wishes that are gone."""
        for key in keys:
            self._remembered.pop(key, None)

    def remembered(self) -> Collection[Hashable]:
        """Keys of all wishes that are remembered."""
        return self._remembered.keys()

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
        """Make the status of one of our resources exactly this.

        Raises:
            ConflictError: the resource was recreated and has another uid.
        """
        entry = self._store.get(resource, namespace, name)
        if entry and entry.uid == uid and entry.value.get("status", {}) == status:
            return Outcome.UNCHANGED
        wanted = resource.identity(namespace, name)
        wanted["metadata"]["uid"] = uid
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
            content_type="application/strategic-merge-patch+json",
            subresource="status",
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
        """Make a Job's owners as wanted. Its name is a hash of its work, so the rest never changes."""
        changes = {
            "metadata": {
                "resourceVersion": entry.version,
                "ownerReferences": wanted["metadata"]["ownerReferences"],
                "annotations": wanted["metadata"]["annotations"],
            }
        }
        answer = await self._client.patch(
            entry.resource, entry.namespace, entry.name, changes, manager=names.MANAGER
        )
        self._store_answer(answer)
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
    applied = wanted["metadata"]["annotations"][names.APPLIED_ANNOTATION]
    if entry.annotations.get(names.APPLIED_ANNOTATION) != applied:
        return False
    if entry.resource is JOBS:  # its work is immutable, only its owners can differ
        owners = {owner["uid"] for owner in wanted["metadata"]["ownerReferences"]}
        return owners == entry.owners
    comparable = {key: value for key, value in wanted.items() if key not in ("apiVersion", "kind")}
    return contains(entry.value, comparable)


def _marked(wanted: Object) -> Object:
    """The object with the hash of itself among its annotations."""
    canonical = json.dumps(wanted, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    metadata = wanted["metadata"]
    annotations = {**(metadata.get("annotations") or {}), names.APPLIED_ANNOTATION: digest}
    return {**wanted, "metadata": {**metadata, "annotations": annotations}}


def _versions(entries: Collection[Entry | None]) -> tuple[str, ...]:
    return tuple(f"{entry.uid}/{entry.version}" if entry else "" for entry in entries)
