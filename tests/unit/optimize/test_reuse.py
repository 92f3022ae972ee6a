"""Keys of the cache: everything that decides a result is in them, and nothing else."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tightship.optimize import reuse
from tightship.optimize.budget import Budget
from tightship.optimize.cache import Cache
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.engine import Engine, Executable
from tightship.optimize.evaluate import Judging
from tightship.optimize.gate.verdict import Demands
from tightship.optimize.metrics.own import Own
from tightship.optimize.metrics.registry import traits
from tightship.optimize.reuse import Reuse
from tightship.optimize.techniques import Pass, Recipe

CONTRACT = Contract(
    inputs=(Tensor("x", "float32", (None, 4)),),
    outputs=(Tensor("y", "float32", (None, 2)),),
    max_batch=8,
    opset=17,
    nodes=1,
    parameters=1,
    bytes=1,
)
BUDGET = Budget()
RECIPE = Recipe(id="a", technique="Quantize", passes=(Pass("static_int8", {"reduce": True}),))
JUDGING = Judging(
    contract=CONTRACT,
    dataset="",
    reference="",
    original="",
    metric="accuracy",
    positive_class=None,
    demands=Demands(max_drop=0.01, confidence=0.95),
    min_speedup=1.05,
    threads=1,
)


@dataclass(frozen=True)
class Run:
    """What one conversion is about."""

    model: bytes = b"model"
    normalised: bytes = b"normalised"
    calibration: bytes = b"calibration"
    judged: bytes = b"judged"
    contract: Contract = CONTRACT
    judging: Judging = JUDGING
    recipe: Recipe = RECIPE
    budget: Budget = BUDGET
    installed: tuple[tuple[str, Any], ...] = ()

    def keys(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
        """In a scratch folder of its own."""
        monkeypatch.setattr(reuse, "installed", lambda: {"code": "1", **dict(self.installed)})
        for name in ("model", "normalised", "calibration/0.npy", "judged/0.npy"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(getattr(self, name.partition("/")[0]))
        found = Reuse(Cache(root, 0, print), root / "model", self.contract, self.budget)
        judging = replace(self.judging, dataset=str(root), reference=str(root), original=str(root))
        found.given(root / "calibration", root / "judged", judging)
        found.start_from(root / "normalised")
        return {
            "baseline": found.baseline(),
            "normalised": found.normalised(),
            "built": found.built(self.recipe),
            "verdict": found.verdict(self.recipe),
        }


BUILDS = frozenset({"built", "verdict"})
JUDGES = frozenset({"baseline", "verdict"})
ALL = BUILDS | JUDGES | {"normalised"}
CHANGES: dict[str, tuple[Run, frozenset[str]]] = {
    "nothing": (Run(), frozenset()),
    "model": (Run(model=b"other"), ALL),
    "contract": (Run(contract=replace(CONTRACT, max_batch=4)), ALL),
    "calibration": (Run(calibration=b"other"), ALL),
    "package": (Run(installed=(("packages", {"onnxruntime": "2"}),)), ALL),
    "code": (Run(installed=(("code", "2"),)), ALL),
    "processor": (Run(installed=(("processor", ["avx2"]),)), ALL),
    "samples to verify with": (Run(budget=Budget(verify_samples=1)), ALL),
    "normalised file": (Run(normalised=b"other"), BUILDS),
    "pass": (Run(recipe=replace(RECIPE, passes=(Pass("dynamic_int8"),))), BUILDS),
    "setting": (Run(recipe=replace(RECIPE, passes=(Pass("static_int8", {}),))), BUILDS),
    "runtime": (Run(recipe=replace(RECIPE, engine=Engine(backend="openvino"))), BUILDS),
    "evaluation": (Run(judged=b"other"), JUDGES),
    "metric": (Run(judging=replace(JUDGING, metric="f1")), JUDGES),
    "gate": (
        Run(judging=replace(JUDGING, demands=Demands(max_drop=0.02, confidence=0.95))),
        JUDGES,
    ),
    "name of the candidate": (Run(recipe=replace(RECIPE, id="b", slow="why")), frozenset()),
    "least speed-up": (Run(judging=replace(JUDGING, min_speedup=2.0)), frozenset()),
    "threads of the server": (Run(judging=replace(JUDGING, threads=2)), frozenset()),
    "effort of timing": (Run(budget=Budget(timing_processes=9)), frozenset()),
}


@pytest.mark.parametrize(("run", "differ"), CHANGES.values(), ids=CHANGES)
def test_what_a_change_makes_unknown(
    run: Run, differ: frozenset[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Run().keys(tmp_path / "before", monkeypatch)
    after = run.keys(tmp_path / "after", monkeypatch)
    assert {kind for kind in before if before[kind] != after[kind]} == differ
    assert len(set(after.values())) == len(after)


def test_what_was_trained_has_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(RECIPE, passes=(Pass("trained", {"name": "prune"}), Pass("static_int8")))
    keys = Run(recipe=recipe).keys(tmp_path, monkeypatch)
    assert (keys["built"], keys["verdict"]) == (None, None)


def test_what_an_accelerator_answers_has_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(RECIPE, engine=Engine(accelerator="tensorrt"))
    keys = Run(recipe=recipe).keys(tmp_path, monkeypatch)
    assert keys["built"] is not None
    assert keys["verdict"] is None


def test_what_a_metric_of_the_users_own_says_has_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Own(folder="/metric", entry="m.py:f", traits=traits("accuracy"))
    keys = Run(judging=replace(JUDGING, metric=None, own=own)).keys(tmp_path, monkeypatch)
    assert (keys["baseline"], keys["verdict"]) == (None, None)
    assert keys["built"] == Run().keys(tmp_path / "plain", monkeypatch)["built"]


def test_without_a_cache_nothing_is_found_or_kept(tmp_path: Path) -> None:
    nothing = Reuse(None, tmp_path / "not-read", CONTRACT, Budget())
    nothing.given(tmp_path / "not-read", tmp_path / "not-read", JUDGING)
    nothing.start_from(tmp_path / "not-read")
    nothing.put(nothing.baseline(), {"a": 1}, {})
    assert nothing.get("baseline", nothing.baseline(), tmp_path) is None
    assert nothing.told == ""


def test_a_simulation_is_found_where_the_file_is(tmp_path: Path) -> None:
    built: dict[str, Any] = {
        "simulation": str(tmp_path / "simulation.onnx"),
        "ineffective": None,
        "notes": [],
    }
    told, files = reuse.kept(built, Executable(tmp_path / "model.onnx"))
    assert set(files) == {"model.onnx", "simulation.onnx"}
    there = reuse.here(told, Path("/elsewhere"))
    assert there == {**built, "simulation": "/elsewhere/simulation.onnx"}


@pytest.mark.parametrize(
    ("stage", "holds"), [(None, True), ("smoke", True), ("full", True), ("look", False)]
)
def test_a_verdict_that_rests_on_speed_is_not_kept(stage: str | None, holds: object) -> None:
    found: dict[str, Any] = {"lookSpeedup": 1.2, "stopped": {"stage": stage} if stage else None}
    assert reuse.timeless(found) is holds
    assert "lookSpeedup" not in reuse.without_look(found)


def test_this_machine_is_told_apart_from_others() -> None:
    here = reuse.installed()
    assert here["packages"]["onnxruntime"]
    assert here["processor"]
    assert len(here["code"]) == 64
