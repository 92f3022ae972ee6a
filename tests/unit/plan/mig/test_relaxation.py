from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from tightship.plan.mig.relaxation import relax

numbers = st.integers(-3, 6)


@st.composite
def programmes(draw: st.DrawFn) -> tuple[list[int], list[list[int]], list[int]]:
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    line = st.lists(numbers, min_size=columns, max_size=columns)
    cost = st.lists(st.integers(0, 5), min_size=columns, max_size=columns)
    matrix = draw(st.lists(line, min_size=rows, max_size=rows))
    return draw(cost), matrix, draw(st.lists(numbers, min_size=rows, max_size=rows))


@given(programmes())
def test_the_least_cost_is_that_of_another_solver(
    programme: tuple[list[int], list[list[int]], list[int]],
) -> None:
    cost, matrix, needed = (np.array(part, dtype=float) for part in programme)
    found = relax(cost, matrix, needed)
    oracle = linprog(cost, A_ub=-matrix, b_ub=-needed, method="highs")
    if found is None:
        assert oracle.status == 2  # infeasible
        return
    assert np.isclose(found.value, oracle.fun)
    assert (matrix @ found.amounts >= needed - 1e-6).all()
    assert (found.amounts >= -1e-6).all()
    assert np.isclose(cost @ found.amounts, found.value)


@given(programmes())
def test_prices_prove_that_no_less_is_enough(
    programme: tuple[list[int], list[list[int]], list[int]],
) -> None:
    cost, matrix, needed = (np.array(part, dtype=float) for part in programme)
    found = relax(cost, matrix, needed)
    if found is not None:
        assert (found.prices >= -1e-6).all()
        assert (found.prices @ matrix <= cost + 1e-6).all()
        assert np.isclose(found.prices @ needed, found.value)
