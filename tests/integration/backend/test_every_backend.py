"""What every Python-based backend of the CPU image does alike, in a real Triton."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.integration.backend.harness import (
    Shape,
    assembled,
    config,
    graph,
    infer,
    negation,
    publish,
    tensor,
)
from tests.support.triton import Triton
from tritonclient.grpc import InferenceServerClient, InferRequestedOutput
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])

WAITING = "dynamic_batching { max_queue_delay_microseconds: 200000 }"


def test_requests_that_wait_together_run_as_one_call_and_each_gets_its_own_rows(
    triton: Triton, client: InferenceServerClient, backend: str
) -> None:
    name = negation(triton, backend, more=WAITING)
    client.load_model(name)
    arrays = [np.full((1 + k % 2, 4), k, np.float32) for k in range(4)]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda array: infer(client, name, array), arrays))

    for array, answer in zip(arrays, answers, strict=True):
        np.testing.assert_array_equal(answer, -array)

    def rows_and_calls() -> tuple[int, int]:
        (stats,) = client.get_inference_statistics(name).model_stats
        return stats.inference_count, stats.execution_count

    # Triton counts a request only after it has answered it.
    rows = sum(len(array) for array in arrays)
    triton.process.wait_ready(lambda: rows_and_calls()[0] == rows, 10)
    assert rows_and_calls()[1] < len(arrays)


def test_a_model_without_a_batch_axis_is_served(
    triton: Triton, client: InferenceServerClient, backend: str
) -> None:
    name = negation(triton, backend, batch=0)
    client.load_model(name)

    answer = infer(client, name, np.arange(4, dtype=np.float32))

    np.testing.assert_array_equal(answer, [0, -1, -2, -3])


@pytest.mark.parametrize(
    ("data_type", "dtype"),
    [
        ("TYPE_FP16", np.float16),
        ("TYPE_FP32", np.float32),
        ("TYPE_FP64", np.float64),
        ("TYPE_INT8", np.int8),
        ("TYPE_INT32", np.int32),
        ("TYPE_INT64", np.int64),
    ],
)
def test_a_type_goes_in_and_out_as_it_is(
    triton: Triton, client: InferenceServerClient, backend: str, data_type: str, dtype: type
) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    model = graph("Abs", kind, ["N", 3], {"y": ["N", 3]})
    name = publish(triton, backend, model, config(data_type, "3", 4))
    client.load_model(name)

    answer = infer(client, name, np.array([[-2, 0, 100]], dtype))

    assert answer.dtype == dtype
    np.testing.assert_array_equal(answer, [[2, 0, 100]])


def test_only_the_outputs_that_are_asked_for_come_back(
    triton: Triton, client: InferenceServerClient, backend: str
) -> None:
    shape: Shape = ["N", 4]
    nodes = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["z"])]
    model = assembled(nodes, {"x": shape}, {"y": shape, "z": shape})
    second = 'output { name: "z" data_type: TYPE_FP32 dims: [4] }'
    name = publish(triton, backend, model, config("TYPE_FP32", "4", 8, second))
    client.load_model(name)

    wanted = tensor("x", np.full((1, 4), -3, np.float32))
    answer = client.infer(name, [wanted], outputs=[InferRequestedOutput("z")])

    assert [output.name for output in answer.get_response().outputs] == ["z"]
    np.testing.assert_array_equal(answer.as_numpy("z"), np.full((1, 4), 3))


def test_a_request_that_the_model_refuses_fails_alone_and_never_gets_another_answer(
    triton: Triton, client: InferenceServerClient, backend: str
) -> None:
    model = assembled(
        [helper.make_node("MatMul", ["a", "b"], ["y"])],
        {"a": ["N", "M"], "b": ["K", "L"]},
        {"y": ["N", "L"]},
    )
    tensors = " ".join(f'input {{ name: "{k}" data_type: TYPE_FP32 dims: [-1, -1] }}' for k in "ab")
    answer = 'output { name: "y" data_type: TYPE_FP32 dims: [-1, -1] }'
    group = "instance_group { kind: KIND_CPU count: 1 }"
    name = publish(triton, backend, model, f"max_batch_size: 0 {tensors} {answer} {group}")
    client.load_model(name)

    def ask(a: tuple[int, int], b: tuple[int, int]) -> np.ndarray:
        return infer(client, name, np.ones(a, np.float32), np.ones(b, np.float32))

    np.testing.assert_array_equal(ask((2, 4), (4, 3)), np.full((2, 3), 4))
    for _ in range(2):
        with pytest.raises(InferenceServerException, match=r"MatMul|matmul"):
            ask((2, 4), (5, 3))
    np.testing.assert_array_equal(ask((1, 7), (7, 2)), np.full((1, 2), 7))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('default_model_filename: "other.onnx"', "has no file 1/other.onnx"),
        ('output { name: "z" data_type: TYPE_FP32 dims: [4] }', "the model has"),
        ('input { name: "w" data_type: TYPE_FP32 dims: [4] }', "the model has"),
    ],
    ids=["no such file", "no such output", "no such input"],
)
def test_what_cannot_be_served_is_said_when_it_is_loaded(
    triton: Triton, client: InferenceServerClient, backend: str, more: str, message: str
) -> None:
    name = negation(triton, backend, more=more)

    with pytest.raises(InferenceServerException, match=message):
        client.load_model(name)

    assert client.is_server_ready()


def test_a_file_that_is_no_model_is_refused_and_the_old_version_serves_on(
    triton: Triton, client: InferenceServerClient, backend: str
) -> None:
    name = negation(triton, backend)
    client.load_model(name)
    (triton.repository / name / "1" / "model.onnx").write_bytes(b"no model")

    with pytest.raises(
        InferenceServerException, match=r"Protobuf parsing failed|Unable to read the model"
    ):
        client.load_model(name)

    answer = infer(client, name, np.ones((1, 4), np.float32))
    np.testing.assert_array_equal(answer, -np.ones((1, 4)))


def test_a_model_replaced_under_load_never_fails_a_request(
    triton: Triton, client: InferenceServerClient, backend: str
) -> None:
    name = negation(triton, backend)
    client.load_model(name)
    other = graph("Abs", TensorProto.FLOAT, ["N", 4], {"y": ["N", 4]})

    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(
            lambda: [infer(client, name, np.ones((1, 4), np.float32)) for _ in range(500)]
        )
        onnx.save(other, triton.repository / name / "1" / "model.onnx")
        client.load_model(name)
        after = infer(client, name, np.ones((1, 4), np.float32))

    assert len(asked.result()) == 500
    np.testing.assert_array_equal(after, np.ones((1, 4)))
