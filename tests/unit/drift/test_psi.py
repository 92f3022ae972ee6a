"""PSI: known values, its properties, and how often chance alone passes the bound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.drift.histogram import histogram
from tightship.drift.psi import CONFIDENCE, chance, psi

COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=12).filter(any)


def test_the_sum_by_hand() -> None:
    # Shares 0.2/0.8 and 0.6/0.4: 0.4 ln 3 - 0.4 ln 0.5; a million values leave no smoothing.
    found = psi([200_000, 800_000], [600_000, 400_000])
    assert found == pytest.approx(0.4 * np.log(3) + 0.4 * np.log(2), rel=1e-4)


@given(COUNTS)
def test_equal_counts_have_none(counts: list[int]) -> None:
    assert psi(counts, counts) == pytest.approx(0, abs=1e-12)


@given(st.data())
def test_it_is_symmetric_and_never_negative(data: st.DataObject) -> None:
    one = data.draw(COUNTS)
    same_length = st.lists(st.integers(0, 500), min_size=len(one), max_size=len(one))
    other = data.draw(same_length.filter(any))
    assert psi(one, other) == pytest.approx(psi(other, one))
    assert psi(one, other) >= -1e-12


def test_an_empty_bin_counts_for_what_its_side_can_show() -> None:
    few = psi([50, 50], [10, 0])
    many = psi([5000, 5000], [1000, 0])
    assert 0 < few < many < 10


@pytest.mark.parametrize(("one", "other"), [([1, 2], [1]), ([0, 0], [1, 1]), ([1, 1], [0, 0])])
def test_sides_that_cannot_be_compared_are_refused(one: list[int], other: list[int]) -> None:
    with pytest.raises(ValueError, match="both sides"):
        psi(one, other)


def test_chance_is_the_quantile_of_chi_square() -> None:
    # 9 degrees of freedom, 0.999: 27.877 (table), times 1/1000 + 1/1000.
    found = chance([100] * 10, [100] * 10, features=1, confidence=0.999)
    assert found == pytest.approx(27.877 * 0.002, rel=0.01)


@pytest.mark.parametrize(("samples", "live"), [(100, 100), (256, 500), (2000, 500)])
def test_chance_alone_seldom_passes_the_bound(samples: int, live: int) -> None:
    """400 comparisons of a distribution with itself at 1 in 10,000."""
    draw = np.random.default_rng(7)
    passed = 0
    for _ in range(400):
        reference = histogram("x", draw.normal(size=samples))
        counts = reference.place(draw.normal(size=live)).tolist()
        bound = chance(reference.counts, counts, features=1, confidence=CONFIDENCE)
        passed += psi(reference.counts, counts) > bound
    assert passed <= 1


def test_more_features_need_more() -> None:
    counts = [50] * 10
    assert chance(counts, counts, features=100) > chance(counts, counts, features=1)


def test_one_bin_shows_nothing() -> None:
    assert chance([100, 0], [50, 0], features=3) == 0
    assert psi([100, 0], [50, 0]) == 0
