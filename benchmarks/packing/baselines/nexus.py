"""Nexus' squishy bin packing (Shen et al., SOSP 2019), as its paper and released scheduler have it.

A session is a model with its objective and rate. While a session's rate fills a whole device at the
largest batch whose latency is half the objective, it gets one (ScheduleSaturate). What remains of
it runs in a duty cycle: a batch of b is gathered for b / rate seconds, so b is the largest with
(b - 1) / rate + L(b) <= objective, and the cycle is the shorter of b / rate and objective - L(b).
Sessions share a device in the shortest of their cycles D, each with the batch that D gathers, as
long as the batches' latencies sum to D at most; each goes where the device becomes fullest
(ScheduleResidue). The paper leaves memory to the server; here a device's memory is respected.
"""

from dataclasses import dataclass

import numpy as np
from benchmarks.packing.placement import Copies, Placement
from benchmarks.packing.profiles import Floats, Ints
from benchmarks.packing.workload import DEVICE_MEMORY, Workload

_NO_RATE = 1e-9
_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True)
class Schedule:
    """One row a session on a device: its batch, the rate that it is planned for, the duty cycle.

    Devices that a session fills alone have no cycle: there it is 0.
    """

    model: Ints
    device: Ints
    batch: Ints
    rate: Floats
    cycle: Floats


@dataclass(frozen=True, slots=True)
class _Sessions:
    """Residual loads: model, rate that is planned for, its longest cycle and its share of it."""

    model: Ints
    rate: Floats
    cycle: Floats
    occupancy: Floats


def plan(workload: Workload, headroom: float = 1.0) -> Placement:
    """Packs for `headroom` times the rates, which are then served as they are.

    Served as Triton does by default, concurrently and without queue delay, more models keep their
    objectives than when requests wait for their duty cycle: this is the better of both for it.
    """
    made = schedule(workload, headroom)
    total = np.bincount(made.model, weights=made.rate, minlength=len(workload))
    largest, _ = _saturating(workload)
    copies = Copies(
        model=made.model,
        rate=workload.rate[made.model] * made.rate / total[made.model],
        delay=np.zeros(len(made.model)),
        max_batch=np.maximum(made.batch, largest[made.model]),
        duty=_latency(workload, made.model, made.batch) * made.rate / made.batch,
    )
    return Placement(copies, made.device)


def schedule(workload: Workload, headroom: float) -> Schedule:
    """The duty cycles for `headroom` times the rates."""
    asked = workload.rate * headroom
    largest, most = _saturating(workload)
    full = np.floor(asked / most + _NO_RATE).astype(np.int64)
    sessions = _residuals(workload, asked - full * most, largest)
    nodes = _Nodes(workload, sessions)
    for row in np.argsort(-sessions.occupancy, kind="stable"):
        nodes.add(int(row))
    alone = np.repeat(np.arange(len(workload)), full)
    cycle = nodes.cycle[nodes.node]
    gathered = np.ceil(sessions.rate * cycle - _ROUNDING).astype(np.int64)
    gathered = np.clip(gathered, 1, workload.max_batch[sessions.model])
    return Schedule(
        model=np.concatenate([alone, sessions.model]),
        device=np.concatenate([nodes.used + np.arange(len(alone)), nodes.node]),
        batch=np.concatenate([largest[alone], gathered]),
        rate=np.concatenate([most[alone], sessions.rate]),
        cycle=np.concatenate([np.zeros(len(alone)), cycle]),
    )


def _saturating(workload: Workload) -> tuple[Ints, Floats]:
    """The largest batch within half the objective, at least 1, and the rate that it sustains."""
    within = workload.seconds <= workload.slo[:, None] / 2
    largest = np.maximum(1, within.sum(axis=1))
    return largest, largest / _latency(workload, np.arange(len(workload)), largest)


def _latency(workload: Workload, model: Ints, batch: Ints) -> Floats:
    found: Floats = workload.seconds[model, batch - 1]
    return found


def _residuals(workload: Workload, rate: Floats, largest: Ints) -> _Sessions:
    model = np.flatnonzero(rate > _NO_RATE)
    rate, slo, seconds = rate[model], workload.slo[model], workload.seconds[model]
    batches = np.arange(1, seconds.shape[1] + 1)
    kept = ((batches - 1) / rate[:, None] + seconds <= slo[:, None]) & (
        batches <= largest[model, None]
    )
    batch = np.maximum(1, kept.sum(axis=1))
    latency = _latency(workload, model, batch)
    cycle = np.minimum(slo - latency, batch / rate)
    return _Sessions(model, rate, cycle, latency / cycle)


class _Nodes:
    """Devices in their duty cycles: which sessions lie on each, as a table padded with none."""

    def __init__(self, workload: Workload, sessions: _Sessions) -> None:
        count = len(sessions.model)
        self._workload, self._sessions = workload, sessions
        self._members = np.full((count, 8), -1)
        self._size = np.zeros(count, np.int64)
        self._memory = np.zeros(count)
        self.cycle = np.full(count, np.inf)
        self.used = 0
        self.node = np.empty(count, np.int64)

    def add(self, row: int) -> None:
        """Puts a session where it makes the fullest device, or on a new one."""
        memory = self._workload.memory[self._sessions.model[row]]
        room = np.flatnonzero(self._memory[: self.used] + memory <= DEVICE_MEMORY)
        cycle = np.minimum(self.cycle[room], self._sessions.cycle[row])
        occupancy = self._occupancy(room, row, cycle)
        fits = occupancy <= 1.0
        if fits.any():
            best = int(np.where(fits, occupancy, -1.0).argmax())
            node, length = int(room[best]), float(cycle[best])
        else:
            node, length = self.used, float(self._sessions.cycle[row])
            self.used += 1
        self._put(row, node, length)

    def _occupancy(self, nodes: Ints, row: int, cycle: Floats) -> Floats:
        width = int(self._size[nodes].max(initial=0))
        members = np.column_stack([self._members[nodes, :width], np.full(len(nodes), row)])
        batch = np.ceil(self._sessions.rate[members] * cycle[:, None] - _ROUNDING).astype(np.int64)
        model = self._sessions.model[members]
        limit = self._workload.max_batch[model]
        latency = self._workload.seconds[model, np.clip(batch, 1, limit) - 1]
        occupied: Floats = np.where(members >= 0, latency, 0.0).sum(axis=1) / cycle
        return occupied

    def _put(self, row: int, node: int, cycle: float) -> None:
        place = int(self._size[node])
        if place == self._members.shape[1]:
            self._members = np.pad(self._members, ((0, 0), (0, place)), constant_values=-1)
        self._members[node, place] = row
        self._size[node] += 1
        self._memory[node] += self._workload.memory[self._sessions.model[row]]
        self.cycle[node] = cycle
        self.node[row] = node
