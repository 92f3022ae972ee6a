"""The CPU image's `onnxruntime` backend in a real Triton: text, threads, refusals of its own."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.integration.backend.harness import (
    assembled,
    config,
    graph,
    infer,
    negation,
    parameter,
    processes_of,
    publish,
)
from tests.support.triton import Triton
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

BACKEND = "onnxruntime"


def test_text_goes_in_and_out(triton: Triton, client: InferenceServerClient) -> None:
    model = graph("Identity", TensorProto.STRING, ["N", 2], {"y": ["N", 2]})
    name = publish(triton, BACKEND, model, config("TYPE_STRING", "2", 4))
    client.load_model(name)

    answer = infer(client, name, np.array([["ahoy", "größe"]], dtype=np.object_))

    assert [item.decode() for item in answer.ravel()] == ["ahoy", "größe"]


def test_bytes_that_are_no_text_are_refused_and_the_model_goes_on(
    triton: Triton, client: InferenceServerClient
) -> None:
    model = graph("Identity", TensorProto.STRING, ["N", 1], {"y": ["N", 1]})
    name = publish(triton, BACKEND, model, config("TYPE_STRING", "1", 4))
    client.load_model(name)

    with pytest.raises(InferenceServerException, match="input 'x' holds bytes that are not UTF-8"):
        infer(client, name, np.array([[b"\xff\xfe"]], dtype=np.object_))

    assert infer(client, name, np.array([["ok"]], dtype=np.object_))[0, 0] == b"ok"


def test_of_a_batch_only_the_request_fails_that_the_model_refuses(
    triton: Triton, client: InferenceServerClient
) -> None:
    model = assembled(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        {"x": ["N", 1]},
        {"y": ["N", 1]},
        {"table": np.array([10, 11], np.int64)},
        TensorProto.INT64,
    )
    more = "dynamic_batching { max_queue_delay_microseconds: 200000 }"
    name = publish(triton, BACKEND, model, config("TYPE_INT64", "1", 4, more))
    client.load_model(name)

    def ask(row: int) -> int | str:
        try:
            return int(infer(client, name, np.array([[row]], np.int64))[0, 0])
        except InferenceServerException as error:
            return str(error.message())

    with ThreadPoolExecutor(3) as pool:
        first, second, refused = pool.map(ask, [0, 1, 7])

    assert (first, second) == (10, 11)
    assert isinstance(refused, str)
    assert "out of data bounds" in refused


@pytest.mark.parametrize(
    ("name", "value"), [("intra_op_thread_count", "two"), ("enable_mem_arena", "maybe")]
)
def test_a_parameter_that_makes_no_sense_is_said_when_the_model_is_loaded(
    triton: Triton, client: InferenceServerClient, name: str, value: str
) -> None:
    model = negation(triton, BACKEND, more=parameter(name, value))

    with pytest.raises(InferenceServerException, match=f"parameter {name} is '{value}'"):
        client.load_model(model)


def test_a_call_runs_on_as_many_threads_as_its_config_says(
    triton: Triton, client: InferenceServerClient
) -> None:
    def threads(count: int) -> int:
        more = parameter("intra_op_thread_count", str(count))
        name = negation(triton, BACKEND, more=more)
        client.load_model(name)
        (process,) = processes_of(triton, name)
        return len(list((process / "task").iterdir()))

    assert threads(3) == threads(1) + 2
