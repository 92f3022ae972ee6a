"""Whether a model answers each row of a batch as it answers the row alone: found by running it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnxruntime as ort

from tightship.optimize import runtime
from tightship.optimize.budget import Budget
from tightship.optimize.closeness import apart
from tightship.optimize.contract import ROWS_INTERACT, Contract

_ROW_TOLERANCE = 0.02  # of the largest absolute answer; another batch size rounds differently
_ROUNDING = 1e-6  # of answers that are all about zero

Feed = dict[str, np.ndarray]
Make = Callable[[int | None], Feed]
"""Inputs for a batch of so many rows; for None, inputs in exactly the model's own shapes."""


class NoFitError(ValueError):
    """These samples cannot be made into inputs of this kind."""


def batched(
    session: ort.InferenceSession, blank: Contract, make: Make, errors: list[str]
) -> Contract | None:
    """The contract with the greatest batch that was run, or the note that rows interact.

    None where these inputs do not run in batches, or the answers do not follow them. What the
    runtime said of inputs that it refused is added to `errors`.
    """
    both = attempt(session, make, 2, errors)
    if both is None or not _follows(both, 2):
        return None
    alone = _alone(session, make, both, errors)
    if alone is None:
        return None
    interact = replace(blank, notes=(ROWS_INTERACT,))
    if not alone or _differ(session, _varied(make), errors):
        return interact
    for size in (Budget().max_batch, 8):
        many = attempt(session, make, size, errors)
        if many is not None and _follows(many, size):
            same = all(close(few, some[:2]) for few, some in zip(both, many, strict=True))
            return replace(blank, max_batch=size) if same else interact
    return replace(blank, max_batch=2)


def _differ(session: ort.InferenceSession, make: Make, errors: list[str]) -> bool:
    """Whether a row of these inputs, which the model need not take, is answered otherwise alone."""
    both = attempt(session, make, 2, errors)
    return both is not None and _alone(session, make, both, errors) is False


def _alone(
    session: ort.InferenceSession, make: Make, both: list[np.ndarray], errors: list[str]
) -> bool | None:
    """Whether each of two rows is answered alone as beside the other; None: not as one row."""
    for row in (0, 1):  # steps of time in the batch's place change only the later ones
        alone = attempt(session, _row(make, row), 2, errors)
        if alone is None or not _follows(alone, 1):
            return None
        if not all(close(b[row : row + 1], one) for b, one in zip(both, alone, strict=True)):
            return False
    return True


def _varied(make: Make) -> Make:
    """Whole numbers and text that are alike in two rows made different: alike rows show nothing."""

    def varied(rows: int | None) -> Feed:
        return {name: _unlike(array) for name, array in make(rows).items()}

    return varied


def _unlike(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "f" or not np.array_equal(array[0], array[1]):
        return array
    changed = array.copy()
    if array.dtype == object:
        changed[1] = "b"
    else:
        changed[1] = not array[0].any()
    return changed


def _row(make: Make, row: int) -> Make:
    """One row of a batch, as a batch of its own."""
    return lambda rows: {name: array[row : row + 1] for name, array in make(rows).items()}


def attempt(
    session: ort.InferenceSession, make: Make, rows: int | None, errors: list[str]
) -> list[np.ndarray] | None:
    """The answers to a batch of so many rows; None where it cannot be made or run."""
    try:
        return [np.asarray(answer) for answer in session.run(None, make(rows))]
    except NoFitError:
        return None
    except Exception as error:  # noqa: BLE001 (ONNX Runtime's errors share no other base class)
        errors.append(runtime.brief(error))
        return None


def _follows(answers: list[np.ndarray], rows: int) -> bool:
    return all(answer.ndim and len(answer) == rows for answer in answers)


def close(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two answers are the same but for rounding."""
    if first.shape != second.shape:
        return False
    if first.dtype.kind not in "fiub":
        return bool(np.array_equal(first, second))
    gaps, scale = apart(np.atleast_1d(first), np.atleast_1d(second))
    return bool((gaps <= _ROW_TOLERANCE + _ROUNDING / scale).all())
