"""Copies of models on devices as arrays: what each is asked, and how its Triton is configured."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tenants:
    """K copies; each field is an array of K, `curves` one of (K, B). Times are seconds.

    Copies of one `model` share one stream of requests, of which `rate` requests/s are this copy's.
    A stream is a renewal process whose inter-arrival times are gamma distributed with coefficient
    of variation `cv`; 1 is Poisson. With `clients` it is a closed loop instead: so many clients,
    each of which asks again `pause` after its answer.
    """

    model: Ints
    device: Ints
    rate: Floats
    cv: Floats
    clients: Ints
    pause: Floats
    slo: Floats  # a request is good that is answered within it; inf: that is answered at all
    curves: Floats  # of a batch of b requests, alone on the device: column b - 1
    max_batch: Ints  # requests
    delay: Floats  # that a batch waits for more requests: max_queue_delay_microseconds
    instances: Ints  # count of the instance group
    queue: Ints  # max_queue_size: one more is refused; 0: no limit
    timeout: Floats  # default_timeout_microseconds with action REJECT; inf: none

    def __len__(self) -> int:
        return len(self.model)


def tenants(  # noqa: PLR0913 (a column each)
    *,
    rate: ArrayLike,
    slo: ArrayLike,
    curves: ArrayLike,
    device: ArrayLike = 0,
    model: ArrayLike | None = None,
    cv: ArrayLike = 1.0,
    clients: ArrayLike = 0,
    pause: ArrayLike = 0.0,
    max_batch: ArrayLike = 1,
    delay: ArrayLike = 0.0,
    instances: ArrayLike = 1,
    queue: ArrayLike = 0,
    timeout: ArrayLike = np.inf,
) -> Tenants:
    """Copies from arrays of K or numbers for all of them; without `model` each is one of its own.

    Raises:
        ValueError: there are none, a number is out of its range, or copies of one model disagree
            on its stream.
    """
    table = np.atleast_2d(np.asarray(curves, np.float64))
    columns = [rate, slo, device, cv, clients, pause, max_batch, delay, instances, queue, timeout]
    columns += [] if model is None else [model]
    count = np.broadcast_shapes((len(table),), *(np.shape(column) for column in columns))[0]
    if count == 0:
        raise ValueError("there are no copies; a simulation needs one")
    made = Tenants(
        model=_ints(np.arange(count) if model is None else model, count),
        device=_ints(device, count),
        rate=_floats(rate, count),
        cv=_floats(cv, count),
        clients=_ints(clients, count),
        pause=_floats(pause, count),
        slo=_floats(slo, count),
        curves=np.ascontiguousarray(np.broadcast_to(table, (count, table.shape[1]))),
        max_batch=_ints(max_batch, count),
        delay=_floats(delay, count),
        instances=_ints(instances, count),
        queue=_ints(queue, count),
        timeout=_floats(timeout, count),
    )
    _check(made)
    return made


def linear(alpha: ArrayLike, beta: ArrayLike, max_batch: ArrayLike) -> Floats:
    """Curves alpha + beta * b for b = 1 .. the largest `max_batch`, one row for each alpha."""
    sizes = np.arange(1, int(np.max(max_batch)) + 1)
    fixed, each = (np.atleast_1d(np.asarray(one, np.float64)) for one in (alpha, beta))
    return fixed[:, None] + each[:, None] * sizes


def rows(source: Tenants, chosen: Ints) -> Tenants:
    """The chosen copies, in that order."""
    return Tenants(**{one.name: getattr(source, one.name)[chosen] for one in fields(Tenants)})


def groups(numbers: Ints) -> Iterator[tuple[int, Ints]]:
    """Each number in ascending order with the places where it stands."""
    order = np.argsort(numbers, kind="stable")
    found, first = np.unique(numbers[order], return_index=True)
    yield from zip(found.tolist(), np.split(order, first[1:]), strict=True)


def _ints(values: ArrayLike, count: int) -> Ints:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, np.int64), count))


def _floats(values: ArrayLike, count: int) -> Floats:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, np.float64), count))


def _check(made: Tenants) -> None:
    closed = made.clients > 0
    unlimited = (made.queue == 0) & np.isinf(made.timeout)
    needs = {
        "model is 0 or more": made.model >= 0,
        "rate is finite and 0 or more": np.isfinite(made.rate) & (made.rate >= 0),
        "cv is above 0": made.cv > 0,
        "clients is 0 or more": made.clients >= 0,
        "a closed loop has no rate: it follows from the answers": ~closed | (made.rate == 0),
        "a closed loop has neither queue nor timeout": ~closed | unlimited,
        "pause is finite and 0 or more": np.isfinite(made.pause) & (made.pause >= 0),
        "slo is above 0": made.slo > 0,
        "every time of curves is finite and above 0": (
            np.isfinite(made.curves) & (made.curves > 0)
        ).all(axis=1),
        "max_batch is 1 up to the columns of curves": (made.max_batch >= 1)
        & (made.max_batch <= made.curves.shape[1]),
        "delay is finite and 0 or more": np.isfinite(made.delay) & (made.delay >= 0),
        "instances is 1 or more": made.instances >= 1,
        "queue is 0 or more": made.queue >= 0,
        "timeout is above 0": made.timeout > 0,
        "copies of one model have the same cv and slo, and a closed loop has one copy": _agree(
            made
        ),
    }
    for need, holds in needs.items():
        if not holds.all():
            raise ValueError(f"copy {int(np.argmin(holds))}: {need}")


def _agree(made: Tenants) -> NDArray[np.bool_]:
    _, first, of = np.unique(made.model, return_index=True, return_inverse=True)
    leader = first[of]
    alone = np.bincount(of)[of] == 1
    same = (made.cv == made.cv[leader]) & (made.slo == made.slo[leader])
    agree: NDArray[np.bool_] = alone | (same & (made.clients == 0))
    return agree
