"""OpenVINO as a candidate's runtime: built in a child, in the asked precision, served by Triton."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.corpus.models import build
from tests.support.triton import Triton

from tightship.optimize import engine, graph, machine, runtime, sandbox, serving
from tightship.optimize.budget import Budget
from tightship.optimize.confirm import CANDIDATE, Stand
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.data import Dataset
from tightship.optimize.engine import OPENVINO, Engine, Executable
from tightship.optimize.metrics import fidelity
from tightship.optimize.sandbox import CrashError, Limits
from tightship.triton.client import TritonClient

WIDTH = 32
CONTRACT = Contract(
    inputs=(Tensor("x", "float32", (None, WIDTH)),),
    outputs=(Tensor("y", "float32", (None, 4)),),
    max_batch=32,
    opset=17,
    nodes=4,
    parameters=1,
    bytes=1,
    operators={"MatMul": 2},
)
SAMPLES = Dataset({"x": np.random.default_rng(7).standard_normal((64, WIDTH)).astype(np.float32)})
HAS_BF16 = bool(machine.cpu_flags() & {"avx512_bf16", "amx_bf16"})
INT8 = [{"name": "openvino", "params": {"scheme": "default"}}]
RECIPES: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    "as it is": ("model.onnx", "f32", []),
    "int8": ("model.xml", "f32", INT8),
    "int8, transformer": (
        "model.xml",
        "f32",
        [{"name": "openvino", "params": {"scheme": "transformer"}}],
    ),
}
if HAS_BF16:
    RECIPES |= {"bf16": ("model.onnx", "bf16", []), "int8 and bf16": ("model.xml", "bf16", INT8)}


def built(folder: Path, name: str) -> tuple[Executable, dict[str, Any]]:
    """The recipe's result, and what the child says of it."""
    file, precision, passes = RECIPES[name]
    graph.save(build.perceptron(width=WIDTH), folder / "source.onnx")
    SAMPLES.save(folder / "samples")
    (folder / "candidate").mkdir()
    engine = Engine(backend=OPENVINO, precision=precision)
    model = Executable(folder / "candidate" / file, engine)
    payload = {
        "source": str(folder / "source.onnx"),
        "target": model.to_json(),
        "passes": passes,
        "contract": CONTRACT.to_json(),
        "samples": str(folder / "samples"),
        "batch": Budget().evaluation_batch,
        "trainer": None,
    }
    limits = Limits(seconds=120, memory=6 * 2**30)
    return model, sandbox.run("tightship.optimize.build:task", payload, folder / "scratch", limits)


def answers(model: Executable) -> np.ndarray:
    session = engine.load(model, 1)
    return runtime.answers(session, CONTRACT, SAMPLES, Budget().evaluation_batch)["y"]


@pytest.mark.parametrize("name", RECIPES)
async def test_triton_answers_as_the_evaluation_did(
    name: str, tmp_path: Path, triton: Triton
) -> None:
    model, told = built(tmp_path, name)
    assert told["ineffective"] is None
    text = serving.completed(CONTRACT, None, 1).text
    async with TritonClient(triton.http) as client:
        stand = Stand(
            client,
            triton.repository,
            CONTRACT,
            lambda model: serving.for_model(text, model, 1),
            Budget(),
        )
        await stand.load(CANDIDATE, model)
        proof, _ = await stand.prove(CANDIDATE, SAMPLES, {"y": answers(model)})
        await stand.drop(CANDIDATE)
    assert proof.agreeing == 1.0


@pytest.mark.parametrize("name", RECIPES)
def test_answers_stay_close_to_the_originals(name: str, tmp_path: Path) -> None:
    model, _ = built(tmp_path, name)
    alike = fidelity.cosines(answers(Executable(tmp_path / "source.onnx")), answers(model))
    assert alike.mean() > 0.99


@pytest.mark.parametrize("name", RECIPES)
def test_the_precision_is_the_one_that_was_asked_for(name: str, tmp_path: Path) -> None:
    model, _ = built(tmp_path, name)
    layers = engine.computed(model) or {}
    assert ("bf16" in layers) == (model.engine.precision == "bf16" and "int8" not in name)
    assert bool({"i8", "u8"} & set(layers)) == ("int8" in name)


def test_what_stands_in_which_type_is_counted(tmp_path: Path) -> None:
    _, told = built(tmp_path, "int8")
    assert {(row["operator"], row["weights"]) for row in told["layers"]} == {("MatMul", "i8")}


def test_a_model_that_openvino_does_not_know_is_told_in_one_line(tmp_path: Path) -> None:
    graph.save(build.text_lengths(), tmp_path / "model.onnx")
    payload = {
        "source": str(tmp_path / "model.onnx"),
        "target": Executable(tmp_path / "copy.onnx", Engine(backend=OPENVINO)).to_json(),
        "passes": [],
        "contract": CONTRACT.to_json(),
        "samples": str(tmp_path / "samples"),
        "batch": 1,
        "trainer": None,
    }
    SAMPLES.save(tmp_path / "samples")
    limits = Limits(seconds=120, memory=6 * 2**30)
    with pytest.raises(CrashError) as crash:
        sandbox.run("tightship.optimize.build:task", payload, tmp_path / "scratch", limits)
    assert "StringNormalizer" in str(crash.value)
    assert "\n" not in str(crash.value)
