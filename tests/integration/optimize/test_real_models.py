"""Techniques on the examples' real models and data: what each keeps of the accuracy, and its size.

Neither model has depthwise convolutions; PP-OCR's angle classifier in the benchmarks has.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.e2e.support import examples

from tightship.optimize import build, engine, graph, machine, normalise, runtime, techniques
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.data import Dataset
from tightship.optimize.engine import Executable
from tightship.optimize.techniques import Facts, Ineligible, Recipe, static_int8

BATCH, CALIBRATION, EVALUATION = 16, 32, 160
INTERFACES = {
    "digits": (
        Tensor("pixels", "float32", (None, 64)),
        Tensor("probabilities", "float32", (None, 10)),
    ),
    "magika": (
        Tensor("bytes", "int32", (None, 2048)),
        Tensor("target_label", "float32", (None, 214)),
    ),
}
VARIANTS: dict[str, dict[str, Any]] = {
    "without the ends": {"excluded": ["first", "last"]},
    "per tensor": {"per_channel": False},
    "all operators": {"operators": "all"},
}
"""Of static int8: points of a search, or refused for these models."""


@dataclass(frozen=True)
class Subject:
    """A model as the techniques get it, and its data."""

    folder: Path
    facts: Facts
    evaluation: Dataset
    labels: np.ndarray

    @property
    def contract(self) -> Contract:
        return self.facts.contract

    @property
    def original(self) -> Executable:
        return Executable(self.folder / "normalised.onnx")

    def payload(self, source: Path) -> dict[str, Any]:
        samples, contract = str(self.folder / "samples"), self.contract.to_json()
        common = {"samples": samples, "contract": contract, "batch": BATCH, "trainer": None}
        return {"source": str(source), **common}

    def built(self, recipe: Recipe, folder: Path) -> tuple[Executable, dict[str, Any]]:
        model = Executable(folder / recipe.file, recipe.engine)
        passes = [{"name": each.name, "params": dict(each.params)} for each in recipe.passes]
        asked = {**self.payload(self.original.file), "target": model.to_json(), "passes": passes}
        return model, build.task(asked)

    def accuracy(self, model: Executable) -> float:
        session = engine.load(model, 1)
        found = runtime.answers(session, self.contract, self.evaluation, BATCH)
        (output,) = found.values()
        return float((output.argmax(axis=1) == self.labels).mean())

    def recipe(self, name: str) -> Recipe:
        if name in VARIANTS:
            return static_int8.recipe(name, self.facts, **VARIANTS[name])
        proposed = {each.id: each for each in techniques.propose(self.facts)}
        found = proposed[name]
        assert isinstance(found, Recipe)
        return found


def subject(name: str, folder: Path) -> Subject:
    """The example, brought into the form that techniques expect."""
    files, (given, answer) = examples.files() / name, INTERFACES[name]
    calibration = np.load(files / "calibration.npz")[given.name][:CALIBRATION]
    Dataset({given.name: calibration}).save(folder / "samples")
    labelled = np.load(files / "evaluation.npz")
    described = replace(
        graph.facts(files / "model.onnx"), inputs=(given,), outputs=(answer,), max_batch=BATCH
    )
    facts = Facts(
        contract=described,
        calibration=True,
        cpu_flags=machine.cpu_flags(),
        quantize=True,
        half_precision=True,
        prune=True,
        sparsity=0.5,
        openvino=True,
        accelerator=None,
    )
    evaluation = Dataset({given.name: labelled[given.name][:EVALUATION]})
    made = Subject(folder, facts, evaluation, labelled["labels"][:EVALUATION])
    normalise.task({**made.payload(files / "model.onnx"), "target": str(made.original.file)})
    return made


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Subject, float]]:
    """Both models with the accuracy of their originals."""
    made = {name: subject(name, tmp_path_factory.mktemp(name)) for name in INTERFACES}
    return {name: (each, each.accuracy(each.original)) for name, each in made.items()}


KEPT: dict[tuple[str, str], tuple[float, float]] = {
    ("magika", "static-int8-percentile"): (0.02, 0.3),
    ("magika", "without the ends"): (0.02, 0.4),
    ("magika", "per tensor"): (0.02, 0.3),
    ("magika", "openvino-int8"): (0.02, 0.3),
    ("magika", "prune-50"): (0.03, 1.01),
    ("magika", "prune-2-4"): (0.03, 1.01),
    ("digits", "static-int8"): (0.03, 0.4),
    ("digits", "openvino-int8"): (0.03, 0.7),
    ("digits", "prune-2-4"): (0.06, 1.01),
    ("digits", "prune-50+static-int8"): (0.04, 0.4),
}
"""What accuracy is lost at most, and the share of the original's bytes at most."""

if machine.cpu_flags() & {"avx512_bf16", "amx_bf16"}:
    KEPT[("digits", "openvino-bf16")] = (0.02, 1.01)


@pytest.mark.parametrize(("model", "name"), KEPT)
def test_accuracy_is_kept(
    model: str, name: str, subjects: dict[str, tuple[Subject, float]], tmp_path: Path
) -> None:
    found, before = subjects[model]
    made, told = found.built(found.recipe(name), tmp_path)
    drop, share = KEPT[model, name]
    assert told["ineffective"] is None
    assert before > 0.93
    assert before - found.accuracy(made) <= drop
    assert made.bytes <= share * found.original.bytes


def test_all_operators_in_8_bits_destroy_what_the_rule_refuses(
    subjects: dict[str, tuple[Subject, float]], tmp_path: Path
) -> None:
    """Magika's norms are written as their arithmetic."""
    found, before = subjects["magika"]
    made, _ = found.built(found.recipe("all operators"), tmp_path)
    proposed = {each.id: each for each in techniques.propose(found.facts)}
    wide = proposed[static_int8.WIDE]
    assert isinstance(wide, Ineligible)
    assert "would destroy" in wide.reason
    assert before - found.accuracy(made) > 0.04
