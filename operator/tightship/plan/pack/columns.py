"""Models as arrays: one row a model, sorted by name, and their curves on one type of device."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tightship.plan.pack.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from tightship.plan.pack.demand import DeviceType, Model

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]

_ABSENT = Profile(memory=0)
_Number = TypeVar("_Number", np.float64, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """The models' own figures; units as in `Model`."""

    names: tuple[str, ...]
    rate: Floats
    slo: Floats
    cv: Floats
    network: Floats
    min_copies: Integers
    max_copies: Integers
    priority: Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """L(b) of every model on one type of device, and which models may be there at all.

    `batches`, `seconds` and `slopes` are models by points; what a curve lacks of the longest is
    filled with batches that are never reached.
    """

    batches: Floats
    seconds: Floats
    slopes: Floats
    max_batch: Floats
    memory: Floats
    load_seconds: Floats
    suited: Flags
    measured: Flags

    def at(self, batch: Floats, rows: Integers) -> Floats:
        """L in seconds of the models in `rows` at a batch each."""
        starts = self.batches[rows]
        point = np.maximum(np.count_nonzero(starts <= batch[:, None], axis=1) - 1, 0)
        each = np.arange(len(rows))
        beyond = np.maximum(batch - starts[each, point], 0.0)
        return np.asarray(self.seconds[rows, point] + beyond * self.slopes[rows, point])


def columns(models: Iterable[Model]) -> tuple[tuple[Model, ...], Columns]:
    """The models sorted by name, and their figures.

    Raises:
        ValueError: two models share a name.
    """
    ordered = tuple(sorted(models, key=attrgetter("name")))
    names = tuple(map(attrgetter("name"), ordered))
    if len(set(names)) != len(names):
        twice = next(a for a, b in pairwise(names) if a == b)
        raise ValueError(f"two models are named {twice}: a plan tells them apart by name")
    return ordered, Columns(
        names=names,
        rate=_column(ordered, "rate", np.float64),
        slo=_column(ordered, "slo", np.float64),
        cv=_column(ordered, "cv", np.float64),
        network=_column(ordered, "network", np.float64),
        min_copies=_column(ordered, "min_copies", np.int64),
        max_copies=_column(ordered, "max_copies", np.int64),
        priority=_column(ordered, "priority", np.int64),
    )


def curves(models: Sequence[Model], kind: DeviceType) -> Curves:
    """The curves of the models on a type of device."""
    profiles = [model.profiles.get(kind.name, _ABSENT) for model in models]
    counts = np.fromiter((len(one.batches) for one in profiles), np.int64, len(profiles))
    batches = _padded([one.batches for one in profiles], counts)
    seconds = _padded([one.seconds for one in profiles], counts)
    seconds *= _column(profiles, "correction", np.float64)[:, None]
    memory = _column(profiles, "memory", np.float64)
    suited = memory <= kind.memory
    suited &= np.fromiter((one is not _ABSENT for one in profiles), np.bool_, len(profiles))
    if kind.taints:
        suited &= np.array([kind.taints <= model.tolerations for model in models], dtype=np.bool_)
    return Curves(
        batches=batches,
        seconds=seconds,
        slopes=_slopes(batches, seconds),
        max_batch=_column(profiles, "max_batch", np.float64),
        memory=memory,
        load_seconds=_column(profiles, "load_seconds", np.float64),
        suited=suited,
        measured=counts > 0,
    )


def _column(rows: Sequence[object], name: str, kind: type[_Number]) -> NDArray[_Number]:
    """One attribute of all rows."""
    return np.fromiter(map(attrgetter(name), rows), kind, len(rows))


def _padded(rows: Sequence[Sequence[float]], counts: Integers) -> Floats:
    """Rows of different lengths as one array, infinite where a row has ended."""
    width = max(1, int(counts.max(initial=0)))
    filled = np.full((len(rows), width), np.inf)
    filled[np.arange(width) < counts[:, None]] = np.fromiter(
        chain.from_iterable(rows), dtype=np.float64, count=int(counts.sum())
    )
    return filled


def _slopes(batches: Floats, seconds: Floats) -> Floats:
    """Seconds a sample from each point on; the last point goes on as the one before."""
    slopes = np.zeros_like(seconds)
    known = np.isfinite(batches[:, 1:])
    with np.errstate(invalid="ignore"):
        steps = np.diff(seconds, axis=1) / np.diff(batches, axis=1)
    slopes[:, :-1] = np.where(known, steps, 0.0)
    last = np.maximum(np.count_nonzero(np.isfinite(batches), axis=1) - 1, 0)
    rows = np.arange(len(slopes))
    slopes[rows, last] = np.where(last > 0, slopes[rows, np.maximum(last - 1, 0)], 0.0)
    return slopes
