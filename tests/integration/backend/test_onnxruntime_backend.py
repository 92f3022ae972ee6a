"""The CPU image's `onnxruntime` backend in a real Triton: batches, text, threads, refusals."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.support.triton import Triton
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

_names = (f"backend-{number}" for number in count())


@pytest.fixture
def client(triton: Triton) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(triton.grpc) as opened:
        yield opened


def publish(triton: Triton, model: onnx.ModelProto, config: str) -> str:
    """Write a model folder into the repository; returns the model's name."""
    name = next(_names)
    folder = triton.repository / name
    (folder / "1").mkdir(parents=True)
    onnx.save(model, folder / "1" / "model.onnx")
    (folder / "config.pbtxt").write_text(f'backend: "onnxruntime"\n{config}\n')
    return name


def graph(
    operator: str, kind: int, shape: list[str | int], outputs: dict[str, list[str | int]]
) -> onnx.ModelProto:
    """A model with one node: input `x`, the outputs by name and shape."""
    values = [helper.make_tensor_value_info(name, kind, dims) for name, dims in outputs.items()]
    node = helper.make_node(operator, ["x"], list(outputs))
    wanted = helper.make_tensor_value_info("x", kind, shape)
    made = helper.make_graph([node], "graph", [wanted], values)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def config(kind: str, dims: str, batch: int, more: str = "") -> str:
    return (
        f'max_batch_size: {batch} input {{ name: "x" data_type: {kind} dims: [{dims}] }} '
        f'output {{ name: "y" data_type: {kind} dims: [{dims}] }} '
        f"instance_group {{ kind: KIND_CPU count: 1 }} {more}"
    )


def negation(triton: Triton, batch: int = 8, more: str = "") -> str:
    shape: list[str | int] = ["N", 4] if batch else [4]
    model = graph("Neg", TensorProto.FLOAT, shape, {"y": shape})
    return publish(triton, model, config("TYPE_FP32", "4", batch, more))


def infer(client: InferenceServerClient, name: str, array: np.ndarray, kind: str) -> np.ndarray:
    tensor = InferInput("x", list(array.shape), kind)
    tensor.set_data_from_numpy(array)
    answer = client.infer(name, [tensor]).as_numpy("y")
    return np.asarray(answer)


def test_requests_that_wait_together_run_as_one_call_and_each_gets_its_own_rows(
    triton: Triton, client: InferenceServerClient
) -> None:
    name = negation(triton, more="dynamic_batching { max_queue_delay_microseconds: 200000 }")
    client.load_model(name)
    arrays = [np.full((1 + k % 2, 4), k, np.float32) for k in range(4)]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda array: infer(client, name, array, "FP32"), arrays))

    for array, answer in zip(arrays, answers, strict=True):
        np.testing.assert_array_equal(answer, -array)
    (stats,) = client.get_inference_statistics(name).model_stats
    assert stats.inference_count == sum(len(array) for array in arrays)
    assert stats.execution_count < len(arrays)


def test_a_model_without_a_batch_axis_is_served(
    triton: Triton, client: InferenceServerClient
) -> None:
    name = negation(triton, batch=0)
    client.load_model(name)

    answer = infer(client, name, np.arange(4, dtype=np.float32), "FP32")

    np.testing.assert_array_equal(answer, [0, -1, -2, -3])


def test_text_goes_in_and_out(triton: Triton, client: InferenceServerClient) -> None:
    model = graph("Identity", TensorProto.STRING, ["N", 2], {"y": ["N", 2]})
    name = publish(triton, model, config("TYPE_STRING", "2", 4))
    client.load_model(name)

    answer = infer(client, name, np.array([["ahoy", "größe"]], dtype=np.object_), "BYTES")

    assert [item.decode() for item in answer.ravel()] == ["ahoy", "größe"]


def test_bytes_that_are_no_text_are_refused_and_the_model_goes_on(
    triton: Triton, client: InferenceServerClient
) -> None:
    model = graph("Identity", TensorProto.STRING, ["N", 1], {"y": ["N", 1]})
    name = publish(triton, model, config("TYPE_STRING", "1", 4))
    client.load_model(name)

    with pytest.raises(InferenceServerException, match="input 'x' holds bytes that are not UTF-8"):
        infer(client, name, np.array([[b"\xff\xfe"]], dtype=np.object_), "BYTES")

    assert infer(client, name, np.array([["ok"]], dtype=np.object_), "BYTES")[0, 0] == b"ok"


def test_a_request_that_the_model_refuses_fails_alone(
    triton: Triton, client: InferenceServerClient
) -> None:
    rows = helper.make_node("Gather", ["table", "x"], ["y"])
    table = helper.make_tensor("table", TensorProto.INT64, [2], [10, 11])
    shape: list[str | int] = ["N", 1]
    made = helper.make_graph(
        [rows],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.INT64, shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT64, shape)],
        [table],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    more = "dynamic_batching { max_queue_delay_microseconds: 200000 }"
    name = publish(triton, model, config("TYPE_INT64", "1", 4, more))
    client.load_model(name)

    def ask(row: int) -> int | str:
        try:
            return int(infer(client, name, np.array([[row]], np.int64), "INT64")[0, 0])
        except InferenceServerException as error:
            return str(error.message())

    with ThreadPoolExecutor(3) as pool:
        first, second, refused = pool.map(ask, [0, 1, 7])

    assert (first, second) == (10, 11)
    assert isinstance(refused, str)
    assert "out of data bounds" in refused


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('parameters { key: "intra_op_thread_count" value { string_value: "two" } }', "two"),
        ('parameters { key: "enable_mem_arena" value { string_value: "maybe" } }', "maybe"),
        ('default_model_filename: "other.onnx"', "has no file 1/other.onnx"),
        ('output { name: "z" data_type: TYPE_FP32 dims: [4] }', "the model has"),
    ],
    ids=["thread count is a word", "switch is a word", "no such file", "no such output"],
)
def test_what_cannot_be_served_is_said_when_it_is_loaded(
    triton: Triton, client: InferenceServerClient, more: str, message: str
) -> None:
    name = negation(triton, more=more)

    with pytest.raises(InferenceServerException, match=message):
        client.load_model(name)

    assert client.is_server_ready()


def test_a_call_runs_on_as_many_threads_as_its_config_says(
    triton: Triton, client: InferenceServerClient
) -> None:
    def threads(count: int) -> int:
        value = f'value {{ string_value: "{count}" }}'
        name = negation(triton, more=f'parameters {{ key: "intra_op_thread_count" {value} }}')
        client.load_model(name)
        (process,) = processes_of(name)
        return len(list((process / "task").iterdir()))

    assert threads(3) == threads(1) + 2


def processes_of(name: str) -> list[Path]:
    """The /proc folders of the model's instances."""
    marker = f"/{name}/1/model.onnx".encode()
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):  # no process, or one that ends while its folder is read
            if marker in (folder / "cmdline").read_bytes():
                found.append(folder)
    return found


def test_a_model_replaced_under_load_never_fails_a_request(
    triton: Triton, client: InferenceServerClient
) -> None:
    name = negation(triton)
    client.load_model(name)
    twice = graph("Abs", TensorProto.FLOAT, ["N", 4], {"y": ["N", 4]})

    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(
            lambda: [infer(client, name, np.ones((1, 4), np.float32), "FP32") for _ in range(500)]
        )
        onnx.save(twice, triton.repository / name / "1" / "model.onnx")
        client.load_model(name)
        after = infer(client, name, np.ones((1, 4), np.float32), "FP32")

    assert len(asked.result()) == 500
    np.testing.assert_array_equal(after, np.ones((1, 4)))
