"""The children's work: convert and compare, and time the two side by side; both confined."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime as ort
from threadpoolctl import threadpool_limits

from tightship.optimize import data, graph, runtime
from tightship.optimize.budget import Budget
from tightship.optimize.data import Dataset
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.tabular import equality, synthetic, trees
from tightship.optimize.tabular.equality import Equality
from tightship.optimize.tabular.export import export
from tightship.optimize.tabular.inputs import Layout, layout
from tightship.optimize.tabular.load import Loaded, Source, load
from tightship.optimize.tabular.predict import Predictor, predictor

MODEL = "model.onnx"
ROWS = "rows"
_PACKAGES = ("scikit-learn", "skl2onnx", "joblib", "skops", "onnxruntime")
Rows = Mapping[str, np.ndarray]


def convert_task(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Child's entry: {source, data: [path], samples} -> what was converted and how equal it is.

    Leaves MODEL, and in ROWS the rows that both took.

    Raises:
        RefusalError: the file, the conversion, or answers that differ.
    """
    loaded = load(Source.from_json(payload["source"]))
    asked = predictor(loaded.estimator)
    arrays = [data.read(Path(path), "given", Budget()) for path in payload["data"]]
    tried: list[tuple[_Way, Equality | RefusalError]] = []
    for way in _ways(loaded.estimator):
        try:
            inputs = layout(loaded.estimator, way.real)
            rows, given = _rows(loaded, inputs, arrays, payload["samples"])
            found = _attempt(asked, inputs, rows, lower=way.lower)
        except RefusalError as refusal:
            tried.append((way, refusal))
            continue
        tried.append((way, found))
        if found.holds:
            Dataset({n: _plain(a) for n, a in inputs.feed(rows).items()}).save(Path(ROWS))
            return _told(loaded, inputs, found, given=given, tried=tried)
    raise _refused(tried)


@dataclass(frozen=True, slots=True)
class _Way:
    """The type of numbers, and whether thresholds are lowered to it or rounded."""

    real: str
    lower: bool

    def __str__(self) -> str:
        return f"{self.real} with rounded thresholds" if not self.lower else self.real


def _ways(estimator: object) -> list[_Way]:
    """How to convert, in the order in which it is tried until the answers are equal."""
    rounded = [_Way("float32", lower=False)] if trees.histogram(estimator) else []
    return [_Way("float32", lower=True), *rounded, _Way("float64", lower=True)]


