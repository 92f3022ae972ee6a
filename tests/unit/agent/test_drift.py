"""A window of sampled requests: what it counts, when it speaks, and what it says."""

import numpy as np
import pytest

from tightship.agent.drift import Window, untraceable
from tightship.api.agent import DriftReport, DriftSampling
from tightship.drift.reference import Column, Reference, reference
from tightship.triton.traces import Trace

DIGEST = "d" * 64
SAMPLES = 200


def _rows(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, 4))
    rows[:, 0] += shift
    return rows


def _scores(rows: np.ndarray) -> np.ndarray:
    return np.stack([rows[:, 0], -rows[:, 0]], axis=1)


def _reference() -> Reference:
    rows = _rows(2000, 0)
    made = reference(
        [Column(name="x", rows=rows, fixed=True)],
        [Column(name="y", rows=_scores(rows), fixed=True)],
    )
    assert made is not None
    return made


def _window(*, batched: bool = True) -> Window:
    sampling = DriftSampling(rate=1, samples=SAMPLES)
    return Window(DIGEST, sampling, _reference(), batched=batched)


def _feed(window: Window, rows: np.ndarray, batch: int = 1) -> None:
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        window.add(
            Trace(model="m", request_id="", inputs={"x": part}, outputs={"y": _scores(part)})
        )


def test_nothing_is_said_before_a_window_is_full() -> None:
    window = _window()
    _feed(window, _rows(SAMPLES - 1, 1, shift=9))
    assert window.report == DriftReport(digest=DIGEST)
    assert window.taken == SAMPLES - 1


@pytest.mark.parametrize("batch", [1, 8])
def test_the_same_distribution_says_nothing(batch: int) -> None:
    window = _window()
    _feed(window, _rows(SAMPLES * batch, 1), batch)
    assert window.report == DriftReport(digest=DIGEST, samples=SAMPLES)
    assert window.taken == 0
    assert 0 < window.worst < 0.3


def test_a_shift_names_its_features_worst_first() -> None:
    window = _window()
    _feed(window, _rows(SAMPLES, 1, shift=2))
    names = [each.name for each in window.report.features]
    assert set(names) == {"in/x[0]", "out/y[0]", "out/y[1]"}
    psis = [each.psi for each in window.report.features]
    assert psis == sorted(psis, reverse=True)
    assert all(each.psi > 1 > each.chance for each in window.report.features)
    assert all(round(psi * 100) % 5 == 0 for psi in psis)


def test_a_window_forgets_the_one_before() -> None:
    window = _window()
    _feed(window, _rows(SAMPLES, 1, shift=5))
    assert window.report.features
    _feed(window, _rows(SAMPLES, 2))
    assert not window.report.features


def test_answers_from_the_cache_leave_outputs_uncounted() -> None:
    window = _window()
    for row in _rows(SAMPLES, 1, shift=5):
        window.add(Trace(model="m", request_id="", inputs={"x": row[np.newaxis]}))
    assert [each.name for each in window.report.features] == ["in/x[0]"]


def test_a_request_without_known_tensors_counts_for_nothing() -> None:
    window = _window()
    window.add(Trace(model="m", request_id="", inputs={"other": np.zeros((1, 4))}))
    window.add(Trace(model="m", request_id="", inputs={"x": np.zeros((0, 4))}))
    assert window.taken == 0


def test_without_a_batch_axis_a_request_is_a_sample() -> None:
    window = _window(batched=False)
    for row in _rows(SAMPLES, 1, shift=5):
        window.add(Trace(model="m", request_id="", inputs={"x": row}))
    assert [each.name for each in window.report.features] == ["in/x[0]"]


@pytest.mark.parametrize(
    ("batch", "kinds", "words"),
    [
        (8, {"x": "TYPE_FP32"}, None),
        (0, {}, None),
        (2**19, {"x": "TYPE_FP32"}, "take too long"),
        (8, {"x": "TYPE_FP16", "y": "TYPE_BF16"}, "half-precision"),
        (8, {"x": "TYPE_FP16", "y": "TYPE_FP32"}, None),
    ],
)
def test_what_cannot_be_sampled_says_why(
    batch: int, kinds: dict[str, str], words: str | None
) -> None:
    told = untraceable(_reference(), batch, kinds)
    assert told is None if words is None else words in (told or "")
