"""A metric and a gate that are accepted are acted on: the children's own tasks on small models."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.corpus.models import build

from tightship.api.job import MetricRequest
from tightship.optimize import evaluate, reuse
from tightship.optimize.budget import Budget
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.data import Dataset
from tightship.optimize.engine import Executable
from tightship.optimize.evaluate import Judging
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.gate.verdict import Demands
from tightship.optimize.metrics import own
from tightship.optimize.metrics.own import Own

N = 600
RNG = np.random.default_rng(6)
CLASSES = np.concatenate([np.arange(3), np.arange(3), RNG.choice(3, N - 6, p=[0.5, 0.35, 0.15])])
LOGITS = (RNG.standard_normal((N, 3)) * 0.3 + np.eye(3)[CLASSES] * 2).astype(np.float32)
NUMBERS = RNG.standard_normal((N, 2)).astype(np.float32)
PAIRS = np.concatenate([RNG.standard_normal((N // 2, 4)), np.zeros((N // 2, 4))])
PAIRS[N // 2 :] = PAIRS[: N // 2] + 0.005 * RNG.standard_normal((N // 2, 4))
MATCHES = np.concatenate([np.arange(N // 2, N), np.full(N // 2, -1)])
PATHS = RNG.integers(0, 3, (N, 12))
SCORES = np.eye(3, dtype=np.float32)[PATHS]
CHARSET = ("", "a", " ")


def _texts() -> np.ndarray:
    words = []
    for path in PATHS.tolist():
        kept = [c for i, c in enumerate(path) if i == 0 or c != path[i - 1]]
        words.append("".join(CHARSET[c] for c in kept))
    return np.array(words)


@pytest.fixture(autouse=True)
def _short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "Budget", lambda: Budget(look_seconds=0.01))


@dataclass(frozen=True)
class Case:
    """Inputs that are the answers, their labels, and factors that spoil the answers."""

    metric: str
    x: np.ndarray
    labels: np.ndarray
    spoil: list[float]
    best: float
    charset: tuple[str, ...] | None = None


CASES = [
    Case("accuracy", LOGITS, CLASSES, [1, 1, -1], 1.0),
    Case("f1", LOGITS, CLASSES, [1, 1, -1], 1.0),
    Case("auc", LOGITS, CLASSES, [1, 1, -1], 1.0),
    Case("mrr", PAIRS.astype(np.float32), MATCHES, [1, 0, 0, 0], 1.0),
    Case("cer", SCORES, _texts(), [1, -1, 1], 0.0, CHARSET),
    Case("wer", SCORES, _texts(), [1, 1, -1], 0.0, CHARSET),
    Case("mae", NUMBERS, NUMBERS.astype(np.float64), [1, 1.5], 0.0),
    Case("rmse", NUMBERS, NUMBERS.astype(np.float64), [1, 1.5], 0.0),
    Case("cosine", NUMBERS, NUMBERS.astype(np.float64), [1, -1], 1.0),
]


def scaled(folder: Path, factors: list[float], like: np.ndarray) -> Path:
    """A model that multiplies the last axis of x."""
    shape = ["n", *like.shape[1:]]
    made = build.model(
        [onnx.helper.make_node("Mul", ["x", "w"], ["y"])],
        [build.floats("x", shape)],
        [build.floats("y", shape)],
        [numpy_helper.from_array(np.array(factors, np.float32), "w")],
    )
    folder.mkdir()
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    return folder / "model.onnx"


def judging(tmp_path: Path, case: Case, demands: Demands) -> Judging:
    dims = (None, *case.x.shape[1:])
    return Judging(
        contract=Contract(
            inputs=(Tensor("x", "float32", dims),),
            outputs=(Tensor("y", "float32", dims),),
            max_batch=8,
            opset=17,
            nodes=1,
            parameters=1,
            bytes=1,
        ),
        dataset=str(tmp_path / "judged"),
        reference=str(tmp_path / "reference"),
        original=str(tmp_path / "original" / "model.onnx"),
        metric=case.metric,
        positive_class=None,
        demands=demands,
        min_speedup=0.0,
        threads=1,
    )


class Bench:
    """The original has run; candidates may."""

    def __init__(
        self, tmp_path: Path, case: Case, demands: Demands, mine: Own | None = None
    ) -> None:
        self._at, self._case = tmp_path, case
        Dataset({"x": case.x}, case.labels, case.charset).save(tmp_path / "judged")
        scaled(tmp_path / "original", [1.0] * case.x.shape[-1], case.x)
        self._judging = replace(judging(tmp_path, case, demands), own=mine).to_json()
        self.baseline = evaluate.baseline_task({"judging": self._judging})

    def candidate(
        self, name: str, factors: list[float], known: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        model = scaled(self._at / name, factors, self._case.x)
        executable = Executable(model).to_json()
        payload = {"judging": self._judging, "model": executable, "simulation": None}
        return evaluate.task({**payload, "known": known})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.metric)
def test_each_metric_lets_equal_answers_through_and_stops_spoilt_ones(
    tmp_path: Path, case: Case
) -> None:
    bench = Bench(tmp_path, case, Demands(max_drop=0.15, confidence=0.95))
    assert bench.baseline["metric"] == pytest.approx(case.best, abs=0.01)
    assert bench.baseline["needs"]["shortfalls"] == ()

    same = bench.candidate("same", [1.0] * case.x.shape[-1])
    assert "stopped" not in same
    assert same["gate"]["passes"]
    assert same["gate"]["drop"] == 0.0

    spoilt = bench.candidate("spoilt", case.spoil)
    assert spoilt["stopped"]["stage"] in ("fidelity", "full")
    assert spoilt["stopped"]["reason"].startswith(f"{case.metric} ")
    assert spoilt["gate"]["failed"] == ("maxDrop",)
    assert spoilt["gate"]["drop"] > 0.15


OWN = """
def spread(outputs, labels):
    return abs(outputs["y"] - labels).max(axis=1)

