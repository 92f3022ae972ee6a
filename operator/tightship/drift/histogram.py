"""Histograms with fixed bins: made once of reference data, filled with live values later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

BINS = 10
"""Deciles: what PSI is customarily taken over. Values that are fewer have a bin each."""

_SAME = 1e-5  # relative; live values come with six significant digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Reference counts of one feature.

    Either `edges` (bins below, between and from the last edge on) or `values` (a bin for each); in
    both cases one more bin follows, for what is not finite or is none of the values.
    """

    name: str
    edges: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    counts: tuple[int, ...]

    def place(self, column: np.ndarray) -> np.ndarray:
        """Counts of the column's values in this histogram's bins."""
        finite = np.isfinite(column)
        last = len(self.counts) - 1
        places = np.full(len(column), last)
        if self.values:
            places[finite] = self._nearest(column[finite], last)
        else:
            places[finite] = np.searchsorted(self.edges, column[finite], side="right")
        return np.bincount(places, minlength=last + 1)

    def to_json(self) -> dict[str, Any]:
        """The JSON value of reference.json."""
        bins = {"values": list(self.values)} if self.values else {"edges": list(self.edges)}
        return {"name": self.name, **bins, "counts": list(self.counts)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Histogram:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: a field is missing, or the bins do not fit the counts.
        """
        try:
            edges = tuple(float(edge) for edge in raw.get("edges", ()))
            values = tuple(float(value) for value in raw.get("values", ()))
            counts = tuple(int(count) for count in raw["counts"])
            name = str(raw["name"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a histogram: {error}") from error
        if len(counts) != (len(values) + 1 if values else len(edges) + 2):
            raise ValueError(f"the bins of '{name}' do not fit its {len(counts)} counts")
        return cls(name=name, edges=edges, values=values, counts=counts)

    def _nearest(self, column: np.ndarray, other: int) -> np.ndarray:
        values = np.array(self.values)
        right = np.searchsorted(values, column).clip(0, len(values) - 1)
        left = (right - 1).clip(0)
        closer = np.abs(values[left] - column) < np.abs(values[right] - column)
        nearest = np.where(closer, left, right)
        same = np.isclose(values[nearest], column, rtol=_SAME, atol=1e-12)
        return np.where(same, nearest, other)


def histogram(name: str, column: np.ndarray) -> Histogram:
    """The histogram of a feature's reference values.

    At most `BINS` distinct values get a bin each. Else edges are the deciles; where one value is so
    frequent that deciles coincide, those of the distinct values, so that the rest is not one bin.
    """
    finite = column[np.isfinite(column)]
    distinct = np.unique(_rounded(finite))
    edges = values = np.array([])
    if len(distinct) <= BINS:
        values, bins = distinct, len(distinct)
    else:
        edges = _deciles(finite)
        if len(edges) < BINS // 2:
            edges = _deciles(distinct)
        bins = len(edges) + 1
    blank = Histogram(
        name=name,
        edges=tuple(edges.tolist()),
        values=tuple(values.tolist()),
        counts=(0,) * (max(1, bins) + 1),
    )
    return replace(blank, counts=tuple(blank.place(column).tolist()))


def _deciles(column: np.ndarray) -> np.ndarray:
    return np.unique(_rounded(np.quantile(column, np.arange(1, BINS) / BINS)))


def _rounded(column: np.ndarray) -> np.ndarray:
    """Six significant digits, as live values have."""
    return np.array([float(f"{value:.6g}") for value in column])
