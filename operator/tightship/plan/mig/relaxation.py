"""The least cost of covering demands with fractions of columns: a linear programme, solved here.

Planning has few rows (a model or a kind of slice each) and some thousand columns, for which the
dual simplex method with a dense basis is short and takes milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_TOLERANCE = 1e-9
_PIVOTS = 5000
"""More than any programme of this size takes; reached only if pivots go round in circles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """The least cost, how much of each column (n) it takes, and the price of each row (m)."""

    value: float
    amounts: Array
    prices: Array


def relax(cost: Array, matrix: Array, needed: Array) -> Relaxed | None:
    """Minimises `cost @ x` for `matrix @ x >= needed`, `x >= 0`; None when no x does.

    `cost` (n) must not be negative: then no column at all is the start of the dual simplex method
    (Lemke 1954), which makes one row after the other true and keeps all prices right. Raises
    ArithmeticError if it does not end.
    """
    rows, columns = matrix.shape
    tableau = np.asfortranarray(np.hstack([-matrix, np.eye(rows)]))
    costs = np.concatenate([cost, np.zeros(rows)])
    basis = np.arange(columns, columns + rows)
    for _ in range(_PIVOTS):
        inverse = np.linalg.inv(tableau[:, basis])
        values = inverse @ -needed
        prices = costs[basis] @ inverse
        leaving = int(np.argmin(values))
        if values[leaving] >= -_TOLERANCE:
            amounts = np.zeros(columns + rows)
            amounts[basis] = values
            value = float(costs[basis] @ values)
            return Relaxed(value=value, amounts=amounts[:columns], prices=-prices)
        entering = _entering(inverse[leaving] @ tableau, costs - prices @ tableau)
        if entering is None:
            return None
        basis[leaving] = entering
    raise ArithmeticError(f"no end after {_PIVOTS} pivots of {rows} rows and {columns} columns")


def _entering(line: Array, reduced: Array) -> int | None:
    """The column that may enter: the least reduced cost by element, the largest element of ties."""
    able = np.flatnonzero(line < -_TOLERANCE)
    if not len(able):
        return None
    ratio = np.maximum(reduced[able], 0) / -line[able]
    ties = np.flatnonzero(ratio <= ratio.min() + 1e-12)
    return int(able[ties[np.argmin(line[able][ties])]])
