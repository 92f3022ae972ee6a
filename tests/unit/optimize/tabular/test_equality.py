"""What counts as the same answer of two models."""

import numpy as np
import pytest

from tightship.optimize.tabular import equality

ONES = np.ones(3)
TWO = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])

EQUAL = {
    "the same": ({"probabilities": TWO}, {"probabilities": TWO}),
    "rounded": ({"prediction": ONES}, {"prediction": ONES.astype(np.float32) + 5e-5}),
    "another shape of one number": ({"prediction": ONES}, {"prediction": ONES[:, np.newaxis]}),
    "text labels": (
        {"label": np.array(["a", "b", "c"])},
        {"label": np.array(["a", "b", "c"], object)},
    ),
    "one score for two classes": (
        {"scores": np.array([[1.0], [-1.0]])},
        {"scores": np.array([[-1.0, 1.0], [1.0, -1.0]])},
    ),
    "both not a number": ({"x": np.array([[np.nan, 1]])}, {"x": np.array([[np.nan, 1]])}),
    "both infinite": ({"x": np.array([[np.inf, 1]])}, {"x": np.array([[np.inf, 1]])}),
    "all zero": ({"x": np.zeros((2, 2))}, {"x": np.zeros((2, 2))}),
}

DIFFERENT = {
    "a number": ({"x": np.array([1.0, 2.0])}, {"x": np.array([1.0, 2.001])}, (0, 1)),
    "not a number": ({"x": np.array([1.0, 2.0])}, {"x": np.array([1.0, np.nan])}, (0, 1)),
    "infinite": ({"x": np.array([1.0, np.inf])}, {"x": np.array([1.0, 9.0])}, (0, 1)),
    "a label": ({"label": np.array([0, 1])}, {"label": np.array([0, 0])}, (1, 0)),
    "a label that is sure": (
        {"label": np.array([0]), "probabilities": np.array([[0.9, 0.1]])},
        {"label": np.array([1]), "probabilities": np.array([[0.9, 0.1]])},
        (1, 0),
    ),
    "another number of columns": (
        {"x": np.ones((2, 3))},
        {"x": np.ones((2, 2))},
        (0, 2),
    ),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal(name: str) -> None:
    found = equality.compare(*EQUAL[name])
    assert found.holds, found


@pytest.mark.parametrize("name", DIFFERENT)
def test_different(name: str) -> None:
    expected, got, counts = DIFFERENT[name]
    found = equality.compare(expected, got)
    assert not found.holds
    assert (found.labels_differing, found.numbers_differing) == counts


def test_a_tie_is_counted_and_allowed() -> None:
    expected = {"label": np.array([0]), "probabilities": np.array([[0.5, 0.5]])}
    got = {"label": np.array([1]), "probabilities": np.array([[0.49999999, 0.50000001]])}
    found = equality.compare(expected, got)
    assert found.holds
    assert found.ties == 1
