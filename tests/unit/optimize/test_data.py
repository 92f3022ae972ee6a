"""Choice of samples, and data as the model's inputs."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.api.v1alpha1 import Metric
from tightship.optimize import data
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.data import Dataset
from tightship.optimize.failures import RefusalError


def contract(dims: tuple[int | None, ...], dtype: str = "float32", max_batch: int = 8) -> Contract:
    return Contract(
        inputs=(Tensor("x", dtype, dims),),
        outputs=(Tensor("y", "float32", (None, 2)),),
        max_batch=max_batch,
        opset=17,
        nodes=1,
        parameters=1,
        bytes=1,
    )


MATCHES: dict[str, tuple[Contract, np.ndarray, tuple[int, ...]]] = {
    "batched": (contract((None, 3)), np.zeros((5, 3), np.float32), (5, 3)),
    "double becomes single": (contract((None, 3)), np.zeros((5, 3)), (5, 3)),
    "int64 becomes int32": (contract((None, 3), "int32"), np.ones((5, 3), np.int64), (5, 3)),
    "varying axis": (contract((None, None)), np.zeros((5, 7), np.float32), (5, 7)),
    "fixed batch of one": (contract((1, 3), max_batch=0), np.zeros((5, 3), np.float32), (5, 1, 3)),
    "batch written out": (
        contract((1, 3), max_batch=0),
        np.zeros((5, 1, 3), np.float32),
        (5, 1, 3),
    ),
    "text": (contract((None,), "string"), np.array(["a", "b"]), (2,)),
    "bytes": (contract((None,), "string"), np.array([b"a", b"b"]), (2,)),
}


@pytest.mark.parametrize("name", MATCHES)
def test_arrays_that_fit(name: str) -> None:
    model, array, shape = MATCHES[name]
    matched = data.match(model, {"x": array}, "evaluation").arrays["x"]
    assert matched.shape == shape
    assert matched.dtype == array.dtype or matched.dtype == model.inputs[0].dtype


MISFITS = {
    "too large for int32": (contract((None,), "int32"), np.array([2**40])),
    "fractions for int": (contract((None,), "int32"), np.array([0.5])),
    "negative for unsigned": (contract((None,), "uint8"), np.array([-1])),
    "numbers for text": (contract((None,), "string"), np.array([1, 2])),
    "rank": (contract((None, 3)), np.zeros((5, 3, 1), np.float32)),
}


@pytest.mark.parametrize("name", MISFITS)
def test_arrays_that_do_not_fit(name: str) -> None:
    model, array = MISFITS[name]
    with pytest.raises(RefusalError, match="The evaluation data hold 'x'"):
        data.match(model, {"x": array}, "evaluation")


def test_chosen_rows_are_spread_over_sorted_files() -> None:
    rows = data.chosen_rows(None, 1000, 10, Metric.ACCURACY)
    assert rows[0] == 0
    assert rows[-1] == 999
    assert np.diff(rows).max() <= 112


@given(queries=st.integers(1, 30), extra=st.integers(0, 20), limit=st.integers(2, 60))
def test_queries_keep_their_matches(queries: int, extra: int, limit: int) -> None:
    count = 2 * queries + extra
    labels = np.array([*range(queries, 2 * queries), *[-1] * (queries + extra)])
    whole = Dataset({"x": np.arange(count)}, labels)

    rows = data.chosen_rows(labels, count, limit, Metric.MRR)
    part = data.subset(whole, rows, Metric.MRR)

    assert len(part) == min(limit, count) or (part.labels is not None and len(part) >= limit - 1)
    assert part.labels is not None
    assert (part.labels >= 0).any()
    for place, label in enumerate(part.labels):
        if label >= 0:
            assert part.arrays["x"][label] == part.arrays["x"][place] + queries


def test_saved_datasets_come_back(tmp_path: Path) -> None:
    arrays = {"a/b": np.arange(3), "labels": np.array(["x", "yy", ""])}
    Dataset(arrays, np.array([1, 0, 2]), ("", "ä")).save(tmp_path / "whole")
    Dataset(arrays).save(tmp_path / "plain")
    back, plain = Dataset.load(tmp_path / "whole"), Dataset.load(tmp_path / "plain")
    assert back.labels is not None
    assert back.labels.tolist() == [1, 0, 2]
    assert back.charset == ("", "ä")
    assert (plain.labels, plain.charset) == (None, None)
    for found in (back, plain):
        assert {name: array.tolist() for name, array in found.arrays.items()} == {
            "a/b": [0, 1, 2],
            "labels": ["x", "yy", ""],
        }


CHARSETS: dict[str, np.ndarray] = {
    "text": np.array(["", "ä"]),
    "bytes": np.array([b"", "ä".encode()]),
}


@pytest.mark.parametrize("name", CHARSETS)
def test_a_charset_travels_with_the_samples(name: str) -> None:
    arrays = {"x": np.zeros((9, 3), np.float32), "charset": CHARSETS[name]}
    matched = data.match(contract((None, 3)), arrays, "evaluation")
    assert data.subset(matched, np.arange(4)).charset == ("", "ä")


@pytest.mark.parametrize("charset", [np.arange(3), np.array([[""]]), np.array([b"\xff"])])
def test_a_charset_is_text(charset: np.ndarray) -> None:
    arrays = {"x": np.zeros((9, 3), np.float32), "charset": charset}
    with pytest.raises(RefusalError, match="hold a charset"):
        data.match(contract((None, 3)), arrays, "evaluation")
