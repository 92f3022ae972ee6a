"""The answer: where models would be placed, what it costs and promises, and what would change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from tightship.api.accelerator import Isolation
from tightship.plan.pack import feasibility
from tightship.whatif import growth, packed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tightship.api.v1alpha1 import LatencyObjective
    from tightship.plan.pack import Change, Plan, Setting, Wait
    from tightship.whatif.growth import Limit
    from tightship.whatif.question import Question, Wanted


class Verdict(StrEnum):
    """How a model would fare."""

    INSIDE = "Inside"  # its predicted p99 is within its objective
    OUTSIDE = "Outside"  # served, and its objective cannot be promised
    WAITING = "Waiting"  # copies have no place
    NOT_MEASURED = "NotMeasured"  # served on a server of its own; nothing can be predicted
    NO_OBJECTIVE = "NoObjective"  # served; neither it nor its class has a latency objective


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOutlook:
    """One model. Times are seconds, rates samples a second; `p99` is None where not predicted.

    `asked` is the number of copies in its spec; `told` says why it waits or misses.
    """

    name: str
    rate: float
    cv: float
    asked: int
    copies: int
    batch: int
    delay: float
    p99: float | None
    objective: LatencyObjective | None
    verdict: Verdict
    told: str
    servers: tuple[str, ...]
    memory: int
    origin: str


class Held(NamedTuple):
    """One copy on a server: the share of the server's time and the bytes that it takes."""

    model: str
    duty: float
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOutlook:
    """One server in use. `duty` is the share of its time that is promised, memory is bytes.

    `running` says whether the server exists now.
    """

    name: str
    running: bool
    duty: float
    memory: int
    capacity: int
    models: tuple[Held, ...]


class Step(NamedTuple):
    """A copy is loaded on `target`, then unloaded from `source`; either may be absent.

    Steps of wave 1 begin when those of wave 0 are done: they take the room that these leave.
    """

    model: str
    source: str | None
    target: str | None
    wave: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be done from what runs now: servers to start and stop, copies to move."""

    starts: tuple[str, ...]
    steps: tuple[Step, ...]
    stops: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The whole answer. Money is an hour's; None where no price is known.

    `billed` servers are those in use, and no fewer than the pool keeps. `least` is what no plan
    with these settings can go below.
    """

    pool: str
    models: tuple[ModelOutlook, ...]
    servers: tuple[ServerOutlook, ...]
    billed: int
    least: int
    min_servers: int
    max_servers: int
    price: float | None
    cost: float | None
    limits: tuple[Limit, ...]
    changes: Changes | None
    notes: tuple[str, ...]

    @property
    def fine(self) -> bool:
        """Whether no model waits or misses its objective."""
        return not any(m.verdict in {Verdict.OUTSIDE, Verdict.WAITING} for m in self.models)


def answer(question: Question) -> Outlook:
    """Plans as the operator does, and looks how far the load may grow."""
    change = packed.change(question)
    plan = change.plan if change else packed.plan(question)
    names = question.servers()
    servers = _servers(question, plan, names)
    floor = question.pool.spec.min_servers
    billed = max(len(servers), floor)
    placed = {
        name: tuple(names[device.number] for device in devices)
        for name, devices in plan.placement.items()
    }
    models = tuple(_model(m, question, plan, placed.get(m.name, ())) for m in question.models)
    return Outlook(
        pool=question.pool.name,
        models=tuple(sorted(models, key=lambda model: model.name)),
        servers=servers,
        billed=billed,
        least=max(floor, sum(plan.bound.devices.values())),
        min_servers=floor,
        max_servers=question.server_limit,
        price=question.price,
        cost=None if question.price is None else question.price * billed,
        limits=growth.limits(question, max(1, len(servers))),
        changes=_changes(question, change, {server.name for server in servers}),
        notes=tuple(_notes(question, models)),
    )


def _servers(question: Question, plan: Plan, names: tuple[str, ...]) -> tuple[ServerOutlook, ...]:
    running = question.running.servers if question.running else {}
    capacity = question.fleet()[question.pool.name].memory
    wanted = {model.name: model for model in question.models}
    found = [
        ServerOutlook(
            name=names[device.number],
            running=names[device.number] in running,
            duty=duty,
            memory=round(used),
            capacity=capacity,
            models=_held([wanted[name] for name in plan.assignments[device]], plan, duty),
        )
        for device, duty, used in zip(
            plan.devices, plan.rho.tolist(), plan.memory.tolist(), strict=True
        )
    ]
    return tuple(server for server in found if server.models)


