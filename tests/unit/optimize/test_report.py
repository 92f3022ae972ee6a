"""What report.json and the summary say of a gate, against the published schema."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import report_schema

from tightship.optimize import arguments, artifact, prejudged, report, serving
from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.conversion import Conversion
from tightship.optimize.data import Dataset
from tightship.optimize.gate import verdict
from tightship.optimize.gate.needs import Needs
from tightship.optimize.gate.verdict import Demands
from tightship.optimize.intake import Intake
from tightship.optimize.metrics import registry
from tightship.optimize.metrics.base import Truth
from tightship.optimize.pytorch import source as pytorch
from tightship.optimize.pytorch.agreement import Agreement
from tightship.report import document, page

CONTRACT = Contract(
    inputs=(Tensor("x", "float32", (None, 2)),),
    outputs=(Tensor("y", "float32", (None, 2)),),
    max_batch=8,
    opset=17,
    nodes=1,
    parameters=1,
    bytes=1,
)
LABELS = np.array([0, 1] * 100)


def made(tmp_path: Path, *options: str, needs: Needs | None = None) -> Conversion:
    """A conversion whose baseline and one candidate have been judged."""
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    (tmp_path / "evaluation.npz").touch()
    command = ["m.onnx", "--output", "o", "--evaluation", "e.npz", *options]
    request = arguments.request(arguments.parser().parse_args(command))
    evaluation = Dataset({"x": np.zeros((200, 2), np.float32)}, LABELS)
    intake = Intake(
        model=tmp_path / "model.onnx",
        config=None,
        contract=CONTRACT,
        calibration=None,
        evaluation=evaluation,
        golden=evaluation,
        limitations=(),
        warnings=(),
    )
    found = Conversion(request, intake, intake.model, serving.completed(CONTRACT, None, 1))
    needed = needs or Needs(resolution=0.013, samples=268, exact=True, shortfalls=())
    found.baseline = {
        "metric": 0.97,
        "samples": 200,
        "needs": {
            "resolution": needed.resolution,
            "samples": needed.samples,
            "exact": needed.exact,
            "shortfalls": list(needed.shortfalls),
        },
    }
    found.candidates = [Candidate("static-int8", "Quantize", verdicts={"gate": _verdict(found)})]
    return found


def _verdict(found: Conversion) -> dict[str, Any]:
    request = found.request
    demands = Demands(
        max_drop=request.max_drop,
        confidence=request.confidence,
        worst_value=request.worst_value,
        max_class_drop=request.max_class_drop,
        worst_class_value=request.worst_class_value,
    )
    labels = LABELS if found.metric.name in ("accuracy", "f1") else LABELS[:, np.newaxis] * 1.0
    answers = np.where(np.arange(200) < 20, 1 - labels.T, labels.T).T
    judged = [
        registry.judge(found.metric.name, Truth(labels=labels), {}, {"y": each})
        for each in (labels, answers)
    ]
    return verdict.judge(found.metric, judged[0], judged[1], demands, LABELS).to_json()


ASKED = {
    "plain": (["--metric", "accuracy"], "higher is better", ["maxDrop"]),
    "demands": (
        [
            *("--metric", "f1", "--worst-value", "0.99", "--max-class-drop", "0.05"),
            *("--worst-class-value", "0.9"),
        ],
        "higher is better",
        ["maxDrop", "worstValue", "maxClassDrop", "worstClassValue"],
    ),
    "smaller is better": (
        ["--metric", "mae", "--max-drop", "3", "--worst-value", "9"],
        "lower is better",
        [],
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_the_report_has_the_published_form(name: str, tmp_path: Path) -> None:
    options, direction, failed = ASKED[name]
    found = json.loads(json.dumps(report.report(made(tmp_path, *options)), allow_nan=False))
    report_schema.validate(found)
    assert found["gate"]["direction"] == direction
    assert found["candidates"][0]["gate"]["failed"] == failed


def test_a_model_of_torch_is_told(tmp_path: Path) -> None:
    found = made(tmp_path, "--metric", "accuracy", "--format", "torch", "--trusted-code")
    facts = {
        "format": "program",
        "trustedCode": True,
        "versions": {"torch": "2"},
        "inputs": {"x": "float32"},
        "rows": "given",
        "agreement": Agreement(calls=8, difference=1e-6).to_json(),
        "notes": [],
    }
    exported = pytorch.Exported(model=found.original, facts=facts)
    found.intake = replace(found.intake, exported=exported)
    told = report.report(found)
    report_schema.validate(told)
    assert told["source"]["torch"] == facts
    assert "torch --trusted-code" in " ".join(told["reproduce"]["command"])


@pytest.mark.parametrize("name", ASKED)
def test_the_page_lies_beside_the_report(name: str, tmp_path: Path) -> None:
    found = made(tmp_path, *ASKED[name][0])
    assert artifact.write(found, tmp_path / "out") is None
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    shown = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert shown == page.page(document.read(told))
    assert found.metric.name in shown


@pytest.mark.parametrize(("metric", "word"), [("accuracy", "drop"), ("rmse", "rise")])
def test_the_reason_says_what_was_allowed(metric: str, word: str, tmp_path: Path) -> None:
    found = made(tmp_path, "--metric", metric)
    found.chosen = found.candidates[0]
    assert f"within the {word} of 0.01 that is allowed" in report.reason(found)


def test_a_gate_that_cannot_be_shown_is_the_reason(tmp_path: Path) -> None:
    told = "a loss of accuracy of at most 0.01 at 95% confidence: there are 200, it takes 268"
    needs = Needs(resolution=0.013, samples=268, exact=True, shortfalls=(told,))
    found = made(tmp_path, needs=needs)
    found.unjudged = prejudged.unjudged(found)
    found.candidates[0].refuse(Status.INELIGIBLE, found.unjudged)
    assert told in report.reason(found)
    assert any(told in warning for warning in found.warnings)


def test_an_original_below_the_worst_value_is_told(tmp_path: Path) -> None:
    assert prejudged.missed(made(tmp_path, "--worst-value", "0.9")) == []
    (told,) = prejudged.missed(made(tmp_path, "--worst-value", "0.98"))
    assert "0.9700 is worse than the worstValue of 0.98" in told
    (risen,) = prejudged.missed(made(tmp_path, "--metric", "rmse", "--worst-value", "0.5"))
    assert "rmse of 0.9700" in risen


def test_an_original_that_hardly_knows_a_class_is_told(tmp_path: Path) -> None:
    found = made(tmp_path, "--worst-class-value", "0.9")
    found.baseline["lowestClass"] = {"label": 7, "n": 40, "recall": 0.9}
    assert prejudged.missed(found) == []
    found.baseline["lowestClass"] = {"label": 7, "n": 40, "recall": 0.875}
    (told,) = prejudged.missed(found)
    assert "recall of class 7, 0.8750 on 40 samples, is below the worstClassValue of 0.9" in told
