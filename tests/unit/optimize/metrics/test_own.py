"""A user's own metric: its bounds cover the truth, and whatever it does wrong is one plain line."""

import dataclasses
import importlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tightship.api.job import MetricRequest
from tightship.optimize import sandbox
from tightship.optimize.budget import Budget
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.gate import bootstrap, verdict
from tightship.optimize.gate.verdict import Demands, Verdict
from tightship.optimize.metrics import declared, own
from tightship.optimize.metrics.base import Judged, Kind, Traits
from tightship.optimize.metrics.own import Asked, Own
from tightship.optimize.runtime import Outputs
from tightship.optimize.sandbox import Limits

N = 60
RNG = np.random.default_rng(4)
LABELS = RNG.integers(0, 3, N)
ANSWERS = {"y": (np.eye(3)[LABELS] + 0.1 * RNG.random((N, 3))).astype(np.float32)}
WORSE = {"y": np.where(np.arange(N)[:, None] < 6, ANSWERS["y"][:, ::-1], ANSWERS["y"])}
ASKED = Asked(confidence=0.95, checks=True)

RIGHT = """
def metric(outputs, labels):
    return outputs["y"].argmax(axis=1) == labels
"""
RANGED = RIGHT + "metric.low, metric.high = 0, 1\n"
AGGREGATE = """
def metric(outputs, labels):
    return 1 - (outputs["y"].argmax(axis=1) == labels).mean()
metric.aggregate, metric.larger_is_better, metric.unit = True, False, "share of errors"
"""
OBJECT = """
class Metric:
    larger_is_better = False
    def __call__(self, outputs, labels):
        return abs(outputs["y"] - __import__("numpy").eye(3)[labels]).mean(axis=1)
metric = Metric
"""


