"""From the plan that runs to the next one: what has to move moves, and little else.

Copies that stay keep their settings. A move loads on its target before it leaves its source, so
memory is counted as it is now, leaving copies included: all moves of a change can be made at once.
Only a model that takes the room of one of lower priority waits until that has gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tightship.plan.pack.choice import Present, choose
from tightship.plan.pack.columns import columns, curves
from tightship.plan.pack.demand import Device
from tightship.plan.pack.draining import drain
from tightship.plan.pack.full import plan as told
from tightship.plan.pack.lanes import Lane, lane
from tightship.plan.pack.placing import Placing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from tightship.plan.pack.columns import Columns
    from tightship.plan.pack.demand import Fleet, Model
    from tightship.plan.pack.plan import Plan
    from tightship.plan.pack.state import Devices

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

BUDGET: Final = 0.1
"""Share of the copies that a change may move where nothing forces it."""


class Move(NamedTuple):
    """A copy comes to `target`, goes from `source`, or both: loaded there before it goes here.

    Moves of wave 1 begin when those of wave 0 are done.
    """

    model: str
    source: Device | None
    target: Device | None
    wave: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Change:
    """The next plan and the way to it.

    Args:
        plan: what is to run.
        moves: sorted; nothing is in them that stays.
        forced: moves that load, faults and drained devices forced.
        voluntary: moves that were made to need fewer devices, within the budget.
    """

    plan: Plan
    moves: tuple[Move, ...]
    forced: int
    voluntary: int


def replan(
    present: Plan,
    models: Iterable[Model],
    fleet: Fleet,
    *,
    budget: float = BUDGET,
    kappa: float = 1.0,
    lost: Collection[Device] = (),
    displace: bool = True,
    spared: Collection[Device] = (),
) -> Change:
    """The next plan with few moves: evict where objectives break, place, drain within the budget.

    Args:
        present: what runs now.
        models: all models as they are now, in any order.
        fleet: all devices as they are now; closed ones are emptied.
        budget: share of the copies that may move only to save devices; moves that are forced count.
        kappa: as for `pack`.
        lost: devices that are gone, with all that was on them.
        displace: whether others make room: models of lower priority give up copies for one that
            finds none, and copies move on to a third device so that one can be emptied.
        spared: devices that are not emptied to save them.

    Raises:
        ValueError: as for `pack`; budget is not a share.
    """
    if not 0.0 <= budget <= 1.0:
        raise ValueError(f"budget is a share of the copies, from 0 to 1: {budget}")
    ordered, asked = columns(models)
    now = _Now(present, ordered, asked, fleet, lost)
    known = now.lanes(kappa)
    at_work = Placing(known, asked.priority, now.states(known), now.home.copy())
    at_work.settle(displace=displace)
    total = sum(len(devices) for state in at_work.states for devices in state.on.values())
    left = int(budget * total) - at_work.forced
    voluntary = drain(known, at_work, left, spared=spared, aside=displace)
    plan = told(asked, known, at_work.packed(), at_work.stuck)
    later = {
        (asked.names[row], Device(known[at].kind.name, int(known[at].numbers[device])))
        for at, row, device in at_work.later
    }
    return Change(
        plan=plan,
        moves=tuple(sorted(_moves(present, plan, frozenset(lost), later), key=str)),
        forced=at_work.forced,
        voluntary=voluntary,
    )


class _Now:
    """What of the present plan is still there, by row of a model and lane of a type."""

    def __init__(
        self,
        present: Plan,
        ordered: Sequence[Model],
        asked: Columns,
        fleet: Fleet,
        lost: Collection[Device],
    ) -> None:
        self._present, self._asked = present, asked
        self._kinds = [fleet[name] for name in fleet.names]
        self._curves = [curves(ordered, kind) for kind in self._kinds]
        lane_of = {kind.name: at for at, kind in enumerate(self._kinds)}
        gone = frozenset(lost)
        valid = [
            d.type in lane_of and d not in gone and d.number < fleet[d.type].count
            for d in present.devices
        ]
        self._valid = np.array(valid, dtype=np.bool_)
        self._lane = np.array([lane_of.get(d.type, -1) for d in present.devices], dtype=np.int64)
        self._number = np.array([d.number for d in present.devices], dtype=np.int64)
        row_of = {name: row for row, name in enumerate(asked.names)}
        rows = np.array([row_of.get(name, -1) for name in present.models], dtype=np.int64)
        self._row = rows[present.model]
        self.home = self._homes()
        self._kept = self._valid[present.device] & (self._row >= 0)
        self._kept &= self._lane[present.device] == self.home[self._row]

    def _homes(self) -> Integers:
        """The type that each model has copies on and still suits it; -1 for all others."""
        home = np.full(len(self._asked.names), -1, dtype=np.int64)
        there = self._valid[self._present.device] & (self._row >= 0)
        home[self._row[there]] = self._lane[self._present.device[there]]
        for at, curve in enumerate(self._curves):
            home[(home == at) & ~curve.suited] = -1
        return home

    def lanes(self, kappa: float) -> tuple[Lane, ...]:
        """The types, with settings that stay as they are where they can."""
        settings = self._present.settings
        now = [settings.get(name) for name in self._asked.names]
        copies = np.array([one.copies if one else 0 for one in now], dtype=np.int64)
        batch = np.array([one.batch if one else 1 for one in now], dtype=np.float64)
        delay = np.array([one.delay if one else 0 for one in now], dtype=np.float64)
        found = []
        for at, (kind, curve) in enumerate(zip(self._kinds, self._curves, strict=True)):
            here = self.home == at
            held = Present(
                wanted=here | (self.home < 0),
                copies=np.where(here, copies, 0),
                batch=batch,
                delay=delay,
            )
            in_use = int(self._number[self._valid & (self._lane == at)].max(initial=-1)) + 1
            chosen = choose(self._asked, curve, kind, kappa=kappa, present=held)
            found.append(lane(kind, chosen, in_use))
        return tuple(found)

    def states(self, known: Sequence[Lane]) -> list[Devices]:
        """The devices with what stays; the memory of what does not is still taken."""
        return [self._state(at, one) for at, one in enumerate(known)]

    def _state(self, at: int, known: Lane) -> Devices:
        present, state = self._present, known.devices()
        place = np.zeros(len(known.numbers), dtype=np.int64)
        place[known.numbers] = np.arange(len(known.numbers))
        here = self._valid & (self._lane == at)
        mine = here[present.device]
        kept = mine & self._kept
        state.hold(self._row[kept], place[self._number[present.device[kept]]])
        rows = np.flatnonzero(here)
        devices = place[self._number[rows]]
        rest = present.memory[rows] / known.kind.memory - state.memory[devices]
        state.leaving[devices] = np.maximum(rest, 0.0)
        return state


def _moves(
    present: Plan, plan: Plan, lost: Collection[Device], later: set[tuple[str, Device]]
) -> Iterator[Move]:
    """What differs; a copy that comes is the move of one that goes, where there is one."""
    models = plan.models
    if present.models != models:
        models = tuple(sorted({*present.models, *models}))
    names = {name: at for at, name in enumerate(models)}
    devices = {one: at for at, one in enumerate(sorted({*present.devices, *plan.devices}))}
    before, after = _codes(present, names, devices), _codes(plan, names, devices)
    gone = np.array([devices[one] for one in lost if one in devices], dtype=np.int64)
    before = before[~np.isin(before % max(1, len(devices)), gone)]
    changed: dict[int, tuple[set[Device], set[Device]]] = {}
    labels = list(devices)
    for side, codes in enumerate((np.setdiff1d(before, after), np.setdiff1d(after, before))):
        for name, device in np.stack(np.divmod(codes, max(1, len(labels))), axis=1).tolist():
            changed.setdefault(name, (set(), set()))[side].add(labels[device])
    for name, (going, coming) in sorted(changed.items()):
        yield from _paired(models[name], going, coming, later)


def _codes(plan: Plan, names: Mapping[str, int], devices: Mapping[Device, int]) -> Integers:
    """A number for each copy: which model on which device."""
    model = np.array([names[name] for name in plan.models], dtype=np.int64)
    device = np.array([devices[one] for one in plan.devices], dtype=np.int64)
    return np.asarray(model[plan.model] * max(1, len(devices)) + device[plan.device])


def _paired(
    name: str, going: set[Device], coming: set[Device], later: set[tuple[str, Device]]
) -> Iterator[Move]:
    """Sources that others wait for go with targets that are free now, or without one."""
    awaited = {device for _, device in later}
    sources = sorted(going, key=lambda device: (device not in awaited, device))
    targets = sorted(coming, key=lambda device: ((name, device) in later, device))
    for source, target in zip_longest(sources, targets):
        wave = int((name, target) in later)
        if wave and source in awaited:
            yield Move(name, source, None)
            yield Move(name, None, target, wave)
        else:
            yield Move(name, source, target, wave)