def _rows(
    loaded: Loaded, inputs: Layout, arrays: list[dict[str, np.ndarray]], most: int
) -> tuple[dict[str, np.ndarray], bool]:
    """Rows to compare on, and whether they are given ones."""
    for each in arrays:
        given = inputs.given(each)
        if given is not None:
            count = len(next(iter(given.values())))
            chosen = data.chosen_rows(None, count, most, None)
            return {name: array[chosen] for name, array in given.items()}, True
    return synthetic.rows(loaded.estimator, inputs, most // 4), False


def _attempt(asked: Predictor, inputs: Layout, rows: Rows, *, lower: bool) -> Equality:
    graph.save(export(asked, inputs, lower=lower), Path(MODEL))
    expected = asked(inputs.rows(rows))
    try:
        session = runtime.session(Path(MODEL), 1)
        answers = session.run(list(asked.names), inputs.feed(rows))
    except Exception as error:
        raise RefusalError(
            Reason.UNSUPPORTED_MODEL,
            f"ONNX Runtime {ort.__version__} does not run what skl2onnx made of the "
            f"{type(asked.estimator).__name__}: {runtime.brief(error)}. Export it yourself.",
        ) from error
    got = {name: np.asarray(a) for name, a in zip(asked.names, answers, strict=True)}
    return equality.compare(expected, got)


def _told(
    loaded: Loaded, inputs: Layout, found: Equality, *, given: bool, tried: list[tuple[_Way, Any]]
) -> dict[str, Any]:
    notes = list(loaded.notes)
    if len(tried) > 1:
        notes.append(f"converted in {tried[-1][0]}: in float32, {_why(tried[0][1])}")
    if not given:
        notes.append("compared with scikit-learn on made-up rows alone: no fitting data were given")
    return {
        "estimator": _described(loaded.estimator),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "inputs": {column.name: column.dtype for column in inputs.columns},
        "rows": "given" if given else "synthetic",
        "equality": found.to_json(),
        "notes": notes,
    }


def _described(estimator: Any) -> str:  # noqa: ANN401 (any estimator)
    steps = getattr(estimator, "steps", None)
    names = [type(step).__name__ for _, step in steps] if steps else [type(estimator).__name__]
    return " + ".join(names)


def _why(found: Equality | RefusalError) -> str:
    if isinstance(found, RefusalError):
        return found.message
    return (
        f"{found.labels_differing} labels and the numbers of {found.numbers_differing} of "
        f"{found.samples} rows differ, by up to {found.difference:.2g} of the greatest value"
    )


def _refused(tried: list[tuple[_Way, Equality | RefusalError]]) -> RefusalError:
    if all(isinstance(found, RefusalError) for _, found in tried):
        return next(found for _, found in tried if isinstance(found, RefusalError))
    told = "; ".join(
        f"in {way}: {_why(found)}" for way, found in tried if isinstance(found, Equality)
    )
    return RefusalError(
        Reason.UNSUPPORTED_MODEL,
        "What skl2onnx made of the model does not answer as scikit-learn does, so it is not "
        f"served. {told}; {equality.TOLERANCE:g} is allowed. Replace the part that skl2onnx "
        "carries over inexactly, or export the model yourself.",
    )


def _plain(array: np.ndarray) -> np.ndarray:
    return array.astype(np.str_) if array.dtype == object else array


def time_task(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Child's entry: {source, model, rows, threads, warmup, bursts, seconds} -> median seconds.

    One process on pinned processors holds both and lets them take turns: scikit-learn, ONNX,
    scikit-learn. A call is the numeric answer for one row.
    """
    threads = payload["threads"]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    loaded = load(Source.from_json(payload["source"]))
    asked, rows = predictor(loaded.estimator), Dataset.load(Path(payload["rows"])).arrays
    session = runtime.session(Path(payload["model"]), threads)
    one = {name: np.array(array[:1]) for name, array in rows.items()}
    inputs = _as_exported(layout(loaded.estimator, "float32"), one)
    taken, feed = inputs.rows(one), inputs.feed(one)
    calls = {
        "A": lambda: asked.numbers(taken),
        "onnx": lambda: session.run(None, feed),
        "A'": lambda: asked.numbers(taken),
    }
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    with threadpool_limits(threads):
        for call in calls.values():
            _burst(call, 0.0, payload["warmup"])
        for _ in range(payload["bursts"]):
            for name, call in calls.items():
                spent[name] += _burst(call, payload["seconds"])
    return {
        name: {"cpu": median(c for c, _ in times), "wall": median(w for _, w in times)}
        for name, times in spent.items()
    }


def _as_exported(inputs: Layout, rows: Rows) -> Layout:
    """With the dtypes that the rows were saved in, which are those of the ONNX model."""
    columns = tuple(
        replace(c, dtype=c.dtype if rows[c.name].dtype.kind == "U" else str(rows[c.name].dtype))
        for c in inputs.columns
    )
    return Layout(inputs.form, columns)


def _burst(call: Any, seconds: float, least: int = 3) -> list[tuple[float, float]]:  # noqa: ANN401
    """(CPU, wall) seconds of each call for that long, `least` calls at least."""
    spent: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(spent) < least or time.perf_counter() < end:
        started, used = time.perf_counter(), time.process_time()
        call()
        spent.append((time.process_time() - used, time.perf_counter() - started))
    return spent
