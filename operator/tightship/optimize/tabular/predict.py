"""What a scikit-learn estimator answers, under the names that its ONNX model's outputs get."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor

from tightship.optimize.failures import Reason, RefusalError

LABEL = "label"
_MATRIX = 2
_WORDS = 300


@dataclass(frozen=True, slots=True)
class Predictor:
    """An estimator's outputs. `method` gives the numbers: all that a timed call asks for."""

    estimator: Any
    names: tuple[str, ...]
    method: str
    scores: bool = False  # there are no probabilities, but values of a decision function

    def __call__(self, rows: Any) -> dict[str, np.ndarray]:  # noqa: ANN401 (scikit-learn's inputs)
        """Outputs by name, [n] of labels and [n, k] of numbers.

        Raises:
            RefusalError: the estimator fails on these rows.
        """
        try:
            found = {self.names[-1]: self.numbers(rows)}
            if LABEL in self.names:
                found[LABEL] = np.asarray(self.estimator.predict(rows)).reshape(-1)
        except RefusalError:
            raise
        except Exception as error:
            words = " ".join(f"{type(error).__name__}: {error}".split())[:_WORDS]
            raise RefusalError(
                Reason.UNSUPPORTED_MODEL,
                f"scikit-learn's own {type(self.estimator).__name__} fails on rows of the shape "
                f"that it was fitted on: {words}. Fit and save it again.",
            ) from error
        return found

    def numbers(self, rows: Any) -> np.ndarray:  # noqa: ANN401 (scikit-learn's inputs)
        """The numeric answer, [n, k]; the label where there is nothing else."""
        found = getattr(self.estimator, self.method)(rows)
        if isinstance(found, list):
            raise RefusalError(
                Reason.UNSUPPORTED_MODEL,
                "The model gives several answers for each row. Save one estimator for each.",
            )
        array = np.asarray(found.todense() if hasattr(found, "todense") else found)
        if array.dtype.kind not in "fiub":
            return array.reshape(-1)
        return array.reshape(len(array), -1) if array.ndim != _MATRIX else array


def predictor(estimator: Any) -> Predictor:  # noqa: ANN401 (any estimator)
    """How to ask the estimator.

    Raises:
        RefusalError: it neither predicts nor transforms.
    """
    if is_classifier(estimator):
        if hasattr(estimator, "predict_proba"):
            return Predictor(estimator, (LABEL, "probabilities"), "predict_proba")
        if hasattr(estimator, "decision_function"):
            return Predictor(estimator, (LABEL, "scores"), "decision_function", scores=True)
    elif is_regressor(estimator):
        return Predictor(estimator, ("prediction",), "predict")
    elif is_outlier_detector(estimator) and hasattr(estimator, "decision_function"):
        return Predictor(estimator, (LABEL, "scores"), "decision_function")
    elif is_clusterer(estimator) and hasattr(estimator, "predict"):
        return Predictor(estimator, (LABEL, "scores"), "transform")
    elif hasattr(estimator, "transform"):
        return Predictor(estimator, ("transformed",), "transform")
    raise RefusalError(
        Reason.UNSUPPORTED_MODEL,
        f"A {type(estimator).__name__} gives neither probabilities, scores, predictions nor "
        "transformed rows for new data. Save one that does.",
    )
