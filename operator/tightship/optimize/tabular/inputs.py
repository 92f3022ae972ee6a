"""What a scikit-learn model takes: one matrix, one column of text, or a column of each name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline

from tightship.optimize.contract import STRING
from tightship.optimize.failures import Reason, RefusalError

NAME = "X"  # of a single input, as scikit-learn calls it
Arrays = Mapping[str, np.ndarray]


class Form(StrEnum):
    """How scikit-learn wants its rows."""

    MATRIX = "matrix"
    TEXT = "text"  # a list of documents
    FRAME = "frame"  # a pandas DataFrame


@dataclass(frozen=True, slots=True)
class Column:
    """One input of the ONNX model, [batch, width]."""

    name: str
    dtype: str
    width: int


@dataclass(frozen=True, slots=True)
class Layout:
    """All inputs."""

    form: Form
    columns: tuple[Column, ...]

    def given(self, arrays: Arrays) -> dict[str, np.ndarray] | None:
        """The inputs among arrays of a data file; None where one is missing or of another shape."""
        found = {}
        for column in self.columns:
            array = arrays.get(column.name)
            if array is None or array.shape[1:] != (column.width,) or not len(array):
                return None
            if (array.dtype.kind in "US") != (column.dtype == STRING):
                return None
            text = array.dtype.kind == "S"
            found[column.name] = np.char.decode(array, "utf-8") if text else array
        return found if len({len(array) for array in found.values()}) == 1 else None

    def rows(self, arrays: Arrays) -> Any:  # noqa: ANN401 (a matrix, a list or a DataFrame)
        """The arrays as scikit-learn takes them, real numbers as float64."""
        if self.form is Form.TEXT:
            return arrays[NAME][:, 0].tolist()
        if self.form is Form.FRAME:
            columns = {c.name: _objects(arrays[c.name])[:, 0] for c in self.columns}
            return pd.DataFrame(columns)
        return _objects(arrays[NAME])

    def feed(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """The arrays as ONNX Runtime takes them."""
        return {
            c.name: arrays[c.name].astype(np.object_ if c.dtype == STRING else c.dtype)
            for c in self.columns
        }


def _objects(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "U":
        return array.astype(np.object_)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def layout(estimator: object, real: str) -> Layout:
    """What the estimator takes; `real` is the dtype of its numbers, float32 or float64.

    Raises:
        RefusalError: it cannot be told, or one column is read as text and as numbers.
    """
    first = list(readers(estimator))
    if any(isinstance(reader, CountVectorizer | HashingVectorizer) for reader in first):
        return Layout(Form.TEXT, (Column(NAME, STRING, 1),))
    tables = [reader for reader in first if isinstance(reader, ColumnTransformer)]
    if tables and hasattr(tables[0], "feature_names_in_"):
        return Layout(Form.FRAME, tuple(_columns(tables[0], real)))
    width = getattr(estimator, "n_features_in_", None)
    if width is None:
        raise RefusalError(
            Reason.UNSUPPORTED_MODEL,
            f"The {type(estimator).__name__} does not know how many columns it takes "
            "(n_features_in_). Fit it, and save it then.",
        )
    kinds = {_kind(reader, real) for reader in first}
    if len(kinds) > 1:
        raise _mixed("The matrix X")
    return Layout(Form.MATRIX, (Column(NAME, kinds.pop() if kinds else real, int(width)),))


def readers(estimator: object) -> Iterator[object]:
    """The parts that see the rows as they come."""
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
        yield from readers(steps[0]) if steps else ()
    elif isinstance(estimator, FeatureUnion):
        for _, part in estimator.transformer_list:
            yield from readers(part)
    else:
        yield estimator


def _columns(table: ColumnTransformer, real: str) -> Iterator[Column]:
    """Named columns with the type that what reads them was fitted on, in the frame's order."""
    names = [str(name) for name in table.feature_names_in_]
    kinds: dict[str, str] = {}
    for _, reader, chosen in table.transformers_:
        if isinstance(reader, str) and reader == "drop":
            continue
        for place, name in enumerate(columns_of(chosen, names)):
            kind = _column_kind(reader, place, real)
            if kinds.setdefault(name, kind) != kind:
                raise _mixed(f"The column '{name}'")
    by_number = any(not _by_name(chosen) for _, _, chosen in table.transformers_)
    for name in names:
        if name in kinds or by_number:
            yield Column(name, kinds.get(name, real), 1)


def _by_name(chosen: Any) -> bool:  # noqa: ANN401 (any of ColumnTransformer's selections)
    return isinstance(chosen, str) or (
        isinstance(chosen, list) and all(isinstance(item, str) for item in chosen)
    )


def columns_of(chosen: Any, names: list[str]) -> list[str]:  # noqa: ANN401 (likewise)
    """The names among `names` that a ColumnTransformer's selection means."""
    if isinstance(chosen, str):
        return [chosen]
    if _by_name(chosen):
        return list(chosen)
    return [names[place] for place in np.atleast_1d(np.arange(len(names))[chosen])]


def _column_kind(reader: object, place: int, real: str) -> str:
    for part in readers(reader):
        if isinstance(part, CountVectorizer | HashingVectorizer):
            return STRING
        fitted = getattr(part, "categories_", None)
        if fitted is not None:
            return _values_kind(np.asarray(fitted[place]), real)
        filled = getattr(part, "statistics_", None)
        if filled is not None:
            return _values_kind(np.asarray(filled[place]), real)
    return real


def _kind(reader: object, real: str) -> str:
    fitted = getattr(reader, "categories_", None)
    if fitted is None:
        return real
    kinds = {_values_kind(np.asarray(values), real) for values in fitted}
    if len(kinds) > 1:
        raise _mixed("The matrix X")
    return kinds.pop()


def _values_kind(values: np.ndarray, real: str) -> str:
    if values.dtype.kind in "OUST":
        present = [value for value in values.reshape(-1).tolist() if isinstance(value, str)]
        return STRING if present else real
    return "int64" if values.dtype.kind in "iu" else real


def _mixed(what: str) -> RefusalError:
    return RefusalError(
        Reason.UNSUPPORTED_MODEL,
        f"{what} is read as text by one part of the model and as numbers by another. Fit it on a "
        "DataFrame with a column of its own for each.",
    )
