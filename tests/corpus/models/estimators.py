"""Fitted scikit-learn models on scikit-learn's own data sets, and rows to ask them with."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

_DESCRIBED = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")


@dataclass(frozen=True)
class Case:
    """A fitted model; `rows` as its ONNX model takes them, `given` as scikit-learn does."""

    estimator: Any
    rows: Mapping[str, np.ndarray]
    labels: np.ndarray
    given: Any
    metric: str = "accuracy"


def _matrix(estimator: Any, name: str, metric: str = "accuracy") -> Case:  # noqa: ANN401 (any)
    """Fitted on two thirds of the rows in a fixed order; the others are asked."""
    rows, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(rows))
    fitted, asked = np.split(order, [2 * len(order) // 3])
    estimator.fit(rows[fitted], labels[fitted])
    return Case(estimator, {"X": rows[asked]}, labels[asked], rows[asked], metric)


def sentences() -> tuple[list[str], np.ndarray]:
    """Sentences of the descriptions of six data sets, and which of them each is from."""
    texts: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(_DESCRIBED):
        description = getattr(datasets, f"load_{name}")().DESCR
        found = [" ".join(part.split()) for part in re.split(r"[.\n]\s*\n|\. ", description)]
        kept = [part for part in found if re.search(r"[A-Za-z]{3}", part)]
        texts += kept
        labels += [label] * len(kept)
    return texts, np.array(labels)


def _text(_: int) -> Case:
    texts, labels = sentences()
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2), LogisticRegression(max_iter=300)
    )
    model.fit(texts, labels)
    return Case(model, {"X": np.array(texts)[:, np.newaxis]}, labels, texts)


def frame() -> tuple[pd.DataFrame, np.ndarray]:
    """Wines with two columns of numbers, one of words and one of whole numbers."""
    rows, labels = datasets.load_wine(return_X_y=True)
    taken = pd.DataFrame(
        {
            "alcohol": rows[:, 0],
            "colour intensity": rows[:, 9],
            "hue": np.where(rows[:, 10] > 1.0, "red", np.where(rows[:, 10] > 0.8, "rosé", "brown")),
            "bottles": rows[:, 12].astype(np.int64) // 400,
        }
    )
    return taken, labels


def _columns(_: int) -> Case:
    taken, labels = frame()
    table = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["alcohol", "colour intensity"]),
            ("words", OneHotEncoder(handle_unknown="ignore"), ["hue", "bottles"]),
        ]
    )
    model = make_pipeline(table, LogisticRegression(max_iter=300))
    model.fit(taken, labels)
    rows = {str(name): taken[name].to_numpy()[:, np.newaxis] for name in taken}
    rows["hue"] = rows["hue"].astype(np.str_)
    return Case(model, rows, labels, taken)


CASES: dict[str, Callable[[int], Case]] = {
    "random-forest": lambda size: _matrix(
        RandomForestClassifier(10 * size, random_state=0), "breast_cancer"
    ),
    "random-forest-digits": lambda size: _matrix(
        RandomForestClassifier(10 * size, random_state=0), "digits"
    ),
    "gradient-boosting": lambda size: _matrix(
        GradientBoostingRegressor(n_estimators=10 * size, random_state=0), "diabetes", "rmse"
    ),
    "hist-gradient-boosting": lambda size: _matrix(
        HistGradientBoostingClassifier(max_iter=10 * size, random_state=0), "breast_cancer"
    ),
    "svm": lambda _: _matrix(make_pipeline(StandardScaler(), SVC(random_state=0)), "digits"),
    "logistic-regression": lambda _: _matrix(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)), "breast_cancer"
    ),
    "mlp": lambda _: _matrix(
        make_pipeline(StandardScaler(), MLPClassifier((64,), max_iter=300, random_state=0)),
        "digits",
    ),
    "text": _text,
    "columns": _columns,
}
"""By name: a function of the size, of which 10 is usual and 2 quick."""
