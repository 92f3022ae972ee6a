"""Files of scikit-learn: what is read, and what is refused with which words."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import FunctionTransformer
from tests.corpus.models import estimators

from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.tabular import load
from tightship.optimize.tabular.load import Kind, Source

ROWS, TARGET = np.arange(40.0).reshape(20, 2), np.arange(20) % 2


def _forest() -> Any:  # noqa: ANN401 (scikit-learn has no types)
    return RandomForestClassifier(2, random_state=0).fit(ROWS, TARGET)


def _skops(value: object) -> Callable[[], bytes]:
    return lambda: bytes(skops.io.dumps(value() if callable(value) else value))


def _saved(file: Path, content: bytes, *, trusted: bool = False) -> Source:
    file.write_bytes(content)
    kind = Kind.SKOPS if file.suffix == ".skops" else Kind.PICKLE
    return Source(str(file), kind, trusted)


@pytest.mark.parametrize("name", estimators.CASES)
def test_common_models_are_read_without_trust(name: str, tmp_path: Path) -> None:
    case = estimators.CASES[name](2)
    source = _saved(tmp_path / "model.skops", skops.io.dumps(case.estimator))
    found = load.load(source)
    assert np.array_equal(found.estimator.predict(case.given), case.estimator.predict(case.given))
    assert found.notes == ()


@pytest.mark.parametrize("compress", [0, ("gzip", 3), ("zlib", 3)], ids=str)
def test_joblib(compress: Any, tmp_path: Path) -> None:  # noqa: ANN401 (joblib's own)
    joblib.dump(_forest(), tmp_path / "model.joblib", compress=compress)
    source = Source(str(tmp_path / "model.joblib"), Kind.PICKLE, trusted=True)
    assert isinstance(load.load(source).estimator, RandomForestClassifier)


def _wild_tree() -> bytes:
    """A forest whose first tree's children are far outside."""
    forest = _forest()
    tree = forest.estimators_[0].tree_
    state = tree.__getstate__()
    state["nodes"]["left_child"][0] = 10**6
    tree.__setstate__(state)
    return bytes(skops.io.dumps(forest))


def _circle() -> bytes:
    forest = _forest()
    tree = forest.estimators_[0].tree_
    state = tree.__getstate__()
    state["nodes"]["right_child"][0] = 0
    tree.__setstate__(state)
    return bytes(skops.io.dumps(forest))


def _wild_feature() -> bytes:
    rows = np.repeat(ROWS, 10, axis=0)
    model = HistGradientBoostingClassifier(max_iter=2).fit(rows, rows[:, 0] > 9)
    nodes = model._predictors[0][0].nodes
    nodes["feature_idx"][nodes["is_leaf"] == 0] = 900
    return bytes(skops.io.dumps(model))


def _older(version: str) -> Callable[[], bytes]:
    def make() -> bytes:
        model = LinearRegression().fit(ROWS, TARGET)
        content = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as old,
            zipfile.ZipFile(content, "w") as new,
        ):
            for name in old.namelist():
                text = old.read(name)
                if name == "schema.json":
                    found = json.dumps(json.loads(text))
                    quoted = json.dumps(json.dumps(sklearn.__version__))
                    assert quoted in found
                    text = found.replace(quoted, json.dumps(json.dumps(version))).encode()
                new.writestr(name, text)
        return content.getvalue()

    return make


REFUSED: dict[str, tuple[Callable[[], bytes], str, Reason, str]] = {
    "nothing": (lambda: b"", "m.skops", Reason.INVALID_MODEL, "cannot read"),
    "noise": (lambda: b"noise" * 99, "m.skops", Reason.INVALID_MODEL, "cannot read"),
    "pickle as skops": (
        lambda: pickle.dumps(_forest()),
        "m.skops",
        Reason.INVALID_MODEL,
        "cannot read",
    ),
    "a list": (_skops([1, 2]), "m.skops", Reason.UNSUPPORTED_MODEL, "holds a list"),
    "an unknown type": (
        _skops(lambda: FunctionTransformer(Fraction)),
        "m.skops",
        Reason.UNSAFE_MODEL,
        "fractions.Fraction",
    ),
    "a tree that leads out": (_wild_tree, "m.skops", Reason.UNSAFE_MODEL, "lead out of it"),
    "a tree in a circle": (_circle, "m.skops", Reason.UNSAFE_MODEL, "lead out of it"),
    "a histogram tree": (_wild_feature, "m.skops", Reason.UNSAFE_MODEL, "lead out of it"),
    "an older version": (
        _older("1.5.2"),
        "m.skops",
        Reason.UNSUPPORTED_MODEL,
        f"saved by scikit-learn 1.5.2, this converter has {sklearn.__version__}",
    ),
    "a class of the user's": (
        lambda: b"cmine\nModel\n.",
        "m.pkl",
        Reason.INVALID_MODEL,
        "No module named 'mine'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    content, file, reason, words = REFUSED[name]
    with pytest.raises(RefusalError) as caught:
        load.load(_saved(tmp_path / file, content()))
    assert caught.value.reason is reason
    assert words in caught.value.message
    assert caught.value.message.endswith((".", ")"))


def test_another_patch_version_is_told(tmp_path: Path) -> None:
    near = ".".join([*sklearn.__version__.split(".")[:2], "99"])
    found = load.load(_saved(tmp_path / "m.skops", _older(near)()))
    assert len(found.notes) == 1
    assert near in found.notes[0]


def test_trust_takes_unknown_types(tmp_path: Path) -> None:
    content = _skops(lambda: FunctionTransformer(Fraction))()
    source = _saved(tmp_path / "m.skops", content, trusted=True)
    assert load.load(source).estimator.func is Fraction
