"""Techniques in their children: equal bytes for equal inputs, the libraries' traps avoided."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from tests.corpus.models import build, odd
from tests.e2e.support import examples

from tightship.optimize import graph, layers, sandbox
from tightship.optimize.budget import Budget
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.data import Dataset
from tightship.optimize.engine import Executable
from tightship.optimize.metrics import fidelity
from tightship.optimize.sandbox import Limits
from tightship.optimize.techniques import Facts, Pass, dynamic_int8, static_int8, weight_only

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
IMAGES = np.random.default_rng(8).standard_normal((64, 3, 8, 8)).astype(np.float32)
FACTS = Facts(
    contract=CONTRACT,
    calibration=True,
    cpu_flags=frozenset({"avx512_vnni"}),
    quantize=True,
    half_precision=True,
    prune=True,
    sparsity=0.5,
    openvino=False,
    accelerator=None,
)
STATIC: dict[str, dict[str, Any]] = {
    "plain": {},
    "without depthwise convolutions": {"excluded": ["depthwise"]},
    "Percentile": {"calibration": "Percentile"},
    "without the ends": {"excluded": ["first", "last"]},
    "all operators": {"operators": "all"},
    "per tensor": {"per_channel": False},
}
PASSES = {
    "static_int8": static_int8.step(FACTS),
    "dynamic_int8": dynamic_int8.step(FACTS, kept_share=0.5),
    "weight_only": weight_only.recipe("w", bits=8, block=32).passes[0],
    "half": Pass("half"),
    "prune": Pass("prune", {"sparsity": 0.5}),
}


def run(
    folder: Path, model: onnx.ModelProto, wanted: Pass, samples: np.ndarray = INPUT
) -> tuple[Path, dict[str, Any]]:
    folder.mkdir()
    graph.save(model, folder / "source.onnx")
    Dataset({"x": samples}).save(folder / "samples")
    payload = {
        "source": str(folder / "source.onnx"),
        "target": Executable(folder / "result.onnx").to_json(),
        "passes": [{"name": wanted.name, "params": dict(wanted.params)}],
        "contract": CONTRACT.to_json(),
        "samples": str(folder / "samples"),
        "batch": Budget().evaluation_batch,
        "trainer": None,
    }
    applied = sandbox.run("tightship.optimize.build:task", payload, folder / "scratch", LIMITS)
    return folder / "result.onnx", applied


def answers(model: Path, samples: np.ndarray = INPUT) -> np.ndarray:
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (found,) = session.run(["y"], {"x": samples})
    return np.asarray(found)


@pytest.mark.parametrize("name", PASSES)
def test_equal_inputs_give_equal_bytes(name: str, tmp_path: Path) -> None:
    model = build.perceptron(width=WIDTH)
    first, _ = run(tmp_path / "a", model, PASSES[name])
    second, _ = run(tmp_path / "b", model, PASSES[name])
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", [name for name in PASSES if name != "prune"])
def test_answers_stay_close(name: str, tmp_path: Path) -> None:
    model = build.perceptron(width=WIDTH)
    result, _ = run(tmp_path / "a", model, PASSES[name])
    assert np.abs(answers(result) - answers(tmp_path / "a" / "source.onnx")).max() < 0.05


@pytest.mark.parametrize("name", STATIC)
def test_every_variant_of_static_int8_answers_nearly_as_the_original(
    name: str, tmp_path: Path
) -> None:
    step = static_int8.step(FACTS, **STATIC[name])
    result, applied = run(tmp_path / "a", build.convnet(), step, IMAGES)
    expected = answers(tmp_path / "a" / "source.onnx", IMAGES)
    assert np.abs(answers(result, IMAGES) - expected).max() < 0.05 * np.abs(expected).max()
    assert applied["coverage"]["integerNodes"] > 0


@pytest.mark.parametrize(
    ("groups", "kept"),
    [
        ([], []),
        (["depthwise"], ["deep"]),
        (["first", "last"], ["first", "last"]),
        (["depthwise", "first", "last"], ["first", "deep", "last"]),
    ],
)
def test_excluded_layers_stay_in_fp32(groups: list[str], kept: list[str], tmp_path: Path) -> None:
    step = static_int8.step(FACTS, excluded=groups)
    result, applied = run(tmp_path / "a", build.convnet(), step, IMAGES)
    model = graph.load(result)
    names = [node.name for node, _ in graph.weighted_nodes(model)]
    assert [name for name in ("first", "deep", "point", "last") if name in names] == kept
    assert applied["notes"] == ([f"kept in fp32: {', '.join(kept)}"] if kept else [])


def test_percentile_calibration_cuts_off_what_is_rare(tmp_path: Path) -> None:
    """One value a hundred times as large as the others takes all steps from them with MinMax."""
    width = 512
    samples = np.random.default_rng(9).standard_normal((64, width)).astype(np.float32)
    samples[0, 0] = 1000
    errors = {}
    for calibration in ("MinMax", "Percentile"):
        step = static_int8.step(FACTS, calibration=calibration)
        folder = tmp_path / calibration
        result, _ = run(folder, build.perceptron(width=width), step, samples)
        gaps = answers(result, samples[1:]) - answers(folder / "source.onnx", samples[1:])
        errors[calibration] = np.abs(gaps).mean()
    assert errors["Percentile"] < errors["MinMax"] / 3


@pytest.mark.parametrize(("bits", "share"), [(8, 0.27), (4, 0.17)])
def test_weight_only_packs_a_real_transformer(bits: int, share: float, tmp_path: Path) -> None:
    files = examples.files() / "minilm"
    given = np.load(files / "calibration.npz")
    Dataset({}).save(tmp_path / "samples")
    wanted = weight_only.recipe("w", bits, weight_only.BLOCKS[bits]).passes[0]
    payload = {
        "source": str(files / "model.onnx"),
        "target": Executable(tmp_path / "result.onnx").to_json(),
        "passes": [{"name": wanted.name, "params": dict(wanted.params)}],
        "contract": CONTRACT.to_json(),
        "samples": str(tmp_path / "samples"),
        "batch": 8,
        "trainer": None,
    }

    sandbox.run("tightship.optimize.build:task", payload, tmp_path / "scratch", LIMITS)

    products = [r for r in layers.table(tmp_path / "result.onnx") if r["operator"] == "MatMulNBits"]
    assert [(row["weights"], row["nodes"]) for row in products] == [(f"int{bits}", 36)]
    before = graph.facts(files / "model.onnx")
    saved = (files / "model.onnx").stat().st_size - (tmp_path / "result.onnx").stat().st_size
    assert saved > (1 - share) * before.product_bytes
    feed = {name: given[name][:16] for name in ("input_ids", "attention_mask")}
    found = []
    for file in (files / "model.onnx", tmp_path / "result.onnx"):
        session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        found.append(np.asarray(session.run(None, feed)[0]))
    assert fidelity.cosines(*found).mean() > {8: 0.995, 4: 0.9}[bits]


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
    result, applied = run(tmp_path / "a", model, PASSES["half"])
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
        _, applied = run(tmp_path / str(index), model, PASSES[name])
        assert applied["ineffective"]


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.FLOAT16])
def test_half_precision_has_nothing_to_do_without_fp32(kind: int, tmp_path: Path) -> None:
    samples = INPUT.astype(helper.tensor_dtype_to_np_dtype(kind))
    _, applied = run(
        tmp_path / "half", odd.unary("Relu", ["n", WIDTH], kind=kind), PASSES["half"], samples
    )
    assert applied["ineffective"] == "the model computes nothing in fp32"


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
        "trainer": None,
    }

    sandbox.run("tightship.optimize.normalise:task", payload, tmp_path / "scratch", LIMITS)

    lifted = graph.load(tmp_path / "target.onnx")
    assert graph.opset(lifted) == 17
    assert "Constant" not in graph.operators(lifted)
    assert np.allclose(answers(tmp_path / "target.onnx"), answers(source), atol=1e-6)
