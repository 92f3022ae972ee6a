"""`tightship optimize --trainer`: trained candidates go through the same stages as all others."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.training.conftest import Scene

from tightship.optimize import cli
from tightship.optimize.budget import Budget

FEW = ["--train-epochs", "3", "--train-learning-rate", "2e-3", "--train-threads", "1"]
ALONE = ["--no-openvino", "--no-quantize", "--no-half-precision", "--no-prune"]


@pytest.fixture(autouse=True)
def _little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    """A calm machine is believed after one round of timing instead of three."""
    monkeypatch.setattr(cli, "Budget", lambda **known: Budget(timing_processes_min=1, **known))


def optimized(scene: Scene, output: Path, *options: str) -> dict[str, Any]:
    data = ["--evaluation", str(scene.evaluation), "--calibration", str(scene.calibration)]
    trainer = ["--trainer", scene.trainer, *FEW]
    code = cli.main(
        [str(scene.model), "--output", str(output), "--max-drop=0.1", *data, *trainer, *options]
    )
    assert code == 0
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    return report


def test_pruned_channels_are_chosen_and_quantized(scene: Scene, tmp_path: Path) -> None:
    report = optimized(
        scene,
        tmp_path / "out",
        "--train-techniques=channels",
        "--no-openvino",
        "--no-half-precision",
    )
    found = {each["id"]: each for each in report["candidates"]}

    half = found["channels-50"]
    assert half["status"] in ("passed", "chosen"), half["reason"]
    assert half["technique"] == "Prune"
    assert half["coverage"]["parameterShare"] < 0.3
    assert half["bytes"] < 0.5 * scene.model.stat().st_size
    assert any("trained for" in note for note in half["notes"])
    assert half["passes"] == [
        {"name": "trained", "params": {"technique": "channels", "share": 0.5}}
    ]

    both = found["channels-50+static-int8"]
    assert both["technique"] == "Prune+Quantize"
    assert both["coverage"]["integerNodes"] > 0
    assert both["coverage"]["parameterShare"] == half["coverage"]["parameterShare"]
    assert both["notes"] == []  # it was not trained again

    assert report["selection"]["variant"].startswith("channels-")
    assert "was not asked for" in found["separable"]["reason"]
    assert "bring no speed" in found["zeros"]["reason"]
    assert "--train-techniques=channels" in report["reproduce"]["command"]


FAILING = """
from digits import Digits
class T(Digits):
    def students(self):
        return {"none": lambda: None}
"""
OTHER = """
from digits import Digits
from torch import nn
class T(Digits):
    def build(self):
        model = super().build()
        nn.init.zeros_(model[-1].weight)
        return model
"""


def test_what_fails_or_brings_nothing_is_one_line_in_the_report(
    scene: Scene, tmp_path: Path
) -> None:
    (scene.folder / "failing.py").write_text(FAILING)
    trainer = ["--trainer", f"{scene.folder}/failing.py:T", "--train-techniques=zeros,students"]
    report = optimized(scene, tmp_path / "out", *trainer, *ALONE)
    found = {each["id"]: each for each in report["candidates"]}
    for name in ("zeros-50", "zeros-2of4"):
        assert found[name]["status"] == "tooSlow"
        assert "zeros bring no speed" in found[name]["reason"]
        assert found[name]["coverage"]["zeroWeightShare"] == pytest.approx(0.5, abs=0.02)
    assert found["student-none"]["status"] == "error"
    assert "gives a NoneType as student 'none'" in found["student-none"]["reason"]
    assert report["selection"]["variant"] == "original"


BROKEN = {
    "raises": ("raise KeyError('weights are not there')", "weights are not there"),
    "another model": (OTHER, "builds another model than the given file"),
    "ends the process": ("import os; os._exit(3)", "ended without a word"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_trainer_that_does_not_work_is_refused_in_a_sentence(
    name: str, scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, words = BROKEN[name]
    trainer = scene.folder / "broken.py"
    trainer.write_text(code)
    given = ["--evaluation", str(scene.evaluation), "--output", str(tmp_path / "out")]
    assert cli.main([str(scene.model), *given, "--trainer", f"{trainer}:T"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("InvalidTrainer: The trainer ")
    assert words in last
