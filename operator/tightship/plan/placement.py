"""Servers, models and copies as placing sees them, and what it decides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tightship.api.conditions import Reason
    from tightship.api.traffic import Traffic
    from tightship.api.v1alpha1 import ServingPoolSpec

TRITON_BASE = 300 * 2**20
"""Bytes that Triton and the agent's working set take before any model: a bare CPU server of 24.10
holds about 130 MiB, the libraries that models share 35 more for each backend, and loading a model
needs room for its files in the page cache."""


def server_memory(pool: ServingPoolSpec) -> int:
    """Bytes that models of one server may use: the device's, else the container's less the base."""
    if pool.accelerator is not None:
        return pool.accelerator.memory
    server = pool.server
    return max(0, server.resources.memory - TRITON_BASE - server.response_cache_bytes)


class Standing(IntEnum):
    """What may be done with a server; lower is preferred for new copies."""

    OPEN = 0
    STARTING = 1  # takes copies as soon as it is open
    HELD = 2  # its agent does not answer or restores: what it holds stays, nothing comes
    LEAVING = 3  # what it holds goes where there is room, nothing comes
    LOST = 4  # down for too long: its copies are placed elsewhere, its pod still counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server as placing sees it.

    `used` is bytes in use now by whatever is on it, `freeing` those of them that belong to models
    that no item stands for: they are going.
    """

    name: str
    standing: Standing
    memory: int
    node: str | None = None
    used: int = 0
    freeing: int = 0
    old: bool = False  # made from a former template: new copies rather go to another


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy that is assigned to a server now. `memory` is all that goes when the copy goes."""

    server: str
    memory: int
    current: bool  # the wanted version is assigned
    answering: bool  # loaded and behind the Service
    counted: bool = True  # its agent tells what clients ask of it
    pending: int = 0  # bytes set aside for an assigned version that is not loaded yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What serving a model takes, as its profile and its clients tell.

    Args:
        busy: (batch, seconds of one execution), ascending; empty where nothing was measured.
        max_batch: largest batch that Triton forms.
        delay: seconds that a request may wait for its batch to fill.
        network: seconds of a request outside the server's work.
        load_seconds: of loading a copy.
        traffic: of all copies; None where nobody has counted it yet.
        slo: seconds at the 99th percentile; None where the model has no objective.
    """

    busy: tuple[tuple[int, float], ...] = ()
    max_batch: int = 1
    delay: float = 0.0
    network: float = 0.0
    load_seconds: float = 0.0
    traffic: Traffic | None = None
    slo: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A model that wants copies; `memory` is bytes of one copy of the wanted version."""

    model: str
    copies: int
    memory: int
    priority: int = 100
    work: Work = Work()
    placed: tuple[Copy, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """Why a model has fewer copies, or another version, than wanted."""

    reason: Reason
    missing: int
    server: str | None = None  # the one that it waits for
    waiting: str | None = None  # why that one does not start, in the scheduler's or kubelet's words


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Servers by model, sorted; what could not be placed and why; how many servers that takes.

    `wishes` are the servers where copies shall be once every move is made; `servers` is the next
    step towards that. `pinned` are copies that keep the version they have because no server has
    room for both. `crowded` are models whose servers have not the time for all objectives, as no
    other has.
    """

    servers: Mapping[str, tuple[str, ...]]
    wishes: Mapping[str, Sequence[str]]
    shortages: Mapping[str, Shortage]
    pinned: frozenset[tuple[str, str]]
    crowded: frozenset[str]
    wanted_servers: int
