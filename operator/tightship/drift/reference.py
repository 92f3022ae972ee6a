"""reference.json of an artifact: how inputs and answers were distributed when it was judged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tightship.drift.features import Form, features, form_of
from tightship.drift.histogram import Histogram, histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REFERENCE = "reference.json"
REFERENCE_SCHEMA = 1
FEATURES_MAX = 256
"""Of one model: what a server counts is bounded whatever the model is."""

_CLASSES_LEAST = 2
_AT_ONCE = 2**22  # elements that are made float64 at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An input (`in/NAME`) or output (`out/NAME`), and how its samples become features."""

    name: str
    form: Form
    classes: bool = False  # scores of classes: the largest one is a feature too
    size: int  # elements of the largest sample that was seen

    def features(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Its features of samples; the first axis is the sample."""
        step = max(1, _AT_ONCE // max(1, self.size))
        parts = [
            features(self.name, rows[start : start + step], self.form, classes=self.classes)
            for start in range(0, len(rows), step)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The distribution of each feature over `samples` samples."""

    samples: int
    tensors: tuple[Tensor, ...]
    histograms: tuple[Histogram, ...]
    left_out: int = 0  # features beyond FEATURES_MAX

    def to_json(self) -> str:
        """The text of reference.json."""
        content = {
            "schema": REFERENCE_SCHEMA,
            "samples": self.samples,
            "tensors": [
                {"name": t.name, "form": t.form, "classes": t.classes, "size": t.size}
                for t in self.tensors
            ],
            "histograms": [each.to_json() for each in self.histograms],
            "leftOut": self.left_out,
        }
        return json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Reference:
        """Reads reference.json.

        Raises:
            ValueError: it is of another schema, or a field is missing or of the wrong type.
        """
        raw = json.loads(text)
        if not isinstance(raw, dict) or raw.get("schema") != REFERENCE_SCHEMA:
            raise ValueError(f"not a reference of schema {REFERENCE_SCHEMA}")
        try:
            return cls(
                samples=int(raw["samples"]),
                tensors=tuple(_tensor(item) for item in raw["tensors"]),
                histograms=tuple(Histogram.from_json(item) for item in raw["histograms"]),
                left_out=int(raw["leftOut"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a reference: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """The samples of one tensor: the first axis of `rows` is the sample.

    `fixed` says that its shape is the same for every sample.
    """

    name: str
    rows: np.ndarray
    fixed: bool


def reference(inputs: Iterable[Column], outputs: Iterable[Column]) -> Reference | None:
    """What the samples look like; None without samples.

    An output with floating-point numbers along one axis is taken for scores of classes.
    """
    known = [(f"in/{each.name}", each, False) for each in inputs]
    known += [(f"out/{each.name}", each, _scores(each.rows)) for each in outputs]
    tensors = tuple(
        Tensor(
            name=name,
            form=form_of(column.rows, fixed=column.fixed),
            classes=classes,
            size=column.rows.size // len(column.rows),
        )
        for name, column, classes in known
        if len(column.rows)
    )
    if not tensors:
        return None
    rows = {name: column.rows for name, column, _ in known}
    columns = [item for tensor in tensors for item in tensor.features(rows[tensor.name]).items()]
    # Predicted classes first: of all features they are the last ones to be left out.
    columns.sort(key=lambda item: not item[0].endswith(".class"))
    return Reference(
        samples=min(len(rows[tensor.name]) for tensor in tensors),
        tensors=tensors,
        histograms=tuple(histogram(name, column) for name, column in columns[:FEATURES_MAX]),
        left_out=max(0, len(columns) - FEATURES_MAX),
    )


def _scores(rows: np.ndarray) -> bool:
    flat = rows.ndim == 2  # noqa: PLR2004 (sample, class)
    return rows.dtype.kind == "f" and flat and rows.shape[1] >= _CLASSES_LEAST


def _tensor(raw: Mapping[str, Any]) -> Tensor:
    return Tensor(
        name=str(raw["name"]),
        form=Form(raw["form"]),
        classes=bool(raw["classes"]),
        size=int(raw["size"]),
    )
