"""What is counted of a tensor: its elements where they are few, else a summary of each sample."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

ELEMENTS_MAX = 64
"""A tensor with at most so many elements in a sample has a feature for each of them."""


class Form(StrEnum):
    """How the samples of a tensor become features."""

    ELEMENTS = "elements"  # each element is a feature
    SUMMARY = "summary"  # size, mean, std, min, max, share of zeros
    TEXT = "text"  # number of strings, mean length in bytes


def form_of(rows: np.ndarray, *, fixed: bool) -> Form:
    """The form for samples like these; the first axis is the sample.

    `fixed` says that every sample has the same shape, whatever a client sends.
    """
    if rows.dtype.kind in "OSU":
        return Form.TEXT
    small = rows.size <= ELEMENTS_MAX * len(rows)
    return Form.ELEMENTS if fixed and small else Form.SUMMARY


def features(
    name: str, rows: np.ndarray, form: Form, *, classes: bool = False
) -> dict[str, np.ndarray]:
    """One column for each feature of the tensor `name`, a value for each sample (float64).

    `classes` adds the index of the largest element, which for scores is the predicted class.
    """
    if form is Form.TEXT:
        return dict(_text(name, rows))
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    found = dict((_elements if form is Form.ELEMENTS else _summary)(name, flat))
    if classes and flat.shape[1]:
        found[f"{name}.class"] = flat.argmax(axis=1).astype(np.float64)
    return found


def _elements(name: str, flat: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if flat.shape[1] == 1:
        yield name, flat[:, 0]
        return
    for index in range(flat.shape[1]):
        yield f"{name}[{index}]", flat[:, index]


def _summary(name: str, flat: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield f"{name}.size", np.full(len(flat), float(flat.shape[1]))
    if not flat.shape[1]:
        return
    yield f"{name}.mean", flat.mean(axis=1)
    yield f"{name}.std", flat.std(axis=1)
    yield f"{name}.min", flat.min(axis=1)
    yield f"{name}.max", flat.max(axis=1)
    yield f"{name}.zeros", (flat == 0).mean(axis=1)


def _text(name: str, rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    lengths = [[_bytes(text) for text in np.ravel(row)] for row in rows]
    yield f"{name}.strings", np.array([len(row) for row in lengths], np.float64)
    yield f"{name}.length", np.array([sum(row) / max(1, len(row)) for row in lengths], np.float64)


def _bytes(text: object) -> int:
    return len(text) if isinstance(text, bytes) else len(str(text).encode())
