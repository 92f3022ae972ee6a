"""What a torch model takes, and which array of a data file is which of its arguments."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tightship.optimize.data import CHARSET, LABELS, Arrays, invalid
from tightship.optimize.failures import RefusalError

_PLAIN = "fiub"  # kinds of dtype that torch and Triton both have
Feed = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Argument:
    """One tensor that the model takes. `dtype` is numpy's name, None where the file has none."""

    name: str
    dtype: str | None = None
    optional: bool = False


class Form(StrEnum):
    """How samples become an input, in the order in which it is tried."""

    BATCH = "samples side by side"
    ONE = "a batch of one sample"
    WHOLE = "a sample alone"
    EXAMPLE = "the file's own example"


def assigned(
    arguments: Sequence[Argument], given: Arrays, what: str, real: str
) -> dict[str, np.ndarray]:
    """The arrays in the order of the arguments, by the names that the inputs get: the data's.

    Names decide where any of them is an argument's, else the order. `real` is the dtype of the
    model's own numbers.

    Raises:
        RefusalError: another number of arrays, other names, no samples, or text.
    """
    arrays = {name: array for name, array in given.items() if name not in (LABELS, CHARSET)}
    names = [argument.name for argument in arguments]
    least = sum(not argument.optional for argument in arguments)
    if not least <= len(arrays) <= len(names):
        raise _unlike(arrays, names, what)
    if set(names) & set(arrays):
        if set(arrays) != set(names[: len(arrays)]):
            raise _unlike(arrays, names, what)
        arrays = {name: arrays[name] for name in names[: len(arrays)]}
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or not max(lengths.values()):
        raise invalid(what, f"have arrays of different or no length: {lengths}.")
    pairs = zip(arguments, arrays.items(), strict=False)
    return {name: _cast(array, name, arg.dtype, what, real) for arg, (name, array) in pairs}


def _unlike(arrays: Arrays, names: Sequence[str], what: str) -> RefusalError:
    return invalid(
        what,
        f"hold {list(arrays)}, and the model takes {list(names)}. Give one array for each, under "
        "these names, or all under others in this order.",
    )


def _cast(array: np.ndarray, name: str, known: str | None, what: str, real: str) -> np.ndarray:
    wanted = known or (real if array.dtype.kind == "f" else str(array.dtype))
    plain = array.dtype.kind in _PLAIN
    if not plain or not np.can_cast(array.dtype, np.dtype(wanted), "same_kind"):
        raise invalid(
            what, f"hold '{name}' as {array.dtype}; the model takes {known or 'numbers'}."
        )
    with np.errstate(over="ignore"):
        return array.astype(wanted)


def feeds(arrays: Feed, form: Form, size: int) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of all samples, in batches of `size`; where they go side by side, the first alone too.

    Both sizes are asked: an export may have kept the one that it was made with.
    """
    if form is Form.EXAMPLE:
        yield dict(arrays)
        return
    if form is Form.BATCH:
        yield {name: array[:1] for name, array in arrays.items()}
        for start in range(0, count(arrays), size):
            yield {name: array[start : start + size] for name, array in arrays.items()}
        return
    for row in range(count(arrays)):
        place = slice(row, row + 1) if form is Form.ONE else row
        yield {name: np.asarray(array[place]) for name, array in arrays.items()}


def count(arrays: Feed) -> int:
    """How many samples there are."""
    return len(next(iter(arrays.values())))


def example(arrays: Feed, form: Form) -> dict[str, np.ndarray]:
    """What the model is exported with: two samples, or the first one."""
    if form is not Form.BATCH:
        return next(feeds(arrays, form, 1))
    return {name: array[np.arange(2) % len(array)] for name, array in arrays.items()}
