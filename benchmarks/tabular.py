"""scikit-learn models as ONNX: share of equal predictions, and speed for one row at a time.

    python -m benchmarks.tabular [MODEL ...]

Without a name all run and results/tabular.json is written; with names nothing is written.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np
import skops.io
from benchmarks.record import Bench
from tests.corpus.models import estimators
from tests.integration.optimize.harness import REQUEST

from tightship.optimize import runtime
from tightship.optimize.budget import Budget
from tightship.optimize.folders import Folders
from tightship.optimize.tabular import source, speed
from tightship.optimize.tabular.inputs import layout

_SIZE = 10  # 100 trees or steps of boosting, scikit-learn's own default
_TOLERANCE = 1e-4
_WHAT = {
    "random-forest": "breast_cancer, 100 trees",
    "random-forest-digits": "digits, 100 trees",
    "gradient-boosting": "diabetes, 100 trees, regression",
    "hist-gradient-boosting": "breast_cancer, 100 steps",
    "svm": "digits, scaled, rbf kernel",
    "logistic-regression": "breast_cancer, scaled",
    "mlp": "digits, scaled, 64 hidden",
    "text": "sentences of six classes, tf-idf of words and pairs, logistic regression",
    "columns": "wine, two columns scaled and two one-hot, logistic regression",
}


def measure(bench: Bench, name: str) -> float:
    """One model on rows that it was not fitted on (text and columns: all rows); the speed-up."""
    case = estimators.CASES[name](_SIZE)
    with tempfile.TemporaryDirectory(prefix="tightship-bench-") as root:
        folders = Folders(Path(root))
        folders.source.mkdir(parents=True)
        model = folders.source / "model.skops"
        skops.io.dump(case.estimator, model)
        arrays: dict[str, Any] = {**case.rows, "labels": case.labels}
        np.savez(folders.evaluation, **arrays)
        request = replace(REQUEST, source_format="sklearn")
        budget = Budget()
        exported = source.export(request, model, folders, budget)
        agreeing = _agreeing(case, exported.model)
        found = speed.measure(exported, 1, folders.scratch / "speed", budget)
    if isinstance(found, str):
        sys.exit(found)
    difference = exported.facts["equality"]["difference"]
    note = f"of {len(agreeing)} rows; greatest difference {difference:.1e}"
    bench.add(f"{name} agreement", float(agreeing.mean()), "", note=note)
    bench.add(f"{name} scikit-learn", round(found.sklearn * 1e6, 2), "µs", note=_WHAT[name])
    bench.add(f"{name} ONNX Runtime", round(found.onnx * 1e6, 2), "µs")
    noise = f"noise {found.noise:.1%}, {found.rounds} processes"
    bench.add(f"{name} speed-up", round(found.speedup, 1), "x", note=noise)
    return found.speedup


def _agreeing(case: estimators.Case, model: Path) -> np.ndarray:
    """Which rows get the same class, or the same number but for 1e-4 of the greatest."""
    feed = layout(case.estimator, "float32").feed(case.rows)
    first = np.asarray(runtime.session(model, 1).run(None, feed)[0]).reshape(-1)
    own = case.estimator.predict(case.given)
    if case.metric == "accuracy":
        return np.asarray(first == own)
    return np.asarray(np.abs(first - own) <= _TOLERANCE * np.abs(own).max())


def main(names: list[str]) -> int:
    """Runs the models; 1 when a figure misses its target."""
    unknown = sorted(set(names) - set(_WHAT))
    if unknown:
        sys.stderr.write(f"there is no model {unknown[0]!r}; there are {', '.join(_WHAT)}\n")
        return 2
    bench = Bench("tabular")
    speedups = [measure(bench, name) for name in names or _WHAT]
    bench.add("geometric mean speed-up", round(geometric_mean(speedups), 1), "x")
    if not names:
        sys.stdout.write(f"written: {bench.write()}\n")
    return int(any(figure.ok is False for figure in bench.figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
