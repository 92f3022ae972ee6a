"""Which artifacts of the store are in use, and whether the rest is to be cleaned up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tightship.plan.actions import ApplySweep, DeleteSweep, Owner
from tightship.plan.snapshot import JobKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tightship.api.v1alpha1 import ServingPoolSpec
    from tightship.plan.conversion import Conversions
    from tightship.plan.snapshot import Snapshot


def plan_sweep(
    snapshot: Snapshot, owner: Owner, pool: ServingPoolSpec, conversions: Conversions
) -> Iterator[ApplySweep | DeleteSweep]:
    """The clean-up that the pool asks for; the end of one that it no longer asks for."""
    if pool.store.retention is None:
        if snapshot.sweep:
            reason = "the pool has no store.retention any more"
            yield DeleteSweep(pool=owner.name, owner=owner, reason=reason)
        return
    keys = tuple(sorted(set(_keys(snapshot, conversions))))
    yield ApplySweep(
        pool=owner.name,
        owner=owner,
        spec=pool,
        keys=keys,
        reason=f"artifacts in use: {len(keys)}",
    )


def _keys(snapshot: Snapshot, conversions: Conversions) -> Iterator[str]:
    """KEYs of what models have, had last and wait for, also as this plan is about to say it."""
    for model in snapshot.models:
        yield from _named(model.status, "artifact", "previous", "conversion")
    for outcome in conversions.outcomes.values():
        parts = {"artifact": outcome.artifact, "conversion": outcome.conversion}
        yield from _named(parts, "artifact", "conversion")
    yield from (job.inputs for job in snapshot.jobs if job.kind is JobKind.CONVERT)


def _named(status: Mapping[str, Any], *parts: str) -> Iterator[str]:
    for part in parts:
        key = (status.get(part) or {}).get("key")
        if key:
            yield key
