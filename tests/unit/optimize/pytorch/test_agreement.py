"""When ONNX Runtime's answers count as torch's."""

import numpy as np
import pytest

from tightship.optimize.pytorch import agreement

ONE = np.array([[1.0, -4.0], [2.0, 0.5]], np.float32)
TABLE = {
    "equal": (ONE, ONE, ""),
    "rounding": (ONE, ONE + np.float32(1e-5), ""),
    "not finite": (np.array([np.nan, np.inf, 1]), np.array([np.nan, np.inf, 1]), ""),
    "one NaN": (np.array([np.nan, 1]), np.array([0.0, 1]), "differs by 1e+09"),
    "off": (ONE, ONE + np.float32(0.4), "differs by 0.1 of its greatest value"),
    "whole numbers": (np.arange(4), np.array([0, 1, 2, 4]), "1 of 4 values of 'y' differ"),
    "truth": (np.array([True]), np.array([False]), "1 of 1 values"),
    "shape": (ONE, ONE[:1], "float32 [2, 2] in torch and float32 [1, 2] in ONNX"),
    "type": (ONE, ONE.astype(np.float64), "float64 [2, 2] in ONNX"),
    "a number": (np.array(1.0), np.array(1.0), ""),
    "nothing": (ONE[:0], ONE[:0], ""),
}


@pytest.mark.parametrize("name", TABLE)
def test_answers(name: str) -> None:
    expected, got, words = TABLE[name]
    found = agreement.compare([("", {"y": expected}, {"y": got})])
    assert bool(found.problem) == bool(words)
    assert words in found.problem


def test_the_worst_call_and_the_first_problem_are_kept() -> None:
    calls = [("", 0.0), ("alone", 0.4), ("halved", 0.8)]
    found = agreement.compare(
        (where, {"y": ONE}, {"y": ONE + np.float32(off)}) for where, off in calls
    )
    assert found.calls == 3
    assert found.difference == pytest.approx(0.2)
    assert found.problem == "alone, 'y' differs by 0.1 of its greatest value"
    assert found.to_json() == {"calls": 3, "difference": found.difference, "tolerance": 1e-3}
