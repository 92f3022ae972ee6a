"""Which inputs a fitted estimator gets, and rows that are made up for them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.corpus.models import estimators

from tightship.optimize.failures import RefusalError
from tightship.optimize.tabular import synthetic, trees
from tightship.optimize.tabular.inputs import Form, layout

ROWS = np.arange(40.0).reshape(10, 4)
WORDS = np.array([["a", "x"], ["b", "y"]] * 5, dtype=object)
FRAME = pd.DataFrame({"n": ROWS[:, 0], "w": WORDS[:, 0], "k": np.arange(10), "unused": ROWS[:, 1]})
TARGET = np.arange(10.0)


def _table(*parts: tuple[str, Any, Any]) -> Any:  # noqa: ANN401 (scikit-learn has no types)
    return make_pipeline(ColumnTransformer(list(parts)), LinearRegression()).fit(FRAME, TARGET)


LAYOUTS: dict[str, tuple[Any, Form, dict[str, tuple[str, int]]]] = {
    "matrix": (LinearRegression().fit(ROWS, TARGET), Form.MATRIX, {"X": ("float32", 4)}),
    "frame of numbers": (
        LinearRegression().fit(FRAME[["n", "k"]], TARGET),
        Form.MATRIX,
        {"X": ("float32", 2)},
    ),
    "matrix of words": (
        make_pipeline(OneHotEncoder(), LinearRegression()).fit(WORDS, TARGET),
        Form.MATRIX,
        {"X": ("string", 2)},
    ),
    "text": (
        make_pipeline(CountVectorizer(token_pattern=".+"), LinearRegression()).fit(
            WORDS[:, 0], TARGET
        ),
        Form.TEXT,
        {"X": ("string", 1)},
    ),
    "text in a union": (
        Pipeline(
            [
                ("u", FeatureUnion([("a", CountVectorizer(token_pattern=".+"))])),
                ("l", LinearRegression()),
            ]
        ).fit(WORDS[:, 0], TARGET),
        Form.TEXT,
        {"X": ("string", 1)},
    ),
    "columns": (
        _table(("a", StandardScaler(), ["n"]), ("b", OneHotEncoder(), ["w", "k"])),
        Form.FRAME,
        {"n": ("float32", 1), "w": ("string", 1), "k": ("int64", 1)},
    ),
    "imputed columns": (
        _table(
            ("a", SimpleImputer(), ["n"]),
            (
                "b",
                make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
                ["w"],
            ),
        ),
        Form.FRAME,
        {"n": ("float32", 1), "w": ("string", 1)},
    ),
    "columns by number": (
        _table(("a", StandardScaler(), [0]), ("b", OneHotEncoder(), [1])),
        Form.FRAME,
        {"n": ("float32", 1), "w": ("string", 1), "k": ("float32", 1), "unused": ("float32", 1)},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_inputs(name: str) -> None:
    estimator, form, columns = LAYOUTS[name]
    found = layout(estimator, "float32")
    assert found.form is form
    assert {c.name: (c.dtype, c.width) for c in found.columns} == columns


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("name", LAYOUTS)
def test_made_up_rows_are_taken_by_scikit_learn(name: str) -> None:
    estimator, _, columns = LAYOUTS[name]
    found = layout(estimator, "float32")
    made = synthetic.rows(estimator, found, 20)
    again = synthetic.rows(estimator, found, 20)
    assert {n: a.shape for n, a in made.items()} == {n: (20, w) for n, (_, w) in columns.items()}
    assert all(np.array_equal(made[n], again[n]) for n in made)
    assert len(estimator.predict(found.rows(made))) == 20


def test_one_column_as_text_and_as_number_is_refused() -> None:
    frame = pd.DataFrame({"n": ["1", "2"] * 5})
    table = ColumnTransformer(
        [("a", OneHotEncoder(), ["n"]), ("b", StandardScaler(), ["n"])], remainder="drop"
    )
    with pytest.raises(RefusalError, match="read as text by one part"):
        layout(table.fit(frame), "float32")


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"Y": ROWS},
        {"X": ROWS[:, :3]},
        {"X": ROWS[:0]},
        {"X": ROWS.astype(np.str_)},
    ],
    ids=["none", "another name", "another width", "no rows", "text"],
)
def test_arrays_that_are_no_rows(arrays: dict[str, np.ndarray]) -> None:
    assert layout(LAYOUTS["matrix"][0], "float32").given(arrays) is None


def test_made_up_rows_lie_on_thresholds_and_beside_them() -> None:
    case = estimators.CASES["hist-gradient-boosting"](2)
    made = synthetic.rows(case.estimator, layout(case.estimator, "float32"), 400)["X"]
    found = {
        (column, np.float32(value))
        for part in trees.parts(case.estimator)
        for column, value in trees.thresholds(part)
    }
    on = sum((c, v) in found for c in range(made.shape[1]) for v in set(made[:, c].tolist()))
    assert on > len(found) / 2


def test_lowered_thresholds_send_every_float32_the_same_way() -> None:
    case = estimators.CASES["gradient-boosting"](2)
    model = HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=2)
    model.fit(np.round(case.given, 2), case.labels)
    rows = synthetic.rows(model, layout(model, "float32"), 300)["X"].astype(np.float64)
    before = model.predict(rows)
    trees.lower_thresholds(model)
    assert np.array_equal(model.predict(rows), before)
    values = [v for part in trees.parts(model) for _, v in trees.thresholds(part)]
    assert all(np.float32(value) == value for value in values)
