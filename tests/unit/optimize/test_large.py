"""Models that one ONNX file cannot hold: made small here, with a bound that is smaller still."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data
from tests.corpus.models import build
from tests.unit.optimize.test_techniques import FACTS

from tightship.optimize import build as building
from tightship.optimize import graph, reuse, runtime, space, techniques
from tightship.optimize.data import Dataset
from tightship.optimize.engine import OPENVINO, Engine, Executable
from tightship.optimize.techniques import Facts, Pass, Recipe, dynamic_int8, weight_only

WIDTH = 256
X = np.random.default_rng(5).standard_normal((8, WIDTH)).astype(np.float32)
CONTRACT = replace(FACTS.contract, opset=17, bytes=300_000)


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "INLINE_MAX", 5_000)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A user's model with external data by a name of their own, in a folder of its own."""
    model = build.perceptron(width=WIDTH)
    convert_model_to_external_data(model, location="weights/all.bin", size_threshold=0)
    (tmp_path / "given" / "weights").mkdir(parents=True)
    onnx.save(model, str(tmp_path / "given" / "net.onnx"))
    return tmp_path / "given" / "net.onnx"


def answers(path: Path) -> np.ndarray:
    return np.asarray(runtime.session(path, 1).run(["y"], {"x": X})[0])


def test_a_relocated_model_is_the_same_without_a_copy(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "original" / "model.onnx"
    expected, room = answers(source), space.room(tmp_path, 10**9)
    graph.relocate(source, target)
    files = Executable(target).files
    assert [file.name for file in files] == ["model.onnx", "model.onnx.data0"]
    assert graph.large(target)
    assert graph.file_bytes(target) == Executable(target).bytes
    assert answers(target).tolist() == expected.tolist()
    assert room - space.room(tmp_path, 10**9) == files[0].stat().st_size


def test_a_file_of_two_names_takes_room_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert space.room(tmp_path, 10_000) == 9_000


def test_a_model_that_is_too_large_for_one_file_is_saved_as_two(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    for _ in range(2):
        graph.save(build.perceptron(width=WIDTH), target)
    assert [file.name for file in Executable(target).files] == ["model.onnx", "model.onnx.data"]
    assert graph.data_files(target)[0].stat().st_size < 2 * WIDTH * WIDTH * 4
    assert answers(target).shape == (len(X), 4)


def test_what_is_kept_for_later_runs_depends_on_the_external_data(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "original" / "model.onnx"
    graph.relocate(source, target)
    before = reuse.model_digest(target)
    weights = graph.data_files(target)[0]
    weights.write_bytes(weights.read_bytes()[::-1])
    assert reuse.model_digest(target) != before


RECIPES: dict[str, Recipe] = {
    "dynamic-int8": dynamic_int8.recipe("dynamic-int8", FACTS),
    "weight-only-int8": weight_only.recipe("weight-only-int8", 8, 32),
    "openvino": Recipe(
        id="openvino", technique="Runtime", passes=(), engine=Engine(backend=OPENVINO)
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_what_works_by_path_answers_as_the_original(
    name: str, source: Path, tmp_path: Path
) -> None:
    original = tmp_path / "original" / "model.onnx"
    graph.relocate(source, original)
    target = Executable(tmp_path / name / "model.onnx", RECIPES[name].engine)
    target.file.parent.mkdir()
    Dataset({"x": X}).save(tmp_path / "samples")
    steps: tuple[Pass, ...] = RECIPES[name].passes
    payload: dict[str, Any] = {
        "source": str(original),
        "target": target.to_json(),
        "passes": [{"name": step.name, "params": dict(step.params)} for step in steps],
        "contract": CONTRACT.to_json(),
        "samples": str(tmp_path / "samples"),
        "batch": 8,
        "trainer": None,
    }
    found = building.task(payload)
    assert found["ineffective"] is None
    assert np.abs(answers(target.file) - answers(original)).max() < 0.05
    if steps:
        assert target.bytes < Executable(original).bytes / 2


def test_all_else_is_refused_with_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "INLINE_MAX", 2**30)
    many = {"MatMul": 12, "Conv": 3}
    large = replace(FACTS.contract, bytes=2_500_000_000, operators=many, product_bytes=2**31)
    facts: Facts = replace(FACTS, contract=large, openvino=True)
    proposed = techniques.propose(facts)
    recipes = {each.id for each in proposed if isinstance(each, Recipe)}
    assert recipes == {
        "dynamic-int8",
        "openvino",
        "openvino-bf16",
        "weight-only-int8",
        "weight-only-int4",
    }
    reasons = {each.id: each.reason for each in proposed if not isinstance(each, Recipe)}
    for name in ("static-int8", "openvino-int8", "fp16", "prune-50"):
        assert "weights of 2.5 GB are more than one ONNX file may hold" in reasons[name]
