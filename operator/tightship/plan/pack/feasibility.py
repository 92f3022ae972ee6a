"""Whether a device keeps every tenant's latency objective: duty, second moment, wait, slack.

All functions work on arrays of any equal shape. Sources and evidence: docs/design/packing.md.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Numbers = Floats | float

RHO_MAX: Final = 0.75
"""Share of a device's time that may be promised: above it queues grow faster than any objective."""

QUANTILE: Final = 0.01
"""Share of requests that may miss: the objectives are 99th percentiles."""

LEVELS: Final = (0.15, 0.25, 0.35, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, RHO_MAX)
"""Duties at which slack is tabled: a device is tested at the first level that its duty is below."""

TAIL: Final = 1.8
"""Standard deviations above its mean at which an execution among others is planned. More than 99 %
stay below: the largest batch and the whole queue delay, which are planned with, are rare."""

CV_BOUNDS: Final = (1.0, 4.0)
"""Arrivals steadier than Poisson are planned as Poisson; the rule is proven up to 4."""

TOLERANCE: Final = 1e-9
"""Relative room for rounding: sums depend on their order in the last digits."""

BYTE: Final = 1e-12
"""Share of a device's memory that is less than a byte: room for rounding and for nothing else."""

_STEEPEST: Final = math.e * QUANTILE


class Execution(StrEnum):
    """How the models of a device run: Triton's default, or one at a time by its rate limiter."""

    SHARED = "Shared"
    EXCLUSIVE = "Exclusive"


def duty(rate: ArrayLike, seconds: ArrayLike, batch: ArrayLike) -> Floats:
    """The share u = rate·L(n)/n of a device's time (rate in 1/s, seconds = L(n))."""
    return np.asarray(np.asarray(rate) * np.asarray(seconds) / np.asarray(batch), dtype=np.float64)


def second_moment(rate: ArrayLike, seconds: ArrayLike, batch: ArrayLike) -> Floats:
    """The load v = rate/n·L(n)², in seconds: what neighbours must wait for."""
    return np.asarray(np.asarray(rate) * np.square(seconds) / np.asarray(batch), dtype=np.float64)


def wait(rho: ArrayLike, v: ArrayLike) -> Floats:
    """W99, the 99th percentile in seconds of the wait for the device's other work.

    The mean wait of M/G/1 (Pollaczek-Khinchine), v/(2(1-rho)), and an exponential tail of that mean
    given that there is a wait: times ln(rho/0.01)/rho. That factor is largest at rho = e/100 and is
    held there below, so that a nearly idle device is not planned as if nobody ever waited.

    Args:
        rho: sum of the tenants' duties; from 1 on the wait is infinite.
        v: sum of their second moments, in seconds.
    """
    held = np.maximum(np.asarray(rho, dtype=np.float64), _STEEPEST)
    free = np.maximum(1.0 - held, 1e-12)
    waited = np.asarray(v) / (2.0 * free) * np.log(held / QUANTILE) / held
    return np.where((held < 1.0) | (np.asarray(v) == 0.0), waited, np.inf)


def room(rho: ArrayLike) -> Floats:
    """The second moment at which a device of this duty has a wait of one second."""
    return np.asarray(1.0 / wait(rho, 1.0), dtype=np.float64)


ROOM_MAX: Final = float(np.max(room(np.linspace(0.0, RHO_MAX, 7501)))) * (1 + 1e-6)
"""The largest `room` at any duty: the volume of latency that one device has, for lower bounds."""


_CELLS: Final = 4096
_EDGES: Final = room(np.minimum(np.arange(_CELLS + 2) / _CELLS, 0.9999))
_ROOM: Final = np.minimum(_EDGES[:-1], _EDGES[1:])


def tabled_room(rho: Floats) -> Floats:
    """`room` from a table, at most 0.1 % too small and never too large: for inner loops."""
    return _ROOM[np.minimum((rho * _CELLS).astype(np.int64), _CELLS)]


def burstiness(cv: ArrayLike, share: ArrayLike = 1.0) -> Floats:
    """The factor k = (1 + cv²)/2 of a model's wait over that with Poisson arrivals (Kingman).

    Args:
        cv: coefficient of variation of the time between arrivals.
        share: of the arrivals, drawn at random, that a copy gets: thinned streams come closer to
            Poisson's, cv² becomes share·cv² + 1 - share.
    """
    low, high = CV_BOUNDS
    part = np.asarray(share, dtype=np.float64)
    thinned = part * np.square(np.clip(cv, low, high)) + 1.0 - part
    return np.asarray((1.0 + thinned) / 2.0, dtype=np.float64)


def stretch(rho: ArrayLike, execution: Execution) -> Floats:
    """By what an execution grows with neighbours at a duty of rho: processor sharing, or not."""
    share = np.asarray(rho, dtype=np.float64)
    if execution is Execution.EXCLUSIVE:
        return np.ones_like(share)
    return 1.0 / np.maximum(1.0 - share, 1e-12)


