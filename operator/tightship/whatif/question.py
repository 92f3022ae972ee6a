"""The question: which models with which traffic on which pool, as the planner's own terms."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tightship.plan import inputs
from tightship.plan.pack import Device, DeviceType, Fleet, Model
from tightship.plan.pack.change import BUDGET
from tightship.plan.pack.demand import MAX_COPIES
from tightship.plan.placement import server_memory
from tightship.whatif.errors import QuestionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tightship.api.v1alpha1 import LatencyObjective
    from tightship.whatif import resources
    from tightship.whatif.measured import Cost
    from tightship.whatif.traffic import Traffic

INTERFERENCE = 0.1
"""By what part an execution grows for each unit of its neighbours' duty on a shared device: where
it starts until it is measured (docs/design/packing.md)."""

SERVERS_MAX = 10_000
"""The most servers that a question may allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One model of the question."""

    resource: resources.Model
    traffic: Traffic
    cost: Cost

    @property
    def name(self) -> str:
        """The model's name."""
        return self.resource.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What runs now: servers with their nodes, and by model the servers that it is placed on."""

    servers: Mapping[str, str] = field(default_factory=dict)
    placement: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything that the answer is a function of.

    `price` is of one server for an hour, None where it is not known. `kappa` calibrates predicted
    waits. `budget` is the share of the copies that may move only to save servers. With
    `fixed_copies` a model has as many copies as its spec says; else as many as its load needs, and
    no fewer. `max_servers` stands in for the pool's where it is given. `running` is None where
    nothing is known of what runs.
    """

    pool: resources.Pool
    models: tuple[Wanted, ...]
    price: float | None = None
    kappa: float = 1.0
    fixed_copies: bool = False
    max_servers: int | None = None
    budget: float = BUDGET
    running: Running | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise QuestionError(
                f"no model names the pool {self.pool.name} in serving.poolRef; give other files"
            )
        if not 1 <= self.server_limit <= SERVERS_MAX:
            raise QuestionError(f"servers must be from 1 to {SERVERS_MAX}, not {self.server_limit}")

    @property
    def server_limit(self) -> int:
        """The most servers that there may be."""
        return self.max_servers or self.pool.spec.max_servers

    def loaded(self, factor: float) -> Question:
        """The same question with every rate multiplied."""
        models = (replace(m, traffic=m.traffic.times(factor)) for m in self.models)
        return replace(self, models=tuple(models))

    def afresh(self, servers: int) -> Question:
        """The same question with at most so many servers, and nothing running."""
        return replace(self, max_servers=servers, running=None)

    def objective(self, model: Wanted) -> LatencyObjective | None:
        """The model's latency objective: its own, else its class'."""
        return inputs.objective(model.resource.spec, self.pool.spec)

    def servers(self) -> tuple[str, ...]:
        """Names of all servers that may be, those that run first: device NUMBER is the NUMBERth."""
        now = sorted(self.running.servers) if self.running else []
        more = (f"new-{number}" for number in range(1, self.server_limit - len(now) + 1))
        return (*now, *more)[: max(self.server_limit, len(now))]

    def fleet(self) -> Fleet:
        """The pool's servers as devices of one type."""
        pool = self.pool.spec
        running = self.running.servers if self.running else {}
        count = len(self.servers())
        kind = DeviceType(
            name=self.pool.name,
            memory=max(1, server_memory(pool)),
            count=count,
            price=self.price or 1.0,
            nodes=tuple(running[name] for name in sorted(running)),
            interference=INTERFERENCE,
            closed=frozenset(range(self.server_limit, count)),
        )
        return Fleet(types=(kind,))

    def demand(self) -> tuple[Model, ...]:
        """The models as the planner takes them."""
        return tuple(self._demand(model) for model in self.models)

    def present(self) -> dict[str, tuple[Device, ...]]:
        """Where models are now, as devices; those that the question has not included."""
        placement = self.running.placement if self.running else {}
        number = {name: index for index, name in enumerate(self.servers())}
        return {
            name: tuple(sorted(Device(self.pool.name, number[server]) for server in servers))
            for name, servers in placement.items()
        }

    def _demand(self, model: Wanted) -> Model:
        serving, objective = model.resource.spec.serving, self.objective(model)
        return Model(
            name=model.name,
            profiles={self.pool.name: model.cost.profile},
            rate=model.traffic.rate,
            cv=model.traffic.cv,
            slo=objective.target if objective else math.inf,
            network=model.cost.network,
            min_copies=serving.replicas,
            max_copies=serving.replicas if self.fixed_copies else MAX_COPIES,
            priority=serving.priority,
        )
