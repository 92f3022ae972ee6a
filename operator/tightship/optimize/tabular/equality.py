"""Whether two models answer alike: scikit-learn's and ONNX Runtime's answers for the same rows.

Numbers may differ by TOLERANCE of the greatest absolute value of their output. Labels must be
equal, but for rows whose two best scores are closer than twice that: rounding decides these.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tightship.optimize.closeness import apart
from tightship.optimize.tabular.predict import LABEL

TOLERANCE = 1e-4
_BINARY = 2

Answers = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Equality:
    """What was found. `difference` is the greatest, as a share of the output's greatest value."""

    samples: int
    labels_differing: int
    ties: int  # labels that differ where rounding decides
    numbers_differing: int  # samples
    difference: float
    tolerance: float = TOLERANCE

    @property
    def holds(self) -> bool:
        """Whether the two are equal."""
        return not self.labels_differing and not self.numbers_differing

    def to_json(self) -> dict[str, Any]:
        """JSON value."""
        return asdict(self)


def compare(expected: Answers, got: Answers) -> Equality:
    """Compare answers by name, first axis the sample."""
    count = len(next(iter(expected.values())))
    numbers = [name for name in expected if name != LABEL]
    wrong, worst = np.zeros(count, bool), 0.0
    near = np.zeros(count, bool)
    for name in numbers:
        one, other = _aligned(expected[name], got[name])
        if one.shape != other.shape or one.dtype.kind not in "fiub":
            wrong |= ~_same(one, other, count)
            continue
        gap, scale = apart(one, other)
        wrong |= gap > TOLERANCE
        worst = max(worst, float(gap.max(initial=0.0)))
        near |= _margin(one) <= 2 * TOLERANCE * scale
    differing = np.zeros(count, bool)
    if LABEL in expected:
        differing = ~_same(expected[LABEL], got[LABEL], count)
    return Equality(
        samples=count,
        labels_differing=int((differing & ~near).sum()),
        ties=int((differing & near).sum()),
        numbers_differing=int(wrong.sum()),
        difference=worst,
    )


def _aligned(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn has one score for two classes, ONNX the second of two columns."""
    if one.ndim == other.ndim and one.shape[1:] == (1,) and other.shape[1:] == (_BINARY,):
        return one, other[:, 1:]
    return one, other.reshape(one.shape) if other.size == one.size else other


def _margin(scores: np.ndarray) -> np.ndarray:
    """How far the best score is from the next; of a single score, from 0."""
    scores = scores.reshape(len(scores), -1)
    if scores.shape[1] < _BINARY:
        return np.abs(scores[:, 0].astype(np.float64))
    ordered = np.sort(scores.astype(np.float64), axis=1)
    return ordered[:, -1] - ordered[:, -2]


def _same(one: np.ndarray, other: np.ndarray, count: int) -> np.ndarray:
    """Which samples' values are equal as text or as numbers."""
    if one.size != other.size:
        return np.zeros(count, bool)
    first, second = one.reshape(count, -1), other.reshape(count, -1)
    if "fiub".find(first.dtype.kind) < 0 or "fiub".find(second.dtype.kind) < 0:
        first, second = first.astype(np.str_), second.astype(np.str_)
    return np.asarray((first == second).all(axis=1))
