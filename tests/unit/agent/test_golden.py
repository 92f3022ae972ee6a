"""Comparing answers with golden ones: what agrees, what does not, and how that is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tightship.agent.failures import LoadingError
from tightship.agent.golden import Golden, Tolerance, _compare, _difference, read_golden

EXACT = Tolerance(rtol=0.0, atol=0.0)
LOOSE = Tolerance(rtol=0.01, atol=0.1)
FIVE = np.full((1, 3), 5.0, np.float32)


@pytest.mark.parametrize(
    ("got", "wanted", "tolerance", "words"),
    [
        pytest.param(FIVE, FIVE, EXACT, None, id="equal"),
        pytest.param(FIVE + 0.14, FIVE, LOOSE, None, id="within"),
        pytest.param(FIVE + 0.2, FIVE, LOOSE, "differs by up to 0.2", id="beyond"),
        pytest.param(FIVE * np.nan, FIVE, LOOSE, "differs", id="nan-instead-of-a-number"),
        pytest.param(FIVE * np.nan, FIVE * np.nan, EXACT, None, id="nan-as-recorded"),
        pytest.param(FIVE * np.inf, FIVE, LOOSE, "differs", id="infinite"),
        pytest.param(FIVE[:, :2], FIVE, LOOSE, "has shape [2] instead of [3]", id="shape"),
        pytest.param(FIVE.astype(np.int64), FIVE, EXACT, None, id="another-type"),
        pytest.param(
            np.array([[b"cat"]], object), np.array([[b"cat"]]), EXACT, None, id="same-text"
        ),
        pytest.param(
            np.array([[b"dog"]], object), np.array([[b"cat"]]), LOOSE, "another text", id="text"
        ),
        pytest.param(
            np.array([[True]]), np.array([[False]]), EXACT, "differs by up to 1", id="boolean"
        ),
    ],
)
def test_differences(
    got: np.ndarray, wanted: np.ndarray, tolerance: Tolerance, words: str | None
) -> None:
    found = _difference(got, wanted, tolerance)
    assert found is None if words is None else words in str(found)


@given(
    arrays.arrays(np.float32, (2, 3), elements=st.floats(-1e6, 1e6, width=32)),
    st.floats(0.0, 0.9),
)
def test_noise_below_the_tolerance_agrees(wanted: np.ndarray, share: float) -> None:
    noise = share * (LOOSE.atol + LOOSE.rtol * np.abs(wanted.astype(np.float64)))
    assert _difference(wanted + noise, wanted, LOOSE) is None


@pytest.mark.parametrize(
    ("agreement", "wrong", "verified"),
    [(1.0, 0, True), (1.0, 1, False), (0.8, 2, True), (0.8, 3, False), (0.0, 10, True)],
)
def test_a_share_of_samples_must_agree(*, agreement: float, wrong: int, verified: bool) -> None:
    golden = Golden(
        inputs={"x": np.ones((10, 1))},
        outputs={"y": np.ones((10, 1))},
        tolerance=Tolerance(rtol=0.0, atol=0.0, agreement=agreement),
    )
    differences = [*["wrong"] * wrong, *[None] * (10 - wrong)]
    if verified:
        _compare(golden, differences)
    else:
        with pytest.raises(LoadingError, match=f"{wrong} of 10 golden samples") as found:
            _compare(golden, differences)
        assert found.value.failure.reason == "VerificationFailed"


def _saved(folder: Path, content: dict[str, Any]) -> Path:
    np.savez(folder / "golden.npz", **content)
    return folder / "golden.npz"


def test_samples_are_read_by_their_names(tmp_path: Path) -> None:
    path = _saved(tmp_path, {"in/a/b": np.ones((2, 3)), "out/y": np.zeros((2,))})
    golden = read_golden(path, EXACT)
    assert set(golden.inputs) == {"a/b"}
    assert set(golden.outputs) == {"y"}
    assert golden.samples == 2


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({}, id="empty"),
        pytest.param({"in/x": np.ones(2)}, id="no-answers"),
        pytest.param({"out/y": np.ones(2)}, id="no-questions"),
        pytest.param({"in/x": np.ones(2), "out/y": np.ones(3)}, id="unequal"),
        pytest.param({"in/x": np.ones(0), "out/y": np.ones(0)}, id="no-samples"),
        pytest.param({"in/x": np.ones(65), "out/y": np.ones(65)}, id="too-many"),
        pytest.param({"in/x": np.ones(()), "out/y": np.ones(())}, id="no-axis"),
        pytest.param({"in/x": np.array([None]), "out/y": np.ones(1)}, id="pickled"),
    ],
)
def test_other_archives_are_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    with pytest.raises(LoadingError, match=r"golden\.npz") as found:
        read_golden(_saved(tmp_path, content), EXACT)
    assert found.value.failure.reason == "ArtifactCorrupt"


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "golden.npz").write_bytes(b"no archive")
    with pytest.raises(LoadingError, match="cannot be read"):
        read_golden(tmp_path / "golden.npz", EXACT)
