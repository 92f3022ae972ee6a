"""What is known of a model's cost: its profile.json, else what its status says, else nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tightship.plan import figures, pack, profiles
from tightship.plan.traffic import read_traffic
from tightship.triton.profile import Profile
from tightship.whatif.errors import QuestionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tightship.whatif.resources import Model

STATUS = "status"
"""Origin of a cost that a model's status tells."""

LOAD_SECONDS = 30.0
"""Load time of a model that was never seen loading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A model's cost for the planner, where it is from, and seconds of a request outside Triton."""

    profile: pack.Profile
    origin: str
    network: float = 0.0

    @property
    def measured(self) -> bool:
        """Whether it was measured."""
        return self.profile.measured


def from_json(text: str, origin: str) -> Cost:
    """The cost that a profile.json tells.

    Raises:
        QuestionError: it is none, or lacks what planning needs.
    """
    try:
        found = Profile.from_json(text)
        memory = found.memory_peak if found.memory_peak is not None else found.memory
        if memory is None:
            raise QuestionError(
                f"{origin}: has no memory; import it again with --memory, or measure it where "
                "memory can be seen"
            )
        profile = _curve(found, memory)
    except (ValueError, TypeError) as error:
        raise QuestionError(
            f"{origin}: {error}; write it anew by a conversion or an import"
        ) from error
    return Cost(profile=profile, origin=origin, network=_network(found))


def _curve(found: Profile, memory: int) -> pack.Profile:
    return pack.profile(
        [point.batch for point in found.points],
        [point.concurrency for point in found.points],
        [point.busy_seconds for point in found.points],
        memory=memory,
        max_batch=max(1, found.max_batch),
        load_seconds=LOAD_SECONDS if found.load_seconds is None else found.load_seconds,
    )


def from_status(model: Model) -> Cost | None:
    """The cost that a status tells: how long batches compute, and what loading took where it is.

    A status that tells batch 1 alone is planned at batch 1.
    """
    known = figures.read_artifact(model.status.get("artifact"), model.status.get("optimization"))
    if known is None or not known.busy:
        return None
    profile = profiles.curve(
        known.busy,
        memory=max([known.memory, *_loaded(model.status)]),
        max_batch=known.max_batch if len(known.busy) > 1 else 1,
        load_seconds=known.load_seconds or LOAD_SECONDS,
    )
    network = max(0.0, known.p50 - known.busy[0][1])  # what a client waits beyond the work
    return Cost(profile=profile, origin=STATUS, network=network)


def corrected(costs: Mapping[str, Cost], models: Mapping[str, Model]) -> dict[str, Cost]:
    """The costs as the servers live them: longer or shorter by what the statuses' traffic shows.

    What neighbours on the same servers add is no part of a model's cost.
    """
    counted = [
        profiles.Counted(name, costs[name].profile, live, _servers(model.status) or (name,))
        for name, model in models.items()
        if (live := read_traffic(model.status)) is not None
    ]
    slower = profiles.slower(counted)
    more = {
        name: replace(costs[name], profile=costs[name].profile.corrected(factor))
        for name, factor in slower.items()
    }
    return {**costs, **more}


def _servers(status: Mapping[str, Any]) -> tuple[str, ...]:
    """Servers that hold the model."""
    return tuple(e["server"] for e in status.get("placement") or () if e.get("state") == "Loaded")


def unknown(server_memory: int) -> Cost:
    """The cautious cost of a model that nobody measured: a server of its own."""
    profile = pack.Profile(memory=server_memory, load_seconds=LOAD_SECONDS)
    return Cost(profile=profile, origin="not measured")


def unbatched(cost: Cost) -> Cost:
    """The cost of a model whose dynamic batching is off."""
    return replace(cost, profile=replace(cost.profile, max_batch=1))


def _loaded(status: Mapping[str, Any]) -> list[int]:
    """Bytes that loading took, on each server that could tell."""
    return [int(e["memory"]) for e in status.get("placement") or () if "memory" in e]


def _network(found: Profile) -> float:
    """What a request of one sample spends outside Triton with nobody else there."""
    spent = [
        point.mean - point.server_seconds
        for point in found.points
        if (point.batch, point.concurrency) == (1, 1) and point.server_seconds is not None
    ]
    return max(0.0, min(spent, default=0.0))
