"""Batch, queue delay and copies of every model on one type of device."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import numpy as np

from tightship.plan.pack import feasibility
from tightship.plan.pack.feasibility import LEVELS, RHO_MAX, Execution, Serving

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from tightship.plan.pack.columns import Columns, Curves
    from tightship.plan.pack.demand import DeviceType

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]

DELAYS: Final = (0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3)
"""Queue delays that are tried, as shares of the objective."""

LOOSE: Final = 1.0
"""Seconds; a looser objective, or none, is chosen for as if it were this: long batches of a model
that does not care would break the objectives of all that share its device."""

MEMORY_WEIGHT: Final = 0.3
"""What a device's memory counts against its time when settings are compared."""

LEAST_SLACK: Final = 0.1
"""Share of an objective that must be left for waiting; with less it is told to be unreachable."""

SPARE: Final = 1.15
"""A copy is given up when the others could take so many times the load."""

_BURST = 2.0
"""Requests by which the largest batch exceeds the expected one, times cv²: those of a burst run
together, where one by one they would wait for each other (docs/design/packing-benchmark.md)."""

_GROWTH = 1.1  # steps of the search for the number of copies


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """Settings of every model, one row each; `u`, `v` and `memory` are of one copy.

    Args:
        copies: as many as keep the objective; 0 where the model needs none or is not suited.
        batch: largest batch.
        delay: queue delay, seconds.
        network: seconds outside the server.
        longest: L(batch), seconds.
        k: the calibration; times the burstiness of one copy's arrivals where one runs at a time.
        u: duty.
        v: second moment, seconds.
        slack: seconds at each of LEVELS, models by levels; infinite where nothing is promised.
        memory: bytes.
        load_seconds: that a copy takes to load.
        share: of a device that one copy takes, at most 1: what types are compared by.
        promised: whether the objective is kept; else the model is served as well as can be.
        reachable: whether any number of copies keeps it.
        overload: load over what `copies` can take, 1 where they can.
        suited: whether the type may hold the model.
        measured: whether it was measured there.
    """

    copies: Integers
    batch: Floats
    delay: Floats
    network: Floats
    longest: Floats
    k: Floats
    u: Floats
    v: Floats
    slack: Floats
    memory: Floats
    load_seconds: Floats
    share: Floats
    promised: Flags
    reachable: Flags
    overload: Floats
    suited: Flags
    measured: Flags


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Present:
    """Settings that models have now: they are kept while they do, since a change is a load.

    `wanted` are the models that may be on the type at all; `copies` is 0 for those that are not
    there now.
    """

    wanted: Flags
    copies: Integers
    batch: Floats
    delay: Floats


@dataclass(slots=True, kw_only=True, eq=False)
class _Option:
    """What one delay and batch come to, for some of the models."""

    batch: Floats
    delay: Floats
    longest: Floats
    k: Floats
    u: Floats
    v: Floats
    slack: Floats
    share: Floats
    kept: Flags

    def better(self, other: _Option) -> Flags:
        alike = np.equal(self.kept, other.kept) & np.less(self.share, other.share)
        return np.greater(self.kept, other.kept) | alike

    def take(self, rows: Flags, other: _Option) -> None:
        for part in fields(self):
            mine, theirs = getattr(self, part.name), getattr(other, part.name)
            mine[rows] = theirs[rows]


def largest_batch(formed: ArrayLike, cv: ArrayLike, most: ArrayLike) -> Floats:
    """The batch that a burst may come to, where `formed` is expected and `most` is allowed."""
    return np.minimum(most, np.ceil(np.asarray(formed) + _BURST * np.square(cv)))


def choose(
    models: Columns,
    curves: Curves,
    kind: DeviceType,
    *,
    kappa: float,
    present: Present | None = None,
) -> Choice:
    """The cheapest settings of each model that keep its objective with the fewest copies.

    Models whose present settings keep it, with no copy too many, stay as they are.
    """
    return _Search(models, curves, kind, kappa).choice(present)