spread.larger_is_better = False
"""


def test_a_metric_of_ones_own_lets_equal_answers_through_and_stops_spoilt_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    asked = MetricRequest(uri="", entry="mine.py:spread", trusted=True, confined=False)
    found = own.survey(asked, tmp_path, tmp_path / "survey", Budget())
    case = Case("mae", NUMBERS, NUMBERS.astype(np.float64), [1, 1.5], 0.0)
    bench = Bench(tmp_path, case, Demands(max_drop=0.15, confidence=0.95), found)
    assert bench.baseline["metric"] == 0.0
    assert "stopped" not in bench.candidate("same", [1.0, 1.0])
    spoilt = bench.candidate("spoilt", case.spoil)
    assert spoilt["stopped"]["reason"].startswith("mine.py:spread 0.0000 -> ")
    assert spoilt["gate"]["lower"] > 0.15


PICKY = """
def near(outputs, labels):
    assert outputs["y"].max() < 10, "too large"
    return -abs(outputs["y"] - labels).max(axis=1)
"""


def test_a_metric_that_fails_on_one_candidate_refuses_that_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PICKY)
    asked = MetricRequest(uri="", entry="mine:near", trusted=True, confined=False)
    found = own.survey(asked, tmp_path, tmp_path / "survey", Budget())
    case = Case("mae", NUMBERS, NUMBERS.astype(np.float64), [100, 1], 0.0)
    bench = Bench(tmp_path, case, Demands(max_drop=0.15, confidence=0.95), found)
    with pytest.raises(
        RefusalError, match=r"AssertionError: too large \(line 3 of mine.py\)"
    ) as told:
        bench.candidate("spoilt", case.spoil)
    assert told.value.reason is Reason.INVALID_METRIC
    assert "stopped" not in bench.candidate("same", [1.0, 1.0])


DEMANDS = {
    "worst value": (Demands(max_drop=1.0, confidence=0.95, worst_value=0.9), "asked for"),
    "a class": (Demands(max_drop=1.0, confidence=0.95, max_class_drop=0.1), "recall of class 2"),
    "a floor": (Demands(max_drop=1.0, confidence=0.95, worst_class_value=0.8), "it may be as low"),
}


@pytest.mark.parametrize("name", DEMANDS)
def test_each_demand_stops_a_candidate(tmp_path: Path, name: str) -> None:
    demands, told = DEMANDS[name]
    bench = Bench(tmp_path, CASES[0], demands)
    assert "stopped" not in bench.candidate("same", [1.0, 1.0, 1.0])
    assert told in bench.candidate("spoilt", [1, 1, -1])["stopped"]["reason"]


def test_what_the_data_cannot_show_is_found_before_anything_is_built(tmp_path: Path) -> None:
    rare = replace(CASES[0], labels=np.where(np.arange(N) < 9, 2, CLASSES % 2))
    demands = Demands(max_drop=0.001, confidence=0.95, max_class_drop=0.05)
    drop, classes = Bench(tmp_path, rare, demands).baseline["needs"]["shortfalls"]
    assert "it takes at least 2703 samples" in drop
    assert "class 2 (9), each needs 52" in classes


def test_a_judging_travels_as_json(tmp_path: Path) -> None:
    demands = Demands(
        max_drop=0.1, confidence=0.9, worst_value=0.5, max_class_drop=0.2, worst_class_value=0.3
    )
    wanted = judging(tmp_path, CASES[0], demands)
    assert Judging.from_json(wanted.to_json()) == wanted


def test_of_a_known_verdict_the_quick_look_alone_is_taken_anew(tmp_path: Path) -> None:
    bench = Bench(tmp_path, CASES[0], Demands(max_drop=0.5, confidence=0.95))
    found = bench.candidate("equal", [1.0] * CASES[0].x.shape[-1])
    known = {**reuse.without_look(found), "gate": {"passes": True}, "computed": {"f32": 7}}

    again = bench.candidate("again", [1.0] * CASES[0].x.shape[-1], known)

    assert found["lookSpeedup"] > 0
    assert again["lookSpeedup"] not in (None, found["lookSpeedup"])
    assert {name: value for name, value in again.items() if name != "lookSpeedup"} == known


def test_a_known_smoke_failure_is_not_looked_at_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, CASES[0], Demands(max_drop=0.5, confidence=0.95))
    known = {"computed": None, "stopped": {"stage": "smoke", "reason": "not finite"}}
    assert bench.candidate("equal", [1.0] * CASES[0].x.shape[-1], known) == known
