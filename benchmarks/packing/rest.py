"""Waits until a pool is at rest: every copy is loaded, gone, or waits for room that is not."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.packing.scene import MODELS, POOLS, Scene
from tests.e2e.support.kubectl import NotReachedError, Object
from tests.e2e.support.workspace import POOL, condition, is_observed, is_ready

SECONDS = 120.0
"""An unload was seen to take a minute."""

_LAST_SECONDS = 1.5  # for a change of the pool; the last one may be of a model


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A pool at rest. `placed` are (model, server) of loaded copies.

    `batches` are the largest of each model, `seconds` how long it took. `settled` is False where
    it did not come to rest in time.
    """

    placed: frozenset[tuple[str, str]]
    waiting: tuple[str, ...]
    servers: Mapping[str, Mapping[str, Any]]
    batches: Mapping[str, int]
    seconds: float
    settled: bool


def wait(made: Scene, seconds: float = SECONDS) -> Rest:
    """The pool once it rests, or as it is after `seconds`."""
    begin = time.monotonic()
    end = begin + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            made.kubectl.watch_until(MODELS, made.namespace, calm, seconds=left)
            made.kubectl.wait_for(
                POOLS, POOL, made.namespace,
                lambda pool: agrees(pool, made.models().values()), seconds=min(left, _LAST_SECONDS),
            )  # fmt: skip
        except NotReachedError:
            continue
        models, pool = made.models(), made.pool()
        if calm(models.values()) and agrees(pool, models.values()):
            return _rest(models.values(), pool, time.monotonic() - begin, settled=True)
    return _rest(made.models().values(), made.pool(), time.monotonic() - begin, settled=False)


def _rest(models: Iterable[Object], pool: Object, seconds: float, *, settled: bool) -> Rest:
    found = list(models)
    return Rest(
        placed=frozenset(
            (m["metadata"]["name"], str(entry["server"]))
            for m in found
            for entry in m.get("status", {}).get("placement", ())
            if entry["state"] == "Loaded"
        ),
        waiting=tuple(m["metadata"]["name"] for m in found if waits(m)),
        servers={entry["name"]: entry for entry in pool["status"]["serverList"]},
        batches={m["metadata"]["name"]: m["status"]["artifact"]["maxBatch"] for m in found},
        seconds=seconds,
        settled=settled,
    )


def servers(model: Object) -> tuple[str, ...]:
    """Where it is loaded, or on its way."""
    placement = model.get("status", {}).get("placement", ())
    return tuple(str(entry["server"]) for entry in placement)


def waits(model: Object) -> bool:
    """Whether a copy has no room, by the present spec."""
    placed = condition(model, "Placed")
    generation = model["metadata"]["generation"]
    return placed.get("status") == "False" and placed.get("observedGeneration") == generation


def calm(models: Iterable[Object]) -> bool:
    """Whether every model has all copies that it can have, as its status tells."""
    return all(_calm(model) for model in models)


def _calm(model: Object) -> bool:
    placement = model.get("status", {}).get("placement", ())
    loaded = bool(placement) and all(entry["state"] == "Loaded" for entry in placement)
    wanted = model["spec"]["serving"]["replicas"]
    if waits(model):
        return loaded and len(placement) < wanted
    return loaded and is_observed(model) and is_ready(model) and len(placement) == wanted


def agrees(pool: Object, models: Iterable[Object]) -> bool:
    """Whether the pool's status speaks of the same copies, and has no room for who waits."""
    found = list(models)
    entries = {entry["name"]: entry for entry in pool["status"].get("serverList", ())}
    held = [server for model in found for server in servers(model)]
    if any(entry["models"] != held.count(name) for name, entry in entries.items()):
        return False
    return not any(
        _free(entry) >= _need(model)
        for model in found
        if waits(model)
        for name, entry in entries.items()
        if name not in servers(model)
    )


def _free(entry: Mapping[str, Any]) -> int:
    memory = entry["memory"]
    return int(memory["capacity"]) - int(memory["used"])


def _need(model: Object) -> int:
    """What one more copy counts as: by its profile, or what a load took where it was more."""
    status = model["status"]
    loads = [int(entry["memory"]) for entry in status.get("placement", ()) if "memory" in entry]
    return max([int(status["artifact"]["memory"]), *loads])
