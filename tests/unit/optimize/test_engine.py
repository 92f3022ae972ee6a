"""What runs a candidate: its files, how a child is told, and what Triton is told."""

from pathlib import Path

import pytest

from tightship.optimize import serving
from tightship.optimize.engine import OPENVINO, Engine, Executable
from tightship.triton import config_pbtxt

BF16 = Engine(backend=OPENVINO, precision="bf16")
CONFIG = """
platform: "onnxruntime_onnx"
max_batch_size: 16
input { name: "x" data_type: TYPE_FP32 dims: [4] }
output { name: "y" data_type: TYPE_FP32 dims: [2] }
instance_group { count: 3 kind: KIND_CPU }
dynamic_batching { max_queue_delay_microseconds: 700 }
optimization { graph { level: 1 } }
parameters { key: "intra_op_thread_count" value { string_value: "2" } }
"""


@pytest.mark.parametrize(
    ("name", "files"),
    [("model.onnx", ["model.onnx"]), ("model.xml", ["model.xml", "model.bin"])],
)
def test_files(name: str, files: list[str], tmp_path: Path) -> None:
    for size, file in enumerate(files, 1):
        (tmp_path / file).write_bytes(bytes(size))
    model = Executable(tmp_path / name, BF16)
    assert [file.name for file in model.files] == files
    assert model.bytes == sum(range(1, len(files) + 1))
    assert Executable.from_json(model.to_json()) == model


def test_the_original_keeps_its_configuration() -> None:
    assert serving.for_model(CONFIG, Executable(Path("model.onnx")), 2) == CONFIG


@pytest.mark.parametrize("name", ["model.onnx", "model.xml"])
def test_another_runtime_keeps_batching_instances_and_tensors(name: str) -> None:
    before = config_pbtxt.parse(CONFIG)
    after = config_pbtxt.parse(serving.for_model(CONFIG, Executable(Path(name), BF16), 2))
    for field in ("max_batch_size", "input", "output", "instance_group", "dynamic_batching"):
        assert getattr(after, field) == getattr(before, field)
    assert (after.backend, after.platform, after.default_model_filename) == (OPENVINO, "", name)
    assert not after.HasField("optimization")
    assert {key: value.string_value for key, value in after.parameters.items()} == {
        "INFERENCE_PRECISION_HINT": "bf16",
        "INFERENCE_NUM_THREADS": "2",
        "PERFORMANCE_HINT": "LATENCY",
    }
