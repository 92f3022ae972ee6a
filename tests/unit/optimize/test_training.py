"""Training without torch: options, the request on the wire, what is proposed, what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.corpus.models import build
from tests.unit.optimize.test_reproduce import asked
from tests.unit.optimize.test_techniques import FACTS

from tightship.api.job import JobRequest
from tightship.optimize import cli, pipeline, techniques, training
from tightship.optimize.budget import Budget
from tightship.optimize.candidate import Candidate
from tightship.optimize.contenders import done_before
from tightship.optimize.engine import Executable
from tightship.optimize.failures import RefusalError
from tightship.optimize.folders import Folders
from tightship.optimize.techniques import Ineligible, Recipe, trained


def found(technique: str, id_: str, reason: str = "", **params: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    return {"technique": technique, "id": id_, "reason": reason, "params": params}


def proposed(*proposals: dict[str, Any], **facts: Any) -> dict[str, Recipe | Ineligible]:  # noqa: ANN401 (fields of Facts)
    given = replace(FACTS, trained=proposals, **facts)
    return {each.id: each for each in trained.propose(given)}


def test_the_request_comes_over_the_wire_as_it_was() -> None:
    request = asked("--trainer", "digits.py:Digits", "--train-techniques=depth")
    assert JobRequest.from_json(request.to_json()) == request
    assert JobRequest.from_json(asked().to_json()).trainer is None


def test_every_trained_candidate_is_followed_by_int8() -> None:
    recipes = proposed(found("channels", "channels-50", share=0.5))
    assert list(recipes) == ["channels-50", "channels-50+static-int8"]
    alone, both = recipes.values()
    assert isinstance(alone, Recipe)
    assert isinstance(both, Recipe)
    assert (alone.technique, both.technique) == ("Prune", "Prune+Quantize")
    assert both.after == alone.id
    assert both.passes[:1] == alone.passes
    assert trained.trains(alone)
    assert not trained.trains(both)


def test_what_int8_is_on_top() -> None:
    student = found("students", "student-a", name="a")
    assert set(proposed(student, calibration=False)) == {"student-a", "student-a+dynamic-int8"}
    assert set(proposed(student, quantize=False)) == {"student-a"}
    assert proposed(student)["student-a"].technique == "Distill"
    assert proposed(found("depth", "depth"))["depth"].technique == "Architecture"


def test_zeros_say_why_they_are_slow_and_are_not_quantized() -> None:
    (recipe,) = proposed(found("zeros", "zeros-50")).values()
    assert isinstance(recipe, Recipe)
    assert "no speed" in recipe.slow


def test_reasons_are_passed_on_and_paths_are_not() -> None:
    recipes = proposed(found("depth", "depth", "no block"), found("students", "../../etc"))
    (refused,) = recipes.values()
    assert isinstance(refused, Ineligible)
    assert refused.reason == "no block"


def test_nothing_is_proposed_without_a_trainer() -> None:
    assert not [each for each in techniques.propose(FACTS) if each.id.startswith("channels")]


def test_a_candidate_goes_on_from_what_it_builds_on(tmp_path: Path) -> None:
    recipes = proposed(found("channels", "channels-50", share=0.5))
    alone, both = recipes.values()
    assert isinstance(alone, Recipe)
    assert isinstance(both, Recipe)
    before = Candidate(alone.id, alone.technique, recipe=alone)
    assert done_before(before, both) == 0  # it has no file
    before.model = Executable(tmp_path / "model.onnx", alone.engine)
    assert done_before(before, both) == 1
    assert done_before(replace(before, recipe=replace(alone, passes=both.passes[1:])), both) == 0
    assert done_before(None, alone) == 0


REFUSED = {
    "without a trainer": (["--train-epochs", "3"], "--train-epochs needs --trainer"),
    "no name": (["--trainer", "digits.py"], "has to be FILE.py:NAME"),
    "out of range": (["--trainer", "d.py:D", "--train-alpha", "2"], "alpha is 2.0"),
    "no technique": (["--trainer", "d.py:D", "--train-techniques", "magic"], "'magic' is none of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_options_are_refused_before_anything_is_done(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, words = REFUSED[name]
    with pytest.raises(SystemExit):
        cli.main(["m.onnx", "--output", str(tmp_path / "out"), *options])
    assert words in capsys.readouterr().err


def test_a_trainer_runs_only_where_it_is_trusted(tmp_path: Path) -> None:
    request = asked("--trainer", "digits.py:Digits")
    assert request.trainer is not None
    doubted = replace(request, trainer=replace(request.trainer, trusted=False))
    with pytest.raises(RefusalError, match="trustedCode"):
        pipeline.convert(doubted, Folders(tmp_path), Budget(), None, print)


def test_without_torch_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "find_spec", lambda name: None if name == "torch" else name)
    model = tmp_path / "model.onnx"
    model.write_bytes(build.perceptron().SerializeToString())
    given = ["--output", str(tmp_path / "out"), "--trainer", "digits.py:Digits"]
    assert cli.main([str(model), *given]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "InvalidTrainer: torch is not installed: pip install tightship[torch]."
