"""The trees in a scikit-learn model: that their indices stay inside, and where they split."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import Tree

from tightship.optimize.failures import Reason, RefusalError

_LEAF = -1
_DEPTH = 32  # of estimators in estimators


def parts(estimator: object, depth: int = 0) -> Iterator[object]:
    """The estimator and whatever it is made of, trees included."""
    if depth > _DEPTH:
        return
    yield estimator
    if isinstance(estimator, BaseEstimator):
        for value in vars(estimator).values():
            yield from _inside(value, depth + 1)


def _inside(value: object, depth: int) -> Iterator[object]:
    if isinstance(value, BaseEstimator | Tree | TreePredictor):
        yield from parts(value, depth)
    elif depth <= _DEPTH and isinstance(value, dict):
        for item in value.values():
            yield from _inside(item, depth + 1)
    elif depth <= _DEPTH and _holds_objects(value):
        for item in value:  # type: ignore[attr-defined] # a list, a tuple or an array
            yield from _inside(item, depth + 1)


def _holds_objects(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return bool(value.dtype.hasobject) and value.ndim > 0
    return isinstance(value, list | tuple)


def check(estimator: object) -> None:
    """Indices of all trees lead down and stay inside; scikit-learn follows them unchecked.

    Raises:
        RefusalError: they do not.
    """
    for part in parts(estimator):
        if isinstance(part, Tree):
            left, right, feature = part.children_left, part.children_right, part.feature
            width = part.n_features
            leaf = left == _LEAF
            leaf_is_whole = bool(np.array_equal(leaf, right == _LEAF))
        elif isinstance(part, TreePredictor):
            nodes = part.nodes
            left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
            feature, leaf = nodes["feature_idx"].astype(np.int64), nodes["is_leaf"] != 0
            width, leaf_is_whole = _width(estimator), True
        else:
            continue
        inner = np.flatnonzero(~leaf)
        if not leaf_is_whole or not len(leaf) or not _inner(left, right, feature, inner, width):
            raise RefusalError(
                Reason.UNSAFE_MODEL,
                "A tree of the model has indices that lead out of it or back. Save the model "
                "again from the program that trained it.",
            )


def _width(estimator: object) -> int:
    """Columns that a gradient boosting's trees may name: as many as the widest part takes."""
    known = (getattr(part, "n_features_in_", 0) for part in parts(estimator))
    return max((int(count) for count in known), default=0)


def _inner(
    left: np.ndarray, right: np.ndarray, feature: np.ndarray, inner: np.ndarray, width: int
) -> bool:
    """Children come later than their parent, as both builders of scikit-learn place them."""
    down = all(
        bool((side[inner] > inner).all() and (side[inner] < len(side)).all())
        for side in (left, right)
    )
    return down and bool(((feature[inner] >= 0) & (feature[inner] < width)).all())


def histogram(estimator: object) -> bool:
    """Whether a part of it is a histogram tree."""
    return any(isinstance(part, TreePredictor) for part in parts(estimator))


def lower_thresholds(estimator: object) -> None:
    """Make each threshold of a histogram tree the next float32 at or below it, in place.

    x <= t is the same as x <= floor32(t) for every x of float32. skl2onnx rounds to the nearest,
    which is right for data of float64 that lie on a threshold: both are rounded alike. Trees of
    other kinds take their rows as float32 anyway, and skl2onnx lowers their thresholds itself.
    """
    for part in parts(estimator):
        if isinstance(part, TreePredictor):
            exact = part.nodes["num_threshold"]
            with np.errstate(over="ignore"):
                rounded = exact.astype(np.float32)
            lower = np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)
            part.nodes["num_threshold"] = lower


def thresholds(part: object) -> Iterator[tuple[int, float]]:
    """(column, threshold) of every split of one tree."""
    if isinstance(part, Tree):
        inner = part.children_left != _LEAF
        yield from zip(part.feature[inner].tolist(), part.threshold[inner].tolist(), strict=True)
    elif isinstance(part, TreePredictor):
        nodes: Any = part.nodes[part.nodes["is_leaf"] == 0]
        columns, values = nodes["feature_idx"].tolist(), nodes["num_threshold"].tolist()
        yield from zip(columns, values, strict=True)
