"""TensorRT: where it is proposed, and what ONNX Runtime and Triton are told, in their own words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.corpus.models import build
from tests.unit.optimize.test_techniques import FACTS, TEXT

from tightship.optimize import build as building
from tightship.optimize import engine, graph, serving, tensorrt
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.data import Dataset
from tightship.optimize.engine import Engine, Executable
from tightship.optimize.techniques import Facts, Ineligible, static_int8
from tightship.optimize.techniques import tensorrt as technique
from tightship.triton import config_pbtxt

GPU = replace(FACTS, accelerator="nvidia.com/gpu", tensorrt=True)
VARYING = replace(GPU.contract, inputs=(Tensor("x", "float32", (None, None)),))
FP16 = Engine(accelerator="tensorrt", precision="f16", shapes="x:*x8", batch=8)

ABSENT: dict[str, tuple[Facts, str]] = {
    "processors": (replace(GPU, accelerator=None), "servers compute on processors"),
    "another's device": (replace(GPU, accelerator="amd.com/gpu"), "not on amd.com/gpu"),
    "no TensorRT": (replace(GPU, tensorrt=False), "ONNX Runtime has no TensorRT"),
    "text": (replace(GPU, contract=TEXT), "takes text"),
    "varying shapes": (replace(GPU, contract=VARYING), "an axis beside the batch varies"),
}


@pytest.mark.parametrize("name", ABSENT)
def test_where_it_is_not_available_one_line_says_so(name: str) -> None:
    facts, words = ABSENT[name]
    (found,) = technique.propose(facts)
    assert isinstance(found, Ineligible)
    assert found.id == "tensorrt"
    assert words in found.reason


def test_both_precisions_are_proposed_for_nvidias_devices() -> None:
    half, small = technique.propose(GPU)
    assert not isinstance(half, Ineligible)
    assert not isinstance(small, Ineligible)
    assert (half.id, half.engine, half.passes) == ("tensorrt-fp16", FP16, ())
    assert (small.engine.precision, small.steps) == ("i8", 2)
    assert small.passes[0].params["signed"] is True
    off = technique.propose(replace(GPU, half_precision=False, calibration=False))
    assert [isinstance(each, Ineligible) for each in off] == [True, True]


SHAPES: dict[str, tuple[tuple[Tensor, ...], int, str | None]] = {
    "batched": (
        (Tensor("x", "float32", (None, 3, 8)), Tensor("n", "int64", (None,))),
        4,
        "x:*x3x8,n:*",
    ),
    "unbatched": ((Tensor("x", "float32", (1, 16)),), 0, "x:1x16"),
    "another axis": ((Tensor("x", "float32", (None, None)),), 4, None),
    "a scalar": ((Tensor("x", "float32", ()),), 0, None),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str) -> None:
    inputs, batch, expected = SHAPES[name]
    contract: Contract = replace(GPU.contract, inputs=inputs, max_batch=batch)
    assert tensorrt.shapes(contract) == expected


DOCUMENTED = """
optimization { execution_accelerators {
  gpu_execution_accelerator : [ {
    name : "tensorrt"
    parameters { key: "precision_mode" value: "%s" }
    parameters { key: "trt_profile_min_shapes" value: "x:1x8" }
    parameters { key: "trt_profile_opt_shapes" value: "x:8x8" }
    parameters { key: "trt_profile_max_shapes" value: "x:8x8" }
  } ]
}}
"""


@pytest.mark.parametrize(("precision", "mode"), [("f16", "FP16"), ("i8", "INT8")])
def test_triton_is_told_in_the_form_that_its_backend_documents(precision: str, mode: str) -> None:
    before = 'backend: "onnxruntime"\nmax_batch_size: 8\n'
    model = Executable(Path("model.onnx"), replace(FP16, precision=precision))
    after = config_pbtxt.parse(serving.for_model(before, model, 1))
    assert after == config_pbtxt.parse(before + DOCUMENTED % mode)


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_a_session_without_tensorrt_is_no_candidate(tmp_path: Path) -> None:
    """This machine's ONNX Runtime has none, and goes on with what it has."""
    assert not tensorrt.present()
    file = tmp_path / "model.onnx"
    file.write_bytes(build.perceptron().SerializeToString())
    with pytest.raises(RuntimeError, match="TensorRT did not start: the session has CPU"):
        engine.load(Executable(file, FP16), 1)


def test_an_engine_travels_as_json(tmp_path: Path) -> None:
    model = Executable(tmp_path / "model.onnx", FP16)
    assert Executable.from_json(model.to_json()) == model
    assert FP16.told() == {
        "backend": "onnxruntime",
        "precision": "f16",
        "accelerator": "tensorrt",
    }
    assert Engine().told() == {"backend": "onnxruntime", "precision": "f32"}


def test_its_int8_has_no_other_zero_point_than_0(tmp_path: Path) -> None:
    """TensorRT reads symmetric Q/DQ nodes alone."""
    graph.save(build.perceptron(), tmp_path / "source.onnx")
    x = np.random.default_rng(1).standard_normal((32, 8)).astype(np.float32) + 2
    Dataset({"x": x}).save(tmp_path / "samples")
    step = static_int8.step(FACTS, signed=True)
    payload: dict[str, Any] = {
        "source": str(tmp_path / "source.onnx"),
        "target": Executable(tmp_path / "result.onnx").to_json(),
        "passes": [{"name": step.name, "params": dict(step.params)}],
        "contract": FACTS.contract.to_json(),
        "samples": str(tmp_path / "samples"),
        "batch": 8,
        "trainer": None,
    }
    building.task(payload)
    model = onnx.load(tmp_path / "result.onnx")
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    points = [constants[node.input[2]] for node in nodes if constants[node.input[2]].itemsize == 1]
    assert points
    assert all(point.dtype == np.int8 and not point.any() for point in points)