class Serving(NamedTuple):
    """What the latency of a copy depends on beside its device; arrays of equal shape, seconds.

    `network` is spent outside the server, `delay` is the queue delay, `longest` is L(B) of the
    largest batch, `k` the factor on what others add (calibration, and burstiness one at a time),
    `u` and `v` are the copy's own duty and second moment.
    """

    network: Numbers
    delay: Numbers
    longest: Numbers
    k: Numbers
    u: Numbers
    v: Numbers


def fixed(one: Serving, rho: ArrayLike, execution: Execution) -> Floats:
    """Seconds before its execution begins, whatever neighbours do.

    Side by side a request waits for its model's own execution that is under way, while the queue
    delay passes: of a share u·stretch of the requests, evenly up to L(n)·stretch. One at a time
    that is part of W99.
    """
    waited = np.asarray(one.delay)
    if execution is Execution.SHARED:
        grown = stretch(rho, execution)
        u = np.maximum(np.asarray(one.u) * grown, QUANTILE)
        own = one.v * np.square(grown) / u * (1.0 - QUANTILE / np.minimum(u, 1.0))
        waited = np.maximum(waited, own)
    return np.asarray(one.network + waited)


def deviation(longest: ArrayLike, rho: ArrayLike, w: ArrayLike) -> Floats:
    """Standard deviation in seconds of an execution that shares the device with others at once.

    The variance of M/G/1 with processor sharing (Yashkov 1987), 2/(1-rho)²·∫(x-t)(1-W(t))dt from 0
    to x, where the wait W for the same work one at a time is taken for exponential. Short
    executions feel how many others there are, x·sqrt(rho)/(1-rho) whatever these take; long ones
    their work.

    Args:
        longest: x, seconds that the execution takes alone.
        rho: duty of the device.
        w: mean wait of those who wait, seconds.
    """
    held, x = _held(rho), np.maximum(longest, _INSTANT)
    return np.asarray(x * np.sqrt(2.0 * held * _shape(np.asarray(w) / x)) / (1.0 - held))


def _held(rho: ArrayLike) -> Floats:
    """Duties between which the tail is told: below, as if it were a little; never saturated."""
    return np.clip(np.asarray(rho, dtype=np.float64), _STEEPEST, 1.0 - 1e-9)


def _shape(y: ArrayLike) -> Floats:
    """The function y - y²(1 - exp(-1/y)): about y when small, a half where work has no bound."""
    least = np.clip(np.asarray(y, dtype=np.float64), *_SHAPED)
    return np.asarray(least + np.square(least) * np.expm1(-1.0 / least))


_INSTANT: Final = 1e-9
_SHAPED: Final = (1e-6, 1e4)
_POINTS: Final = np.geomspace(*_SHAPED, 2048)
_SHAPES: Final = np.maximum.accumulate(_shape(_POINTS))
_MOST: Final = float(_SHAPES[-1])


def p99(one: Serving, rho: ArrayLike, v: ArrayLike, execution: Execution) -> Floats:
    """Predicted 99th percentile in seconds: fixed + L(B)·stretch + k·(what others add at most).

    That is W99 one at a time, and TAIL standard deviations of the execution side by side.

    Args:
        one: the copy.
        rho: duty of its device.
        v: second moment of its device.
        execution: of the device's type.
    """
    waited = wait(rho, v)
    if execution is Execution.SHARED:
        told = np.minimum(waited / np.log(_held(rho) / QUANTILE), _SHAPED[1])
        waited = np.where(np.isinf(waited), np.inf, TAIL * deviation(one.longest, rho, told))
    spent = fixed(one, rho, execution) + one.longest * stretch(rho, execution)
    return np.asarray(spent + one.k * waited)


def slack(slo: Numbers, one: Serving, rho: ArrayLike, execution: Execution) -> Floats:
    """The seconds that W99 may take at a duty of at most rho: sigma; below 0 it is missed.

    A device of duty rho keeps the objectives of all tenants where `wait(rho, v) <= min(slack)`.
    Side by side it is infinite for whom no amount of work beside it delays too much: executions
    that are short for their objective. `slo` is in seconds.
    """
    spent = fixed(one, rho, execution) + one.longest * stretch(rho, execution)
    left = np.asarray((slo - spent) / np.asarray(one.k), dtype=np.float64)
    if execution is Execution.EXCLUSIVE:
        return left
    held, x = _held(rho), np.maximum(one.longest, _INSTANT)
    shape = np.square(np.maximum(left, 0.0) / TAIL * (1.0 - held) / x) / (2.0 * held)
    w = np.where(shape < _MOST, np.interp(shape, _SHAPES, _POINTS) * x, np.inf)
    return np.where(left > 0, w * np.log(held / QUANTILE), left)
