"""Rows for a scikit-learn model where there are no data: at and around what it knows of them."""

from collections.abc import Iterator

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer

from tightship.optimize.contract import STRING
from tightship.optimize.tabular import trees
from tightship.optimize.tabular.inputs import Form, Layout, columns_of, readers

_WORDS_MOST = 12
_LANDMARKS = ("support_vectors_", "cluster_centers_", "theta_", "means_", "data_min_", "data_max_")
_UNKNOWN = "unknown"
_EXTRA = ("?", "I", "OK", "Été")  # signs, one letter, capitals, other letters


def rows(estimator: object, layout: Layout, count: int) -> dict[str, np.ndarray]:
    """`count` rows by input name, the same on every run.

    Numbers lie on the thresholds of trees, one rounding to either side, at what other parts have
    stored of their data, and in between; text is made of words that the model knows and others.
    """
    rng = np.random.default_rng(0)
    if layout.form is Form.TEXT:
        return {layout.columns[0].name: _documents(estimator, rng, count)[:, np.newaxis]}
    if layout.form is Form.MATRIX:
        column = layout.columns[0]
        if column.dtype == STRING:
            return {column.name: _choices(estimator, column.width, rng, count)}
        made = _numbers(estimator, column.width, rng, count)
        return {column.name: made.astype(column.dtype)}
    return {
        column.name: _column(estimator, column.name, column.dtype, rng, count)
        for column in layout.columns
    }


def _numbers(estimator: object, width: int, rng: np.random.Generator, count: int) -> np.ndarray:
    known: list[list[float]] = [[] for _ in range(width)]
    for reader in readers(estimator):
        for column, value in _landmarks(reader, width):
            known[column].append(value)
    found = rng.standard_normal((count, width))
    for column, values in enumerate(known):
        if values:
            found[:, column] = _around(np.asarray(values), rng, count)
    return found


def _around(values: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """A quarter each on the values, one float32 below, one above, and anywhere between them."""
    with np.errstate(over="ignore"):
        on = rng.choice(values, count).astype(np.float32)
    below, above = np.nextafter(on, np.float32(-np.inf)), np.nextafter(on, np.float32(np.inf))
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (-1.0, 1.0)
    between = rng.uniform(low, high if high > low else low + 1.0, count).astype(np.float32)
    choice = rng.integers(0, 4, count)
    made = np.choose(choice, [on, below, above, between]).astype(np.float64)
    return np.where(np.isfinite(made), made, 0.0)


def _landmarks(reader: object, width: int) -> Iterator[tuple[int, float]]:
    for part in trees.parts(reader):
        yield from ((c, value) for c, value in trees.thresholds(part) if c < width)
    for name in _LANDMARKS:
        yield from _of_columns(getattr(reader, name, None), width)
    centre, scale = getattr(reader, "mean_", None), getattr(reader, "scale_", None)
    if isinstance(centre, np.ndarray) and isinstance(scale, np.ndarray):
        for step in (-2.0, -1.0, 0.0, 1.0, 2.0):
            yield from _of_columns(centre + step * scale, width)


def _of_columns(values: object, width: int) -> Iterator[tuple[int, float]]:
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        return
    if values.shape[-1:] == (width,):
        for row in np.atleast_2d(values)[:64]:
            yield from enumerate(row.tolist())


def _documents(estimator: object, rng: np.random.Generator, count: int) -> np.ndarray:
    words = list(_EXTRA)
    for reader in readers(estimator):
        if isinstance(reader, CountVectorizer):
            words += list(map(str, reader.vocabulary_))
    return np.array([_document(words, rng) for _ in range(count)])


def _document(words: list[str], rng: np.random.Generator) -> str:
    chosen = rng.choice(len(words), rng.integers(1, _WORDS_MOST))
    cases = (str.lower, str.title, str.upper)
    return " ".join(cases[rng.integers(0, 3)](words[place]) for place in chosen)


def _choices(estimator: object, width: int, rng: np.random.Generator, count: int) -> np.ndarray:
    reader = next(iter(readers(estimator)))
    known = getattr(reader, "categories_", [[_UNKNOWN]] * width)
    return np.stack([_drawn(list(values), rng, count) for values in known], axis=1)


def _drawn(values: list[object], rng: np.random.Generator, count: int) -> np.ndarray:
    words = [str(value) for value in values if isinstance(value, str)] or [_UNKNOWN]
    return np.array(words)[rng.integers(0, len(words), count)]


def _column(
    estimator: object, name: str, dtype: str, rng: np.random.Generator, count: int
) -> np.ndarray:
    """A named column: of the values that the encoder for it knows, or numbers of a wide range."""
    for table in readers(estimator):
        if not isinstance(table, ColumnTransformer):
            continue
        names = [str(each) for each in table.feature_names_in_]
        for _, reader, selection in table.transformers_:
            chosen = columns_of(selection, names)
            known = _known(reader, chosen.index(name)) if name in chosen else None
            if known is not None and dtype == STRING:
                return _drawn(known, rng, count)[:, np.newaxis]
            if known is not None:
                values = np.asarray(known, dtype)[rng.integers(0, len(known), count)]
                return values[:, np.newaxis]
    if dtype == STRING:
        return np.array([_document(list(_EXTRA), rng) for _ in range(count)])[:, np.newaxis]
    made: np.ndarray = rng.standard_normal((count, 1)) * rng.choice([1.0, 10.0, 100.0])
    return made.astype(dtype)


def _known(reader: object, place: int) -> list[object] | None:
    for part in trees.parts(reader):
        if isinstance(part, CountVectorizer):
            return list(map(str, part.vocabulary_))
        fitted = getattr(part, "categories_", None)
        if fitted is not None:
            return list(np.asarray(fitted[place]).tolist())
    return None
