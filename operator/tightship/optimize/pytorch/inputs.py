"""What a torch model takes, and which array of a data file is which of its arguments."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from tightship.optimize.data import CHARSET, LABELS, Arrays, invalid
from tightship.optimize.failures import RefusalError

_PLAIN = "fiub"  # kinds of dtype that torch and Triton both have
Feed = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Argument:
    """One tensor that the model takes. `dtype` is numpy's name, None where the file has none.

    `free` has the axes that the file says may vary, with the name of the length.
    """

    name: str
    dtype: str | None = None
    optional: bool = False
    free: Mapping[int, str] = field(default_factory=dict)


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
    """Inputs of all samples, in batches of exactly `size` where they go side by side.

    The last batch takes some again; fewer samples than `size` are one smaller batch.
    """
    if form is Form.EXAMPLE:
        yield dict(arrays)
    elif form is Form.BATCH:
        for start in range(0, count(arrays), size):
            end = max(0, min(start, count(arrays) - size))
            yield {name: array[end : end + size] for name, array in arrays.items()}
    else:
        for row in range(count(arrays)):
            place = slice(row, row + 1) if form is Form.ONE else row
            yield {name: np.asarray(array[place]) for name, array in arrays.items()}


def first(arrays: Feed, form: Form, size: int) -> dict[str, np.ndarray]:
    """The first of `feeds`."""
    return next(feeds(arrays, form, size))


def others(
    feed: Feed, form: Form, arguments: Sequence[Argument]
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The same inputs in other sizes, and in words which."""
    if form is Form.BATCH:
        yield "for one sample alone", {name: array[:1] for name, array in feed.items()}
    cut = _shorter(feed, arguments)
    if any(cut[name].shape != array.shape for name, array in feed.items()):
        yield "with half the length in its free axes", cut


def _shorter(feed: Feed, arguments: Sequence[Argument]) -> dict[str, np.ndarray]:
    """With half the length in every free axis but the batch."""
    batch = {argument.free.get(0) for argument in arguments}
    found = {}
    for argument, (name, array) in zip(arguments, feed.items(), strict=False):
        cut = [slice(None)] * array.ndim
        for axis, length in argument.free.items():
            if length not in batch:
                cut[axis] = slice(0, (array.shape[axis] + 1) // 2)
        found[name] = array[tuple(cut)]
    return found


def count(arrays: Feed) -> int:
    """How many samples there are."""
    return len(next(iter(arrays.values())))


def example(arrays: Feed, form: Form) -> dict[str, np.ndarray]:
    """What the model is exported with: two samples, or the first one."""
    if form is not Form.BATCH:
        return first(arrays, form, 1)
    return {name: array[np.arange(2) % len(array)] for name, array in arrays.items()}