def _called(task: str, payload: dict[str, Any], scratch: Path, limits: Limits) -> dict[str, Any]:
    """A child's work in this process, through JSON all the same."""
    del scratch, limits
    module, _, name = task.partition(":")
    function = getattr(importlib.import_module(module), name)
    answer: dict[str, Any] = json.loads(json.dumps(function(json.loads(json.dumps(payload)))))
    return answer


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Spawning takes half a second; what needs a real child asks for it."""
    if "child" not in request.node.fixturenames:
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.setattr(sandbox, "run_confined", _called)


@pytest.fixture
def child() -> None:
    """The test runs real children."""


def surveyed(
    code: str, folder: Path, budget: Budget | None = None, better: str | None = None
) -> Own:
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code" / "mine.py").write_text(code)
    asked = MetricRequest(
        uri="", entry="mine.py:metric", trusted=True, confined=False, better=better
    )
    return own.survey(asked, folder / "code", folder / "survey", budget or Budget())


def judged(code: str, folder: Path, *answers: Outputs, asked: Asked = ASKED) -> list[Judged]:
    found = surveyed(code, folder)
    return own.judge(found, LABELS, answers or (ANSWERS,), asked, folder / "judge")


def test_scores_are_parts_and_their_mean_the_value(tmp_path: Path) -> None:
    first, second = judged(RIGHT, tmp_path, ANSWERS, WORSE)
    assert (first.value, len(first.parts)) == (1.0, N)
    expected = WORSE["y"].argmax(axis=1) == LABELS
    assert second.parts.tolist() == expected.astype(float).tolist()
    assert second.value == pytest.approx(expected.mean())
    assert 0 < first.unseen(N, 1.645) < 1
    assert not (tmp_path / "judge" / "given").exists()


def test_a_known_range_is_what_a_lost_sample_costs(tmp_path: Path) -> None:
    (found,) = judged(RANGED, tmp_path)
    assert found.unseen(N, 2.0) == pytest.approx(4 / (N + 4))
    assert surveyed(RANGED, tmp_path).traits.counted


def test_an_object_may_be_smaller_is_better(tmp_path: Path) -> None:
    assert not surveyed(OBJECT, tmp_path).traits.larger_is_better
    first, second = judged(OBJECT, tmp_path, ANSWERS, WORSE)
    assert first.value < second.value


def test_an_aggregate_is_resampled_alike_for_both_models(tmp_path: Path) -> None:
    same, again, worse = judged(AGGREGATE, tmp_path, ANSWERS, ANSWERS, WORSE)
    assert same.resampled is not None
    assert worse.resampled is not None
    assert same.resampled.tolist() == again.resampled.tolist()  # type: ignore[union-attr]
    assert len(worse.resampled) == bootstrap.count(0.95) == 1000
    traits = surveyed(AGGREGATE, tmp_path).traits
    assert (traits.kind, traits.unit) == (Kind.RESAMPLED, "share of errors")
    lower, upper = verdict.loss_bounds(traits, same, worse, 0.95)
    assert lower < worse.value - same.value < upper


def test_few_equal_samples_do_not_pass(tmp_path: Path) -> None:
    """A bootstrap of equal answers shows no spread at all: the bound must come from elsewhere."""
    for code in (RIGHT, AGGREGATE):
        traits = surveyed(code, tmp_path).traits
        before, after = judged(code, tmp_path, ANSWERS, ANSWERS)
        assert _verdict(traits, before, after, 0.01).failed == ("maxDrop",)
        assert _verdict(traits, before, after, 0.2).passes


def _verdict(traits: Traits, before: Judged, after: Judged, drop: float) -> Verdict:
    return verdict.judge(traits, before, after, Demands(max_drop=drop, confidence=0.95))


MISTAKES = {
    "raises": (
        "def metric(outputs, labels):\n    return outputs['z']\n",
        r"failed on 60 samples: KeyError: 'z' \(line 2 of mine.py\)",
    ),
    "exits": ("def metric(o, l):\n    raise SystemExit(0)\n", "SystemExit: 0 .line 2"),
    "not a number": (
        "def metric(o, l):\n    return l * float('nan')\n",
        "gives nan for sample 0, whose answer is finite",
    ),
    "too few": (
        "def metric(o, l):\n    return l[:3] * 1.0\n",
        r"shape \[3\] .* each of 60 samples",
    ),
    "one number": ("def metric(o, l):\n    return 0.5\n", "one float; .*aggregate = True"),
    "nothing": ("def metric(o, l):\n    pass\n", "gives None; one score for each"),
    "text": ("def metric(o, l):\n    return ['a'] * len(l)\n", "dtype <U1; one score"),
    "random": (
        "import random\ndef metric(o, l):\n    return [random.random() for _ in l]\n",
        "not deterministic: asked twice .* for sample 0. Seed",
    ),
    "samples judged together": (
        "def metric(o, l):\n    return (o['y'].argmax(1) == l) / len(l)\n",
        "does not judge each sample by itself: .*aggregate = True",
    ),
    "blind": ("def metric(o, l):\n    return l * 0 + 1\n", "judges nothing"),
    "backwards": (
        RIGHT + "metric.larger_is_better = False\n",
        r"a better 0\.28.* smaller is better. Set `larger_is_better` right",
    ),
    "backwards aggregate": (AGGREGATE + "metric.larger_is_better = True\n", "a better 0.6"),
    "out of its range": (RIGHT + "metric.high = 0.5\n", "gives 1, outside its own range"),
    "aggregate of many": (RIGHT + "metric.aggregate = True\n", "an aggregate gives one number"),
    "aggregate is not a number": (
        "def metric(o, l):\n    return float('nan')\nmetric.aggregate = True\n",
        "gives nan for all samples",
    ),
    "undefined in resamples": (
        AGGREGATE.replace("    ret", "    assert len({*outputs['y'][:, 0]}) > 50\n    ret"),
        "no value in 1000 of 1000 random resamples.*AssertionError",
    ),
    "misspelt direction": (RIGHT + "metric.smaller_is_better = True\n", "means nothing"),
    "misspelt in a class": (
        OBJECT.replace("larger_is", "higher_is"),
        "`higher_is_better`, which means nothing",
    ),
    "direction of another kind": (RIGHT + "metric.larger_is_better = 'no'\n", "True or False is"),
    "bound of another kind": (RIGHT + "metric.low = '0'\n", "'0' as `low`; a number is due"),
    "empty range": (RIGHT + "metric.low = metric.high = 1\n", "`low` below `high` is due"),
    "no text as unit": (RIGHT + "metric.unit = 3\n", "as `unit`; a text"),
    "no function": ("metric = 3\n", "is a int; a function"),
    "no such name": ("x = 3\n", "file has no 'metric'"),
    "no Python": ("def metric(:\n", r"cannot be loaded: SyntaxError: .*line 1 of mine.py"),
    "too slow to be resampled": (
        "import time" + AGGREGATE.replace("    ret", "    time.sleep(0.2)\n    ret"),
        "too long for the 1050 calls .* fewer samples",
    ),
    "raises when loaded": ("1 / 0\n", r"cannot be loaded: ZeroDivisionError.*\(line 1 of mine"),
    "not installed": ("import no_such_package\n", "ModuleNotFoundError: No module"),
}


ENDS = {
    "without a word": (
        "import os\nprint('hello')\nos._exit(0)\n",
        "failed: hello. Try it by itself",
    ),
    "by a signal": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
        "ended by SIGSEGV",
    ),
}


@pytest.mark.usefixtures("child")
@pytest.mark.parametrize("name", ENDS)
def test_the_end_of_its_process_is_one_line(name: str, tmp_path: Path) -> None:
    code, words = ENDS[name]
    with pytest.raises(RefusalError, match=words):
        surveyed(code, tmp_path)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_its_cause(name: str, tmp_path: Path) -> None:
    code, words = MISTAKES[name]
    with pytest.raises(RefusalError, match=words) as caught:
        judged(code, tmp_path)
    assert "\n" not in caught.value.message
    assert "Traceback" not in caught.value.message
    assert caught.value.message.startswith("The metric ")
    assert caught.value.reason is Reason.INVALID_METRIC


@pytest.mark.usefixtures("child")
def test_what_hangs_is_ended(tmp_path: Path) -> None:
    code = "import threading\nthreading.Event().wait()\n"
    with pytest.raises(RefusalError, match=r"took longer than 2 s\. Make it faster"):
        surveyed(code, tmp_path, Budget(metric_seconds=2.0))


def test_prints_and_changed_arguments_do_no_harm(tmp_path: Path) -> None:
    body = "    print('x' * 10**6)\n    found = outputs['y'].argmax(axis=1) == labels\n"
    spoils = "    outputs['y'][:] = 0\n    labels[:] = 0\n    outputs.clear()\n    return found\n"
    code = f"def metric(outputs, labels):\n{body}{spoils}"
    assert judged(code, tmp_path)[0].value == 1.0


def test_an_answer_that_is_not_finite_is_the_worst(tmp_path: Path) -> None:
    code = "def metric(o, l):\n    return 1 - abs(o['y'][:, 0] - o['y'][:, 0].clip(0, 1))\n"
    broken = {"y": ANSWERS["y"].copy()}
    broken["y"][7] = np.nan
    for limits, worst in (("", -1e30), ("metric.low, metric.high = -2, 1\n", -2.0)):
        (found,) = judged(code + limits, tmp_path, broken, asked=Asked(confidence=0.95))
        assert found.parts[7] == worst


@pytest.mark.usefixtures("child")
def test_what_it_leaves_must_be_plain_files(tmp_path: Path) -> None:
    code = RIGHT + "import os\nos.symlink('/etc/passwd', 'link')\n"
    with pytest.raises(RefusalError, match=r"mine\.py:metric left what it may not: .*link"):
        surveyed(code, tmp_path)


@pytest.mark.usefixtures("child")
def test_code_writes_nowhere_else(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    code = f"open({str(target)!r}, 'w')\n"
    with pytest.raises(RefusalError, match=r"PermissionError.*cannot write outside its own folder"):
        surveyed(code, tmp_path)
    assert not target.exists()


DIRECTIONS = {
    "not said": (RIGHT, None, True),
    "said beside the code": (
        OBJECT.replace("    larger_is_better = False\n", ""),
        "smaller",
        False,
    ),
    "said twice alike": (OBJECT, "smaller", False),
    "larger": (RIGHT, "larger", True),
}


@pytest.mark.parametrize("name", DIRECTIONS)
def test_which_direction_is_better(name: str, tmp_path: Path) -> None:
    code, better, larger = DIRECTIONS[name]
    found = surveyed(code, tmp_path, better=better)
    assert found.traits.larger_is_better is larger
    asked = Asked(confidence=0.95, checks=True)
    assert own.judge(found, LABELS, (ANSWERS,), asked, tmp_path / "judge")
    assert Own.from_json(dataclasses.asdict(found)) == found


@pytest.mark.parametrize(("code", "better"), [(OBJECT, "larger"), (AGGREGATE, "larger")])
def test_two_directions_are_one_too_many(code: str, better: str, tmp_path: Path) -> None:
    with pytest.raises(RefusalError, match=r"larger_is_better = False.*Correct one of them"):
        surveyed(code, tmp_path, better=better)


def test_a_bootstrap_bound_covers_the_truth_as_often_as_it_says() -> None:
    """The root of a mean square, which is no mean: rare large errors that few samples hold."""
    rounds, n, rare, size = 100, 300, 0.02, 3.0
    truth = math.sqrt(1 + rare * size**2) - 1
    rng = np.random.default_rng(8)
    covered = []
    for _ in range(rounds):
        before = rng.standard_normal(n)
        after = np.hypot(before, np.where(rng.random(n) < rare, size, 0.0))
        losses = np.array([_rms(after[r]) - _rms(before[r]) for r in bootstrap.rows(n, 200)])
        unseen = math.sqrt(1 + 2.7 / (n + 2.7) * size**2) - 1
        upper = bootstrap.bounds(_rms(after) - _rms(before), losses, n, unseen, 0.95)[1]
        covered.append(upper >= truth)
    assert np.mean(covered) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / rounds)


def _rms(values: np.ndarray) -> float:
    return math.sqrt(float((values**2).mean()))


def test_a_bound_is_on_the_side_of_the_greater_distance() -> None:
    low, high = bootstrap.bounds(0.0, np.array([-0.1, 0.0, 0.3, np.nan]), 10**9, 0.0, 0.999)
    assert (low, high) == pytest.approx((-0.3, 0.3), abs=1e-3)


def test_traits_of_a_plain_function() -> None:
    def near(outputs: Outputs, labels: np.ndarray) -> np.ndarray:
        return np.asarray(outputs["y"][:, 0] - labels)

    found = declared.traits(near, "a.py:near")
    assert (found.name, found.low, found.high) == ("a.py:near", -math.inf, math.inf)
    assert found.larger_is_better
    assert not found.counted
