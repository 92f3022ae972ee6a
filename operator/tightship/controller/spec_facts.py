"""Facts of what users wrote: a model and a pool, each with its spec as parsed."""

from collections.abc import Callable
from typing import TypeVar, cast

from tightship.api import names
from tightship.api.fields import SpecError
from tightship.api.parse import parse_model
from tightship.api.parse_pool import parse_pool
from tightship.controller.job_facts import seconds
from tightship.kube.store import Entry
from tightship.plan.snapshot import InvalidSpec, ModelFact, PoolFact

T = TypeVar("T")


def model_fact(entry: Entry) -> ModelFact:
    """Of an OptimizedModel."""
    metadata = entry.value["metadata"]
    return ModelFact(
        name=entry.name,
        uid=entry.uid,
        generation=entry.generation,
        created=seconds(metadata.get("creationTimestamp")) or 0.0,
        spec=_parsed(entry, parse_model),
        status=entry.value.get("status") or {},
        deleting="deletionTimestamp" in metadata,
        paused=_paused(entry),
        retry=entry.annotations.get(names.RETRY_ANNOTATION, "")[: names.RETRY_MAX],
        resource_version=entry.version,
    )


def pool_fact(entry: Entry) -> PoolFact:
    """Of a ServingPool."""
    metadata = entry.value["metadata"]
    return PoolFact(
        uid=entry.uid,
        generation=entry.generation,
        spec=_parsed(entry, parse_pool),
        status=entry.value.get("status") or {},
        deleting="deletionTimestamp" in metadata,
        paused=_paused(entry),
        resource_version=entry.version,
    )


def _parsed(entry: Entry, parse: Callable[[object], T]) -> T | InvalidSpec:
    if entry.parsed is None:
        try:
            entry.parsed = parse(entry.value.get("spec"))
        except SpecError as error:
            entry.parsed = InvalidSpec(str(error))
    return cast("T | InvalidSpec", entry.parsed)


def _paused(entry: Entry) -> bool:
    return entry.annotations.get(names.PAUSED_ANNOTATION, "false").lower() != "false"
