"""Odd but valid models are served as they came with the right reason, or refused with a remedy."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto
from tests.corpus.models import build, data, odd
from tests.support.triton import Triton

from tightship.optimize import cli, graph, hostile, normalise, probe
from tightship.optimize.budget import Budget
from tightship.optimize.contract import RANDOM, ROWS_INTERACT, Contract
from tightship.optimize.failures import RefusalError

ROWS = np.random.default_rng(5).standard_normal((64, 16)).astype(np.float32)


def contract(model: ModelProto, folder: Path, given: np.ndarray | None = None) -> Contract:
    """What intake's child finds, without the child: seconds for all of them."""
    file = folder / "model.onnx"
    graph.save(model, file)
    operators = sorted(hostile.check_model(file, Budget()).operators)
    source = None
    if given is not None:
        (folder / "data.npz").write_bytes(data.npz(x=given))
        source = {"path": str(folder / "data.npz"), "what": "calibration"}
    payload = {"model": str(file), "operators": operators, "data": source}
    found = probe.task({**payload, "threads": 1, "samples": 8})
    return Contract.from_json(json.loads(json.dumps(found)))


REFUSED: dict[str, tuple[Callable[[], ModelProto], str, str]] = {
    "scalar without a batch axis": (lambda: odd.unary("Relu", []), "scalar", "axis of length 1"),
    "scalar among others": (odd.counted, "'rounds' is a scalar", "axis of length 1"),
    "axis of length 0": (lambda: odd.unary("Relu", [0, 4]), "length 0", "a name instead"),
    "one output twice": (odd.repeated, "two outputs called 'y'", "Leave one out"),
    "no shape": (odd.undeclared, "declares no shape", "or give data"),
    "newer opset": (lambda: odd.versioned(opset=99), "Opset 99", "older opset"),
    "newer format": (lambda: odd.versioned(ir=99), "IR version: 99", "older onnx package"),
    "bfloat16": (
        lambda: odd.unary("Identity", ["n"], kind=TensorProto.BFLOAT16), "bfloat16", "cannot serve"
    ),
    "complex numbers": (
        lambda: odd.unary("Identity", ["n"], kind=TensorProto.COMPLEX64), "complex64", "numbers of"
    ),
    "locale": (odd.localized, "locale", "StringNormalizer to C"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_refused_with_a_remedy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, cause, remedy = REFUSED[name]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusalError) as refusal:
        contract(model(), tmp_path)
    assert refusal.value.reason == "UnsupportedModel"
    assert cause in refusal.value.message
    assert remedy in refusal.value.message


@dataclass(frozen=True)
class Taken:
    """A model, the data that come with it, its greatest batch and what is noted."""

    model: Callable[[], ModelProto]
    max_batch: int
    notes: tuple[str, ...] = ()
    given: np.ndarray | None = None


TAKEN = {
    "function of its own": Taken(odd.functional, 32),
    "no shape, but data": Taken(odd.undeclared, 32, given=ROWS),
    "time first": Taken(odd.recurrent, 0, (ROWS_INTERACT,)),
    "random answers": Taken(odd.noisy, 0, (RANDOM,)),
    "answers that are not numbers": Taken(odd.logarithms, 32),
    "batch in the middle of the answer": Taken(lambda: odd.unary("Transpose", ["n", 4]), 0),
    "ids whose rows interact": Taken(odd.centred_words, 0, (ROWS_INTERACT,)),
    "rows that interact in larger batches": Taken(odd.crowded, 0, (ROWS_INTERACT,)),
    "rows that interact beside an infinity": Taken(odd.endlessly_centred, 0, (ROWS_INTERACT,)),
    "rows that interact, but the first samples are alike": Taken(
        build.centred, 0, (ROWS_INTERACT,), given=np.repeat(ROWS[:, :8], 3, axis=0)
    ),
    "rows that interact": Taken(lambda: odd.unary("Softmax", ["n"]), 0, (ROWS_INTERACT,)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_contract(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = TAKEN[name]
    monkeypatch.chdir(tmp_path)
    found = contract(case.model(), tmp_path, case.given)
    assert (found.max_batch, found.notes) == (case.max_batch, case.notes)


def test_functions_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = contract(odd.functional(), tmp_path)
    assert found.operators == {"MatMul": 1, "Relu": 1}
    assert "Block" not in graph.operators(normalise.cleaned(odd.functional()))


def _boxes() -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    corners = random.random((8, 1, 20, 4)).astype(np.float32)
    return {"boxes": corners, "scores": random.random((8, 1, 3, 20)).astype(np.float32)}


SERVED: dict[str, tuple[Callable[[], ModelProto], dict[str, np.ndarray], str]] = {
    "random answers": (odd.noisy, {"x": ROWS}, "answers are random"),
    "as many rows as there are boxes": (odd.boxes, _boxes(), "another shape for each sample"),
}


@pytest.mark.parametrize("name", SERVED)
def test_served_unchanged_because(
    name: str, tmp_path: Path, triton: Triton, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows, because = SERVED[name]
    brief = Budget(confirm_bursts=2, confirm_burst_seconds=0.05, profile_seconds=0.05)
    monkeypatch.setattr(cli, "Budget", lambda: brief)
    graph.save(model(), tmp_path / "model.onnx")
    (tmp_path / "calibration.npz").write_bytes(data.npz(**rows))
    output = tmp_path / "out"
    files = ["--calibration", str(tmp_path / "calibration.npz"), "--output", str(output)]
    off = ["--no-quantize", "--no-half-precision", "--no-openvino", "--no-prune"]
    place = ["--triton", triton.http, "--triton-metrics", triton.metrics]
    models = ["--models", str(triton.repository), "--max-drop", "0.5"]

    assert cli.main([str(tmp_path / "model.onnx"), *files, *off, *place, *models]) == 0

    selection = json.loads((output / "report.json").read_text())["selection"]
    assert (selection["variant"], selection["proven"]) == ("original", True)
    assert because in selection["reason"]
    assert (output / "model" / "1" / "model.onnx").read_bytes() == model().SerializeToString()
