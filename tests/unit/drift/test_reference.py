"""What is counted of tensors, and that live values fall where the reference's did."""

import numpy as np
import pytest

from tightship.drift.features import Form, features, form_of
from tightship.drift.histogram import BINS, Histogram, histogram
from tightship.drift.psi import psi
from tightship.drift.reference import FEATURES_MAX, Column, Reference, reference

DRAW = np.random.default_rng(3)
ROWS = DRAW.normal(size=(200, 4)).astype(np.float32)
SCORES = DRAW.normal(size=(200, 3)).astype(np.float32)


def _column(name: str, rows: np.ndarray, *, fixed: bool = True) -> Column:
    return Column(name=name, rows=rows, fixed=fixed)


def _made(inputs: list[Column], outputs: list[Column]) -> Reference:
    made = reference(inputs, outputs)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("rows", "fixed", "form"),
    [
        (np.zeros((3, 4)), True, Form.ELEMENTS),
        (np.zeros((3, 4)), False, Form.SUMMARY),
        (np.zeros((3, 8, 8)), True, Form.ELEMENTS),
        (np.zeros((3, 65)), True, Form.SUMMARY),
        (np.array([["a"], ["b"]]), True, Form.TEXT),
        (np.array([[b"a"], [b"b"]]), False, Form.TEXT),
    ],
)
def test_the_form_of_a_tensor(rows: np.ndarray, form: Form, *, fixed: bool) -> None:
    assert form_of(rows, fixed=fixed) is form


def test_features_of_each_form() -> None:
    few = features("x", np.array([[1, 5, 2]]), Form.ELEMENTS, classes=True)
    assert {name: column.tolist() for name, column in few.items()} == {
        "x[0]": [1], "x[1]": [5], "x[2]": [2], "x.class": [1],
    }  # fmt: skip
    assert list(features("x", np.array([7]), Form.ELEMENTS)) == ["x"]
    many = features("ids", np.array([[0, 2, 4, 0]]), Form.SUMMARY)
    assert {name: column.item() for name, column in many.items()} == {
        "ids.size": 4,
        "ids.mean": 1.5,
        "ids.std": pytest.approx(1.658, abs=1e-3),
        "ids.min": 0,
        "ids.max": 4,
        "ids.zeros": 0.5,
    }
    text = features("t", np.array([["é", "abc"]]), Form.TEXT)
    assert {name: column.item() for name, column in text.items()} == {
        "t.strings": 2,
        "t.length": 2.5,
    }
    assert features("x", np.zeros((1, 0)), Form.SUMMARY)["x.size"].item() == 0


@pytest.mark.parametrize(
    ("column", "edges", "values"),
    [
        (DRAW.normal(size=500), BINS - 1, 0),
        (np.repeat([0.0, 1.0, 2.0], 50), 0, 3),
        (np.concatenate([np.zeros(900), DRAW.uniform(size=100)]), BINS - 1, 0),
        (np.full(5, np.nan), 0, 0),
    ],
)
def test_bins_follow_the_values(column: np.ndarray, edges: int, values: int) -> None:
    made = histogram("x", column)
    assert (len(made.edges), len(made.values)) == (edges, values)
    assert sum(made.counts) == len(column)
    assert made.place(column).tolist() == list(made.counts)


def test_values_of_six_digits_fall_into_the_bins_of_the_exact_ones() -> None:
    exact = np.repeat([0.123456789, 1234567.89, -3.3333333333], 10)
    made = histogram("x", exact)
    traced = np.array([float(f"{value:.6g}") for value in exact])
    assert made.place(traced).tolist() == list(made.counts)


def test_what_is_not_finite_or_not_known_has_a_bin_of_its_own() -> None:
    known = histogram("x", np.array([1.0, 2.0]))
    assert known.place(np.array([1.0, 3.0, np.nan, -np.inf])).tolist() == [1, 0, 3]
    wide = histogram("x", np.arange(100.0))
    assert wide.place(np.array([-1e9, 1e9, np.inf])).tolist() == [1, *[0] * 8, 1, 1]


def test_a_reference_survives_its_file() -> None:
    made = _made([_column("x", ROWS)], [_column("y", SCORES)])
    assert Reference.from_json(made.to_json()) == made
    names = [each.name for each in made.histograms]
    assert names[0] == "out/y.class"
    assert sorted(names[1:]) == sorted(
        [*(f"in/x[{i}]" for i in range(4)), *(f"out/y[{i}]" for i in range(3))]
    )
    assert made.samples == 200


def test_features_are_bounded() -> None:
    inputs = [_column(f"x{i}", np.zeros((2, 60))) for i in range(5)]
    made = _made(inputs, [_column("y", SCORES[:2])])
    assert len(made.histograms) == FEATURES_MAX
    assert made.left_out == 5 * 60 + 3 + 1 - FEATURES_MAX
    assert made.histograms[0].name == "out/y.class"


def test_large_samples_are_summarised_in_parts() -> None:
    images = DRAW.uniform(size=(40, 3, 250, 250)).astype(np.float32)
    made = _made([_column("x", images)], [])
    assert made.tensors[0].size == 3 * 250 * 250
    assert sum(made.histograms[0].counts) == 40


def test_without_samples_there_is_none() -> None:
    assert reference([], []) is None
    assert reference([_column("x", np.zeros((0, 3)))], []) is None


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"schema": 2}', '{"schema": 1, "samples": 3}', "no JSON"],
)
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Reference.from_json(text)


def test_bins_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Histogram.from_json({"name": "x", "edges": [1.0], "counts": [1, 2]})


@pytest.mark.parametrize(
    ("shifted", "drifted"), [(0.0, False), (0.2, False), (1.0, True), (5.0, True)]
)
def test_a_shift_shows(shifted: float, *, drifted: bool) -> None:
    made = histogram("x", np.random.default_rng(1).normal(size=1000))
    live = np.random.default_rng(2).normal(size=500) + shifted
    assert (psi(made.counts, made.place(live).tolist()) > 0.2) is drifted
