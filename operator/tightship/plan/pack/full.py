"""The full plan, from models and a fleet: what to hold where, predicted latency, who waits."""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING

import numpy as np

from tightship.plan.pack import bounds, feasibility
from tightship.plan.pack.columns import columns
from tightship.plan.pack.demand import Device
from tightship.plan.pack.lanes import lanes
from tightship.plan.pack.plan import Bound, Plan, Reason, Setting, Wait
from tightship.plan.pack.portfolio import packed
from tightship.plan.pack.splitting import split

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from tightship.plan.pack.columns import Columns
    from tightship.plan.pack.demand import Fleet, Model
    from tightship.plan.pack.lanes import Lane
    from tightship.plan.pack.portfolio import Packed

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


def pack(models: Iterable[Model], fleet: Fleet, *, kappa: float = 1.0) -> Plan:
    """The cheapest plan that is found from nothing.

    Args:
        models: in any order.
        fleet: the devices that may be used.
        kappa: calibration of the waits: 1 until measured, lower while measured latencies are below
            the predicted ones, raised at once on misses.

    Raises:
        ValueError: two models share a name, or kappa is not above 0.
    """
    if not kappa > 0:
        raise ValueError(f"kappa must be above 0, 1 where nothing is measured: {kappa}")
    ordered, asked = columns(models)
    known = lanes(ordered, asked, fleet, kappa=kappa)
    if not known:
        raise ValueError("a fleet needs at least one type of device")
    found, lighter = packed(known, asked.priority), split(asked, known)
    if lighter is not None:
        more = lanes(ordered, lighter, fleet, kappa=kappa)
        other = packed(more, asked.priority)
        if not other.missing.any() and other.cost < found.cost:
            return plan(asked, more, other, fewest=known)
    return plan(asked, known, found)


def plan(
    asked: Columns,
    known: Sequence[Lane],
    found: Packed,
    stuck: Collection[int] = (),
    fewest: Sequence[Lane] = (),
) -> Plan:
    """The plan of copies that lie on devices.

    Args:
        asked: the models.
        known: the types, with the settings that the models have.
        found: where copies lie.
        stuck: models that should leave their devices.
        fewest: the types with the settings that the bound holds for, where they are others.
    """
    devices, model, device, sums = _laid(known, found)
    placed = np.bincount(model, minlength=len(asked.names))
    return Plan(
        models=asked.names,
        devices=devices,
        model=model,
        device=device,
        rho=sums[0],
        second_moment=sums[1],
        memory=sums[2],
        p99=_p99(known, found.home, model, sums[:2, device]),
        slo=asked.slo,
        settings=dict(_settings(asked, known, found.home)),
        waits=tuple(_waits(asked, known, found, stuck)),
        cost=found.cost,
        bound=_bound(fewest or known, found, placed),
    )


def _laid(
    known: Sequence[Lane], found: Packed
) -> tuple[tuple[Device, ...], Integers, Integers, Floats]:
    """Devices in use; model and device of each copy; duty, second moment, bytes of each device."""
    devices: list[Device] = []
    held: list[set[int]] = []
    sums: list[Floats] = []
    for lane, state in zip(known, found.states, strict=True):
        used = state.used[np.argsort(lane.numbers[state.used])]
        devices += [Device(lane.kind.name, number) for number in lane.numbers[used].tolist()]
        held += [state.held[at] for at in used.tolist()]
        memory = np.round(state.memory[used] * lane.kind.memory)
        sums.append(np.stack([state.u[used], state.v[used], memory]))
    counts = np.fromiter(map(len, held), np.int64, len(held))
    model = np.fromiter(chain.from_iterable(held), np.int64, int(counts.sum()))
    device = np.repeat(np.arange(len(held)), counts)
    order = np.lexsort((device, model))
    return tuple(devices), model[order], device[order], np.concatenate(sums, axis=1)


