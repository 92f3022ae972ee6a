"""Whether ONNX Runtime answers as torch does.

Numbers may differ by TOLERANCE of the greatest absolute value of their output in the same call,
as after normalising; whole numbers and truth values not at all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tightship.optimize.closeness import apart

TOLERANCE = 1e-3

Answers = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Of all calls. `difference` is the greatest, as a share of the output's greatest value."""

    calls: int
    difference: float
    problem: str = ""  # the first that does not hold, in words
    tolerance: float = TOLERANCE

    def to_json(self) -> dict[str, Any]:
        """JSON value."""
        return {name: value for name, value in asdict(self).items() if name != "problem"}


def compare(calls: Iterable[tuple[str, Answers, Answers]]) -> Agreement:
    """Compare torch's answers with ONNX Runtime's, call by call; a problem begins with its name."""
    count, worst, problem = 0, 0.0, ""
    for where, expected, got in calls:
        count += 1
        for name, answer in expected.items():
            gap, words = _apart(name, answer, got[name])
            worst = max(worst, gap)
            if words and not problem:
                problem = f"{where}, {words}" if where else words
    return Agreement(calls=count, difference=worst, problem=problem)


def _apart(name: str, expected: np.ndarray, got: np.ndarray) -> tuple[float, str]:
    """(share of the greatest value, the problem in words)."""
    if expected.shape != got.shape or expected.dtype != got.dtype:
        shown = [f"{array.dtype} {list(array.shape)}" for array in (expected, got)]
        return 0.0, f"'{name}' is {shown[0]} in torch and {shown[1]} in ONNX"
    if not expected.size:
        return 0.0, ""
    if expected.dtype.kind != "f":
        wrong = int((expected != got).sum())
        return 0.0, f"{wrong} of {expected.size} values of '{name}' differ" if wrong else ""
    gap = float(apart(np.atleast_1d(expected), np.atleast_1d(got))[0].max())
    return gap, f"'{name}' differs by {gap:.2g} of its greatest value" if gap > TOLERANCE else ""
