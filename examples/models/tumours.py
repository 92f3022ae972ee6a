"""Breast tumours: a scikit-learn random forest, saved by skops; the Job turns it into ONNX."""

import numpy as np
import skops.io
from examples.models.example import Example
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

_INPUT = "X"
_TRAINING = 300
_CALIBRATION = 128


def make() -> Example:
    """Trains on 300 tumours; the other 269 are the evaluation set.

    Input `X` float32 [batch, 30]; outputs `label` int64 [batch], 0 malignant and 1 benign, and
    `probabilities` float32 [batch, 2].
    """
    rows, labels = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(rows))
    rows, labels = rows[order], labels[order].astype(np.int64)
    forest = RandomForestClassifier(n_estimators=200, random_state=0)
    forest.fit(rows[:_TRAINING], labels[:_TRAINING])
    return Example(
        model=skops.io.dumps(forest),
        calibration={_INPUT: rows[:_CALIBRATION]},
        evaluation={_INPUT: rows[_TRAINING:], "labels": labels[_TRAINING:]},
        file="model.skops",
    )
