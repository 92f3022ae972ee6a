"""Timing in fresh processes: what is measured, and candidates that end or hang meanwhile."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from tests.corpus.models import build

from tightship.optimize import graph, timing
from tightship.optimize.budget import Budget
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.data import Dataset
from tightship.optimize.engine import Executable
from tightship.optimize.timing import Timing

CONTRACT = Contract(
    inputs=(Tensor("x", "float32", (None, 8)),),
    outputs=(Tensor("y", "float32", (None, 4)),),
    max_batch=32,
    opset=17,
    nodes=4,
    parameters=1,
    bytes=1,
)
BUDGET = Budget(
    timing_processes=1, timing_processes_min=1, timing_burst_seconds=0.01, stage_seconds=10
)


@pytest.fixture
def setup(tmp_path: Path) -> Timing:
    Dataset({"x": np.ones((3, 8), np.float32)}).save(tmp_path / "samples")
    graph.save(build.perceptron(), tmp_path / "model.onnx")
    (tmp_path / "broken.onnx").write_bytes((tmp_path / "model.onnx").read_bytes()[:-30])
    return Timing(
        contract=CONTRACT,
        dataset=tmp_path / "samples",
        threads=1,
        scratch=tmp_path / "timing",
        budget=BUDGET,
    )


def test_both_batches_and_the_memory_are_measured(setup: Timing, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    found = timing.measure(setup, model, {"same": Executable(model)})
    same = found.candidates["same"]
    assert (found.batch, found.rounds, found.lost) == (8, 1, {})
    assert min(same.latency.calls, same.batched.calls) >= 3 * BUDGET.timing_bursts
    assert min(same.memory, found.memory) >= 1 << 20


def test_a_candidate_that_ends_is_lost_and_the_others_go_on(setup: Timing, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    candidates = {"broken": Executable(tmp_path / "broken.onnx"), "same": Executable(model)}
    found = timing.measure(setup, model, candidates)
    assert set(found.candidates) == {"same"}
    assert found.lost == {"broken": "its process ended with 1"}


def test_a_candidate_that_hangs_is_lost(setup: Timing, tmp_path: Path) -> None:
    x, y = (Tensor(name, "float32", (1,)) for name in "xy")
    single = replace(CONTRACT, inputs=(x,), outputs=(y,), max_batch=0)
    Dataset({"x": np.ones((3, 1), np.float32)}).save(tmp_path / "singles")
    same = helper.make_node("Identity", ["x"], ["y"])
    original = build.model([same], [build.floats("x", [1])], [build.floats("y", [1])])
    graph.save(original, tmp_path / "single.onnx")
    graph.save(build.endless(), tmp_path / "endless.onnx")
    asked = replace(setup, contract=single, dataset=tmp_path / "singles")
    candidates = {"endless": Executable(tmp_path / "endless.onnx")}
    found = timing.measure(asked, tmp_path / "single.onnx", candidates)
    assert found.lost == {"endless": "it took longer than 10 s"}


def test_an_original_that_ends_is_told(setup: Timing, tmp_path: Path) -> None:
    with pytest.raises(ChildProcessError, match="the original cannot be timed: its process ended"):
        timing.measure(setup, tmp_path / "broken.onnx", {})