def _held(models: list[Wanted], plan: Plan, duty: float) -> tuple[Held, ...]:
    """The copies of a server, its duty divided among them by their work."""
    work = [_work(model, plan.settings[model.name]) for model in models]
    whole = sum(work)
    return tuple(
        Held(model.name, duty * part / whole if whole else 0.0, model.cost.profile.memory)
        for model, part in zip(models, work, strict=True)
    )


def _work(model: Wanted, setting: Setting) -> float:
    """Seconds a second that one copy alone takes with the batches that form in its queue delay."""
    if not model.cost.measured:
        return 1.0
    rate = model.traffic.rate / max(1, setting.copies)
    formed = min(max(1.0, 1.0 + rate * setting.delay), float(setting.batch))
    return float(feasibility.duty(rate, model.cost.profile.latency(formed), formed))


def _model(model: Wanted, question: Question, plan: Plan, servers: tuple[str, ...]) -> ModelOutlook:
    setting, wait = plan.settings.get(model.name), _wait(plan, model.name)
    predicted = plan.predicted.get(model.name, math.nan)
    p99 = predicted if model.cost.measured and math.isfinite(predicted) else None
    objective = question.objective(model)
    return ModelOutlook(
        name=model.name,
        rate=model.traffic.rate,
        cv=model.traffic.cv,
        asked=model.resource.spec.serving.replicas,
        copies=len(servers),
        batch=setting.batch if setting else 0,
        delay=setting.delay if setting else 0.0,
        p99=p99,
        objective=objective,
        verdict=_verdict(wait, p99, objective, measured=model.cost.measured),
        told=wait.told if wait else "",
        servers=servers,
        memory=model.cost.profile.memory,
        origin=model.cost.origin,
    )


def _wait(plan: Plan, name: str) -> Wait | None:
    return next((wait for wait in plan.waits if wait.model == name), None)


def _verdict(
    wait: Wait | None, p99: float | None, objective: LatencyObjective | None, *, measured: bool
) -> Verdict:
    if wait is not None and wait.missing:
        return Verdict.WAITING
    if not measured:
        return Verdict.NOT_MEASURED
    if objective is None:
        return Verdict.NO_OBJECTIVE
    kept = wait is None and p99 is not None and p99 <= objective.target
    return Verdict.INSIDE if kept else Verdict.OUTSIDE


def _changes(question: Question, change: Change | None, used: set[str]) -> Changes | None:
    if change is None or question.running is None:
        return None
    names = question.servers()
    steps = [
        Step(
            move.model,
            names[move.source.number] if move.source else None,
            names[move.target.number] if move.target else None,
            move.wave,
        )
        for move in change.moves
    ]
    running = set(question.running.servers)
    spare = question.pool.spec.min_servers - len(used)
    kept = set(sorted(running - used)[: max(0, spare)])
    return Changes(
        starts=tuple(sorted(used - running)),
        steps=tuple(sorted(steps, key=lambda step: (step.wave, step.model))),
        stops=tuple(sorted(running - used - kept)),
    )


def _notes(question: Question, models: tuple[ModelOutlook, ...]) -> Iterator[str]:
    """What a reader must know to weigh the answer."""
    known = [
        (
            "known at batch 1 alone, so planned at it; give a profile.json (--profiles)",
            [m.name for m in question.models if len(m.cost.profile.batches) == 1],
        ),
        (
            "not measured, so on a server of their own; convert them, or use tightship import",
            [m.name for m in models if m.verdict is Verdict.NOT_MEASURED],
        ),
        (
            "need more copies than their serving.replicas; raise it, or plan with --fixed-copies",
            [m.name for m in models if m.copies > m.asked],
        ),
        (
            "planned by p99, on the safe side of their objective at a lower percentile",
            [m.name for m in models if m.objective and m.objective.percentile < growth.PERCENTILE],
        ),
    ]
    yield from (f"{told}: {_listed(names)}" for told, names in known if names)
    if question.price is None:
        yield "no price of a server is known, so there is no cost; give one with --price"
    device = question.pool.spec.accelerator
    if device is not None and device.isolation is not Isolation.HARD:
        yield (
            f"servers share devices ({device.sharing}, isolation {device.isolation}): what other "
            "servers on a device take is not predicted"
        )


def _listed(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + more