def _p99(known: Sequence[Lane], home: Integers, model: Integers, loads: Floats) -> Floats:
    """Predicted for each model on the worst of its devices; `loads` are those of each copy."""
    worst = np.full(len(home), np.nan)
    for at, lane in enumerate(known):
        here = home[model] == at
        rows, chosen = model[here], lane.choice
        one = feasibility.Serving(
            chosen.network[rows], chosen.delay[rows], chosen.longest[rows],
            chosen.k[rows], chosen.u[rows], chosen.v[rows],
        )  # fmt: skip
        told = feasibility.p99(one, loads[0, here], loads[1, here], lane.kind.execution)
        told[chosen.overload[rows] > 1] = np.inf
        told[~chosen.measured[rows]] = np.nan
        np.fmax.at(worst, rows, told)
    return worst


def _bound(known: Sequence[Lane], found: Packed, placed: Integers) -> Bound:
    devices = [
        bounds.devices(
            lane.load, np.where(found.home == at, np.minimum(placed, lane.choice.copies), 0)
        )
        for at, lane in enumerate(known)
    ]
    if len(known) == 1:
        cost = known[0].kind.price * devices[0]
    else:
        cost = bounds.cost(known, (found.missing == 0) & (placed > 0))
    names = [lane.kind.name for lane in known]
    return Bound(cost=cost, devices=dict(zip(names, devices, strict=True)))


def _settings(
    asked: Columns, known: Sequence[Lane], home: Integers
) -> Iterator[tuple[str, Setting]]:
    for at, lane in enumerate(known):
        rows, chosen = np.flatnonzero(home == at), lane.choice
        columns = (chosen.copies[rows], chosen.batch[rows].astype(np.int64), chosen.delay[rows])
        told = map(Setting, repeat(lane.kind.name), *(column.tolist() for column in columns))
        yield from zip((asked.names[row] for row in rows.tolist()), told, strict=True)


def _waits(
    asked: Columns, known: Sequence[Lane], found: Packed, stuck: Collection[int]
) -> Iterator[Wait]:
    """One for each model that lacks something, the gravest."""
    promised = np.ones(len(asked.names), dtype=np.bool_)
    for at, lane in enumerate(known):
        promised[found.home == at] = lane.choice.promised[found.home == at]
    held = np.isin(np.arange(len(promised)), list(stuck))
    for row in np.flatnonzero((found.missing > 0) | ~promised | held).tolist():
        wait = _wait(asked, known, found, row)
        if wait is not None:
            yield wait
        elif held[row]:
            told = "it should leave its device, and no other has room: add one, or close fewer"
            yield Wait(asked.names[row], Reason.NO_ROOM_TO_MOVE, 0, told)


def _wait(asked: Columns, known: Sequence[Lane], found: Packed, row: int) -> Wait | None:
    name, missing = asked.names[row], int(found.missing[row])
    if found.home[row] < 0:
        told = "no type of device has a profile of it, room for a copy and taints that it tolerates"
        return Wait(name, Reason.NO_SUITABLE_DEVICE, int(asked.min_copies[row]), told)
    lane = known[found.home[row]]
    kind, chosen = lane.kind.name, lane.choice
    if missing:
        told = (
            f"{missing} of {int(chosen.copies[row])} copies find no room on {kind}: its devices are"
            f" full of models that go first; raise its count, or this model's priority"
            f" ({int(asked.priority[row])})"
        )
        return Wait(name, Reason.NO_ROOM, missing, told)
    if not chosen.measured[row] or chosen.promised[row]:
        return None
    if not chosen.reachable[row]:
        told = (
            f"one request alone takes {chosen.longest[row] * 1e3:.3g} ms or less on {kind}, which"
            f" leaves too little of {asked.slo[row] * 1e3:.3g} ms for waiting: loosen the objective"
        )
        return Wait(name, Reason.OBJECTIVE_UNREACHABLE, 0, told)
    told = (
        f"{int(chosen.copies[row])} copies take {100 / chosen.overload[row]:.0f} % of the load on"
        f" {kind} and do not keep the objective: raise max_copies"
    )
    return Wait(name, Reason.TOO_FEW_COPIES, 0, told)