class _Search:
    """Copies grow until an option keeps the objective; only who misses it is looked at again."""

    def __init__(self, models: Columns, curves: Curves, kind: DeviceType, kappa: float) -> None:
        self._models, self._curves, self._kind = models, curves, kind
        self._kappa = kappa
        shared = kind.execution is Execution.SHARED
        self._grown = 1.0 + kind.interference * RHO_MAX * shared
        asked = np.maximum(models.min_copies, models.rate > 0)
        self._least = np.minimum(asked, models.max_copies) * curves.suited
        self._within = np.ones(len(models.rate), dtype=np.bool_)
        self._overload = np.ones(len(models.rate))

    def choice(self, present: Present | None) -> Choice:
        copies = self._least.copy()
        best = _empty(len(copies))
        if present is not None:
            copies[~present.wanted] = 0
        rows = np.flatnonzero(self._curves.measured & (copies > 0))
        if present is not None:
            rows = self._stay(rows[present.copies[rows] > 0], present, copies, best, rows)
        reachable = rows[self._reachable(rows)]
        self._within[rows] = False
        self._within[reachable] = True
        copies[reachable] = np.maximum(copies[reachable], self._floor(reachable))
        self._grow(reachable, copies, best)
        self._best_effort(rows[~best.kept[rows]], copies, best)
        return self._told(copies, best)

    def _stay(
        self, rows: Integers, present: Present, copies: Integers, best: _Option, asked: Integers
    ) -> Integers:
        """Those of `asked` that cannot stay as they are."""
        now = present.copies[rows]
        found = self._option(rows, now, present.delay[rows], present.batch[rows])
        spare = np.zeros(len(rows), dtype=np.bool_)
        more = np.flatnonzero(now > np.maximum(self._least[rows], 1))
        fewer, some = (now[more] - 1) / SPARE, rows[more]
        found_fewer = self._option(some, fewer, present.delay[some], present.batch[some])
        spare[more] = found_fewer.kept & (found_fewer.u <= RHO_MAX / 2)
        within = (now >= self._least[rows]) & (now <= self._models.max_copies[rows])
        fits = present.batch[rows] <= self._curves.max_batch[rows]
        stay = found.kept & ~spare & within & fits
        copies[rows[stay]] = now[stay]
        for part in fields(best):
            getattr(best, part.name)[rows[stay]] = getattr(found, part.name)[stay]
        return asked[~np.isin(asked, rows[stay])]

    def _latency(self, batch: Floats, rows: Integers) -> Floats:
        return self._curves.at(batch, rows) * self._grown

    def _reachable(self, rows: Integers) -> Flags:
        """Whether a request alone leaves any of its objective for waiting."""
        alone = self._latency(np.ones(len(rows)), rows) + self._models.network[rows]
        return np.less_equal(alone, (1.0 - LEAST_SLACK) * self._models.slo[rows])

    def _floor(self, rows: Integers) -> Integers:
        """Copies that the load takes at the best throughput of all: fewer cannot do."""
        batch = self._curves.max_batch[rows]
        work = np.minimum(
            self._latency(batch, rows) / batch, self._latency(np.ones(len(rows)), rows)
        )
        needed = np.ceil(self._models.rate[rows] * work / RHO_MAX * 0.999).astype(np.int64)
        return np.minimum(np.maximum(needed, 1), self._models.max_copies[rows])

    def _grow(self, rows: Integers, copies: Integers, best: _Option) -> None:
        while len(rows):
            found = self._options(rows, copies[rows])
            for part in fields(best):
                getattr(best, part.name)[rows] = getattr(found, part.name)
            rows = rows[~found.kept & (copies[rows] < self._models.max_copies[rows])]
            more = np.maximum(copies[rows] + 1, np.ceil(copies[rows] * _GROWTH).astype(np.int64))
            copies[rows] = np.minimum(more, self._models.max_copies[rows])

    def _options(self, rows: Integers, copies: Integers) -> _Option:
        window = np.minimum(self._models.slo[rows], LOOSE)
        best = self._option(rows, copies, DELAYS[0] * window, None)
        for part in DELAYS[1:]:
            found = self._option(rows, copies, part * window, None)
            best.take(found.better(best), found)
        single = self._option(rows, copies, 0.0 * window, np.ones(len(rows)))
        best.take(single.kept & ~best.kept, single)
        return best

    def _option(
        self, rows: Integers, copies: Integers | Floats, delay: Floats, batch: Floats | None
    ) -> _Option:
        rate = self._models.rate[rows] / copies
        most = self._curves.max_batch[rows]
        formed = np.clip(1.0 + rate * delay, 1.0, most)
        if batch is None:
            batch = largest_batch(formed, self._models.cv[rows], most)
        formed = np.minimum(formed, batch)
        seconds = self._latency(formed, rows)
        one = Serving(
            network=self._models.network[rows],
            delay=delay,
            longest=self._latency(batch, rows),
            k=self._k(rows, copies),
            u=feasibility.duty(rate, seconds, formed),
            v=feasibility.second_moment(rate, seconds, formed),
        )
        return self._judged(rows, batch, one)

    def _k(self, rows: Integers, copies: Integers | Floats) -> Floats:
        """Side by side a model's own bursts are run as batches, and those of many even out."""
        if self._kind.execution is Execution.SHARED:
            return np.full(len(rows), self._kappa)
        part = 1.0 / np.maximum(copies, 1.0)
        return feasibility.burstiness(self._models.cv[rows], part) * self._kappa

    def _judged(self, rows: Integers, batch: Floats, one: Serving) -> _Option:
        u, v = np.asarray(one.u), np.asarray(one.v)
        slo, execution = self._models.slo[rows], self._kind.execution
        each = Serving(*(np.asarray(part)[:, None] for part in one))
        slack = feasibility.slack(slo[:, None], each, np.array(LEVELS), execution)
        alone = feasibility.slack(slo, one, u, execution)
        return _Option(
            batch=batch,
            delay=np.asarray(one.delay),
            longest=np.asarray(one.longest),
            k=np.asarray(one.k),
            u=u,
            v=v,
            slack=slack,
            share=self._share(rows, u, v, slack),
            kept=(u <= RHO_MAX) & (feasibility.wait(u, v) <= alone),
        )

    def _share(self, rows: Integers, u: Floats, v: Floats, slack: Floats) -> Floats:
        """Part of a device that a copy takes: of its time, of its latency and of its memory.

        At each duty that the device may be filled to, the copy's time is u over that duty, and its
        latency v over what its own slack lets the device have. The cheapest duty counts.
        """
        levels = np.array(LEVELS)
        held = np.minimum(slack, LOOSE)
        with np.errstate(divide="ignore", invalid="ignore"):
            taken = u[:, None] / levels + v[:, None] / (feasibility.room(levels) * held)
        taken = np.where((held > 0) & (u[:, None] <= levels), taken, np.inf).min(axis=1)
        memory = self._curves.memory[rows] / self._kind.memory
        return np.where(np.isfinite(taken), taken, 1.0 + u) + MEMORY_WEIGHT * memory

    def _best_effort(self, rows: Integers, copies: Integers, best: _Option) -> None:
        """Settings without a promise: short batches, and no more duty than a device has."""
        most = self._models.max_copies[rows]
        batch = np.minimum(self._curves.max_batch[rows], 2.0)
        none = np.zeros(len(rows))
        whole = self._option(rows, np.ones(len(rows), dtype=np.int64), none, batch)
        needed = np.ceil(whole.u / RHO_MAX * (1 - 1e-9)).astype(np.int64)
        copies[rows] = np.minimum(np.maximum(self._least[rows], needed), most)
        found = self._option(rows, copies[rows], none, batch)
        over = np.maximum(found.u / RHO_MAX, 1.0)
        self._overload[rows] = over
        found.u, found.v = found.u / over, found.v / over
        found.slack = np.full_like(found.slack, np.inf)
        found.kept[:] = False
        for part in fields(best):
            getattr(best, part.name)[rows] = getattr(found, part.name)

    def _told(self, copies: Integers, best: _Option) -> Choice:
        """An unmeasured model takes a whole device; nothing is promised of it."""
        unknown = ~self._curves.measured
        best.u[unknown], best.share[unknown] = RHO_MAX, 1.0
        best.slack[unknown] = np.inf
        return Choice(
            copies=copies,
            batch=best.batch,
            delay=best.delay,
            network=self._models.network,
            longest=best.longest,
            k=best.k,
            u=best.u,
            v=best.v,
            slack=best.slack,
            memory=self._curves.memory,
            load_seconds=self._curves.load_seconds,
            share=np.minimum(best.share, 1.0),
            promised=best.kept | (copies == 0),
            reachable=self._within,
            overload=self._overload,
            suited=self._curves.suited,
            measured=self._curves.measured,
        )


def _empty(count: int) -> _Option:
    return _Option(
        batch=np.ones(count),
        delay=np.zeros(count),
        longest=np.zeros(count),
        k=np.ones(count),
        u=np.zeros(count),
        v=np.zeros(count),
        slack=np.full((count, len(LEVELS)), np.inf),
        share=np.zeros(count),
        kept=np.zeros(count, dtype=np.bool_),
    )
