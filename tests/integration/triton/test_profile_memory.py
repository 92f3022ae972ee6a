"""What a real Triton keeps of its largest batch, and what a profile says of it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from tests.integration.agent.harness import CONFIG
from tests.support.triton import serving

from tightship.api.agent import ServingConfig
from tightship.triton.client import READY, TritonClient
from tightship.triton.config_pbtxt import effective_config
from tightship.triton.profile import Profile
from tightship.triton.profiler import profile
from tightship.triton.repository import Repository

MIB = 1 << 20
WIDTH = 2**20  # floats that the model computes for each sample: 4 MiB
SAMPLES = {"x": np.ones((8, 4), np.float32)}


def greedy(rows: int | None = None) -> bytes:
    """Takes 4 MiB for each sample; with `rows` it fails on every other number of samples."""
    shape: list[int | str] = ["batch", 4]
    fixed = [rows or -1, 4]
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["x", "shape"], ["same"]),
            helper.make_node("Tile", ["same", "times"], ["wide"]),
            helper.make_node("Sin", ["wide"], ["waves"]),
            helper.make_node("ReduceMax", ["waves"], ["most"], axes=[1], keepdims=1),
            helper.make_node("Mul", ["x", "most"], ["y"]),
        ],
        "greedy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor("times", TensorProto.INT64, [2], [1, WIDTH // 4]),
            helper.make_tensor("shape", TensorProto.INT64, [2], fixed),
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return model.SerializeToString()


async def profiled(folder: Path, models: Mapping[str, bytes], largest: int) -> dict[str, Profile]:
    """Each model's profile at batch 1 and the largest; all answer afterwards."""
    repository = folder / "models"
    repository.mkdir()
    with serving(repository) as triton:
        for name, content in models.items():
            files = folder / name
            files.mkdir()
            (files / "model.onnx").write_bytes(content)
            text = effective_config(CONFIG, name, ServingConfig())
            Repository(repository).publish(name, name, files=files, config=text)
        async with TritonClient(triton.http, metrics_address=triton.metrics) as client:
            found = {
                name: await profile(
                    client, name, SAMPLES, batches=[1], concurrencies=[1], seconds=0.1,
                    largest=largest,
                )
                for name in models
            }  # fmt: skip
            ready = {entry.name for entry in await client.index() if entry.state == READY}
    assert ready == set(models)
    return found


async def test_the_largest_batch_counts_though_only_one_sample_was_timed(tmp_path: Path) -> None:
    peaks = []
    for largest in (1, 8):
        (tmp_path / str(largest)).mkdir()
        found = await profiled(tmp_path / str(largest), {"greedy": greedy()}, largest)
        peaks.append(found["greedy"].memory_peak or 0)
    assert peaks[1] - peaks[0] > 7 * 4 * MIB


async def test_a_model_that_fails_on_its_largest_batch_is_served_afterwards(tmp_path: Path) -> None:
    (found,) = (await profiled(tmp_path, {"picky": greedy(rows=1)}, 8)).values()
    assert found.memory is not None
    assert found.memory_peak is not None
    assert found.memory <= found.memory_peak


async def test_the_first_model_does_not_pay_for_the_libraries(tmp_path: Path) -> None:
    first, second = (await profiled(tmp_path, {"first": greedy(), "second": greedy()}, 1)).values()
    assert first.memory is not None
    assert second.memory is not None
    assert abs(first.memory - second.memory) < 8 * MIB
