"""Techniques in their children: equal bytes for equal inputs, the libraries' traps avoided."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper
from tests.corpus.models import build

from tightship.optimize import graph, sandbox
from tightship.optimize.budget import Budget
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.data import Dataset
from tightship.optimize.sandbox import Limits

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
INPUT = np.random.default_rng(7).standard_normal((64, WIDTH)).astype(np.float32)
LIMITS = Limits(seconds=120, memory=6 * 2**30)
PASSES = {
    "static_int8": {"reduce_range": False},
    "dynamic_int8": {"reduce_range": False, "kept_share": 0.5},
    "half": {},
    "prune": {"sparsity": 0.5},
}


def run(folder: Path, model: onnx.ModelProto, name: str) -> tuple[Path, dict[str, object]]:
    folder.mkdir()
    graph.save(model, folder / "source.onnx")
    Dataset({"x": INPUT}).save(folder / "samples")
    payload = {
        "source": str(folder / "source.onnx"),
        "target": str(folder / "result.onnx"),
        "passes": [{"name": name, "params": PASSES[name]}],
        "contract": CONTRACT.to_json(),
        "samples": str(folder / "samples"),
        "batch": Budget().evaluation_batch,
    }
    applied = sandbox.run("tightship.optimize.build:task", payload, folder / "scratch", LIMITS)
    return folder / "result.onnx", applied


def answers(model: Path) -> np.ndarray:
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (found,) = session.run(["y"], {"x": INPUT})
    return np.asarray(found)


@pytest.mark.parametrize("name", PASSES)
def test_equal_inputs_give_equal_bytes(name: str, tmp_path: Path) -> None:
    model = build.perceptron(width=WIDTH)
    first, _ = run(tmp_path / "a", model, name)
    second, _ = run(tmp_path / "b", model, name)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", [name for name in PASSES if name != "prune"])
def test_answers_stay_close(name: str, tmp_path: Path) -> None:
    model = build.perceptron(width=WIDTH)
    result, _ = run(tmp_path / "a", model, name)
    assert np.abs(answers(result) - answers(tmp_path / "a" / "source.onnx")).max() < 0.05


def test_an_overflow_that_the_cpu_hides_is_kept_in_fp32(tmp_path: Path) -> None:
    """Squares of large activations are beyond fp16, though fp32 arithmetic never shows it."""
    model = build.model(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"]),
            helper.make_node("Mul", ["a", "a"], ["b"]),
            helper.make_node("Sqrt", ["b"], ["c"]),
            helper.make_node("Softmax", ["c"], ["y"]),
        ],
        [build.floats("x", ["n", WIDTH])],
        [build.floats("y", ["n", 4])],
        [onnx.numpy_helper.from_array(np.full((WIDTH, 4), 100, np.float32), "w")],
    )
    result, applied = run(tmp_path / "a", model, "half")
    notes = applied["notes"]
    assert isinstance(notes, list)
    assert "stay in fp32" in notes[0]
    weights = {t.name: t.data_type for t in graph.load(result).graph.initializer}
    assert weights
    (simulated,) = ort.InferenceSession(
        str(applied["simulation"]), providers=["CPUExecutionProvider"]
    ).run(["y"], {"x": INPUT})
    assert np.isfinite(simulated).all()
    everywhere = INPUT.astype(np.float16) @ np.full((WIDTH, 4), 100, np.float16)
    with np.errstate(over="ignore"):
        assert not np.isfinite(everywhere * everywhere).all()


def test_a_pass_that_changes_nothing_is_ineffective(tmp_path: Path) -> None:
    model = build.model(
        [helper.make_node("Softmax", ["x"], ["y"])],
        [build.floats("x", ["n", WIDTH])],
        [build.floats("y", ["n", WIDTH])],
    )
    for index, name in enumerate(("dynamic_int8", "prune")):
        _, applied = run(tmp_path / str(index), model, name)
        assert applied["ineffective"]


def test_constants_become_weights_and_old_opsets_are_lifted(tmp_path: Path) -> None:
    model = build.perceptron(width=WIDTH)
    for tensor in list(model.graph.initializer):
        model.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
    del model.graph.initializer[:]
    model.opset_import[0].version = 11
    model.graph.node[5].attribute.append(helper.make_attribute("axis", 1))
    source = tmp_path / "source.onnx"
    graph.save(model, source)
    Dataset({"x": INPUT[:8]}).save(tmp_path / "samples")
    payload = {
        "source": str(source),
        "target": str(tmp_path / "target.onnx"),
        "samples": str(tmp_path / "samples"),
        "contract": CONTRACT.to_json(),
        "batch": 8,
    }

    sandbox.run("tightship.optimize.normalise:task", payload, tmp_path / "scratch", LIMITS)

    lifted = graph.load(tmp_path / "target.onnx")
    assert graph.opset(lifted) == 17
    assert "Constant" not in graph.operators(lifted)
    assert np.allclose(answers(tmp_path / "target.onnx"), answers(source), atol=1e-6)
