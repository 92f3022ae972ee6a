"""The CPU image's `openvino` backend in a real Triton: answers, precision, threads, refusals."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from tests.e2e.support import examples
from tests.integration.backend.harness import (
    assembled,
    config,
    graph,
    infer,
    negation,
    parameter,
    processes_of,
    publish,
    tensor,
)
from tests.support.triton import Triton, installed
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

BACKEND = "openvino"
ROUNDING = 1e-4


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def convolutions() -> tuple[onnx.ModelProto, str]:
    """A small convolutional net and its config, answers of 10 numbers."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "g"], ["y"]),
    ]
    parts = {"w": weights(8, 3, 3, 3), "g": weights(8, 10)}
    model = assembled(nodes, {"x": ["N", 3, 16, 16]}, {"y": ["N", 10]}, parts)
    return model, config("TYPE_FP32", "3, 16, 16", 8, answer="10")


def products(more: str = "") -> tuple[onnx.ModelProto, str]:
    """Two matrix products and their config."""
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("MatMul", ["t", "w"], ["y"]),
    ]
    parts = {"v": weights(64, 64), "w": weights(64, 5)}
    model = assembled(nodes, {"x": ["N", 64]}, {"y": ["N", 5]}, parts)
    return model, config("TYPE_FP32", "64", 8, more, answer="5")


def reference(model: bytes, *feed: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    return [np.asarray(x) for x in session.run(None, dict(zip(names, feed, strict=True)))]


def log_of(triton: Triton, name: str) -> str:
    """The line in which the backend tells how the model runs."""
    lines = triton.process.log.read_text(errors="replace").splitlines()
    return next(line for line in lines if f"/{name}/1/" in line and "OpenVINO" in line)


@pytest.mark.parametrize("made", [convolutions, products])
@pytest.mark.parametrize("rows", [1, 3, 8])
def test_answers_are_those_of_onnx_runtime(
    triton: Triton,
    client: InferenceServerClient,
    made: Callable[[], tuple[onnx.ModelProto, str]],
    rows: int,
) -> None:
    model, text = made()
    name = publish(triton, BACKEND, model, text)
    client.load_model(name)
    size = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    x = np.random.default_rng(rows).normal(size=(rows, *size)).astype(np.float32)

    (expected,) = reference(model.SerializeToString(), x)
    np.testing.assert_allclose(infer(client, name, x), expected, rtol=ROUNDING, atol=ROUNDING)


def test_an_example_model_answers_as_in_onnx_runtime(
    triton: Triton, client: InferenceServerClient
) -> None:
    folder = examples.files() / "digits"
    model = onnx.load(folder / "model.onnx")
    port, answer = model.graph.input[0], model.graph.output[0]
    data = np.load(folder / "evaluation.npz")[port.name][:32]
    expected = reference(model.SerializeToString(), data)[0]
    name = publish(
        triton,
        BACKEND,
        model,
        f'max_batch_size: 32 input {{ name: "{port.name}" data_type: TYPE_FP32 '
        f"dims: {list(data.shape[1:])} }} "
        f'output {{ name: "{answer.name}" data_type: TYPE_FP32 dims: {list(expected.shape[1:])} }} '
        "instance_group { kind: KIND_CPU count: 1 }",
    )
    client.load_model(name)

    answered = client.infer(name, [tensor(port.name, data)]).as_numpy(answer.name)

    np.testing.assert_allclose(answered, expected, rtol=ROUNDING, atol=ROUNDING)


def test_its_own_format_is_served_and_is_the_default(
    triton: Triton, client: InferenceServerClient
) -> None:
    model, text = products(more='default_model_filename: ""')
    name = publish(triton, BACKEND, model, text)
    folder = triton.repository / name / "1"
    own_format(folder / "model.onnx", folder / "model.xml")
    client.load_model(name)
    x = weights(2, 64)

    (expected,) = reference(model.SerializeToString(), x)
    np.testing.assert_allclose(infer(client, name, x), expected, rtol=ROUNDING, atol=ROUNDING)


def test_weights_that_are_missing_are_said_when_the_model_is_loaded(
    triton: Triton, client: InferenceServerClient
) -> None:
    model, text = products(more='default_model_filename: "model.xml"')
    name = publish(triton, BACKEND, model, text)
    folder = triton.repository / name / "1"
    own_format(folder / "model.onnx", folder / "model.xml")
    (folder / "model.bin").unlink()

    with pytest.raises(InferenceServerException, match="bin file cannot be found"):
        client.load_model(name)


def own_format(source: Path, target: Path) -> None:
    """Write a model in OpenVINO's format, with the packages that the server has."""
    program = (
        "import sys, openvino as ov\n"
        "ov.save_model(ov.Core().read_model(sys.argv[1]), sys.argv[2], compress_to_fp16=False)"
    )
    packages = {"PYTHONPATH": str(installed() / "backends" / "python")}
    command = [sys.executable, "-c", program, str(source), str(target)]
    subprocess.run(command, check=True, env={**os.environ, **packages})
    source.unlink()


def test_a_model_runs_in_f32_unless_its_config_says_otherwise(
    triton: Triton, client: InferenceServerClient
) -> None:
    model, text = products()
    name = publish(triton, BACKEND, model, text)

    client.load_model(name)

    line = log_of(triton, name)
    assert "precision f32" in line
    assert "f16" not in line


@pytest.mark.parametrize(
    "asked", [parameter("HINT_BF16", "YES"), parameter("INFERENCE_PRECISION_HINT", "bf16")]
)
def test_bf16_runs_as_asked_or_is_refused(
    triton: Triton, client: InferenceServerClient, asked: str
) -> None:
    model, text = products(more=asked)
    name = publish(triton, BACKEND, model, text)
    x = weights(2, 64)
    (expected,) = reference(model.SerializeToString(), x)
    flags = Path("/proc/cpuinfo").read_text().split()

    if "avx512_bf16" not in flags and "amx_bf16" not in flags:
        with pytest.raises(InferenceServerException, match="precision bf16 was asked for"):
            client.load_model(name)
        return
    client.load_model(name)
    answer = infer(client, name, x)

    assert "bf16: " in log_of(triton, name)
    np.testing.assert_allclose(answer, expected, atol=0.05 * float(np.abs(expected).max()))
    assert np.abs(answer - expected).max() > ROUNDING


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (parameter("INFERENCE_NUM_THREADS", "two"), "INFERENCE_NUM_THREADS is 'two'"),
        (parameter("NUM_STREAMS", "many"), "NUM_STREAMS is 'many'"),
        (parameter("PERFORMANCE_HINT", "FAST"), "expected LATENCY or THROUGHPUT"),
        (parameter("INFERENCE_PRECISION_HINT", "int4"), "expected f32 or bf16 or f16"),
        (parameter("HINT_BF16", "NO"), "HINT_BF16 is 'NO', expected YES"),
        (
            parameter("HINT_BF16", "YES") + parameter("INFERENCE_PRECISION_HINT", "f32"),
            "contradict each other",
        ),
        (parameter("COMPILATION_NUM_THREADS", "1"), "COMPILATION_NUM_THREADS is not supported"),
        (parameter("CPU_EXTENSION_PATH", "/lib/mine.so"), "CPU_EXTENSION_PATH is not supported"),
        (parameter("RESHAPE_IO_LAYERS", "YES"), "RESHAPE_IO_LAYERS is not supported"),
    ],
)
def test_a_parameter_that_cannot_be_followed_is_said_when_the_model_is_loaded(
    triton: Triton, client: InferenceServerClient, more: str, message: str
) -> None:
    name = negation(triton, BACKEND, more=more)

    with pytest.raises(InferenceServerException, match=message):
        client.load_model(name)


def test_the_other_backends_parameters_are_taken(
    triton: Triton, client: InferenceServerClient
) -> None:
    values = {
        "INFERENCE_NUM_THREADS": "1",
        "NUM_STREAMS": "auto",
        "PERFORMANCE_HINT": "throughput",
        "SKIP_OV_DYNAMIC_BATCHSIZE": "yes",
        "ENABLE_BATCH_PADDING": "YES",
    }
    more = "".join(parameter(name, value) for name, value in values.items())
    name = negation(triton, BACKEND, more=more)

    client.load_model(name)

    np.testing.assert_array_equal(
        infer(client, name, np.ones((3, 4), np.float32)), -np.ones((3, 4))
    )


def test_text_is_refused_when_the_model_is_loaded(
    triton: Triton, client: InferenceServerClient
) -> None:
    model = graph("Identity", TensorProto.STRING, ["N", 2], {"y": ["N", 2]})
    name = publish(triton, BACKEND, model, config("TYPE_STRING", "2", 4))

    with pytest.raises(InferenceServerException, match=r"'x' holds text, .* use onnxruntime"):
        client.load_model(name)


def test_a_type_that_is_not_the_models_is_refused_when_the_model_is_loaded(
    triton: Triton, client: InferenceServerClient
) -> None:
    model = graph("Neg", TensorProto.FLOAT, ["N", 4], {"y": ["N", 4]})
    name = publish(triton, BACKEND, model, config("TYPE_FP64", "4", 4))

    with pytest.raises(InferenceServerException, match=r"'x' is TYPE_FP64 .* the model has f32"):
        client.load_model(name)


def test_operators_that_openvino_does_not_know_are_named(
    triton: Triton, client: InferenceServerClient
) -> None:
    shape: list[str | int] = ["N", 4]
    model = assembled(
        [helper.make_node("Mystery", ["x"], ["y"], domain="my.own")], {"x": shape}, {"y": shape}
    )
    model.opset_import.append(helper.make_opsetid("my.own", 1))
    name = publish(triton, BACKEND, model, config("TYPE_FP32", "4", 4))

    with pytest.raises(InferenceServerException, match=r"operations: my\.own\.Mystery"):
        client.load_model(name)


def test_a_batch_that_the_model_was_not_made_for_is_refused(
    triton: Triton, client: InferenceServerClient
) -> None:
    model = graph("Neg", TensorProto.FLOAT, [1, 4], {"y": [1, 4]})
    name = publish(triton, BACKEND, model, config("TYPE_FP32", "4", 4))
    client.load_model(name)

    with pytest.raises(InferenceServerException, match=r"has the shape \[2, 4\], the model takes"):
        infer(client, name, np.ones((2, 4), np.float32))

    np.testing.assert_array_equal(
        infer(client, name, np.ones((1, 4), np.float32)), -np.ones((1, 4))
    )


def test_a_call_runs_on_as_many_threads_as_its_config_says_on_any_core(
    triton: Triton, client: InferenceServerClient
) -> None:
    counts = sorted({1, min(2, len(os.sched_getaffinity(0)))})
    for count in counts:
        model, text = products(more=parameter("INFERENCE_NUM_THREADS", str(count)))
        name = publish(triton, BACKEND, model, text)
        client.load_model(name)
        infer(client, name, weights(8, 64))

        (process,) = processes_of(triton, name)
        cores = {cores_of(task) for task in (process / "task").iterdir()}

        assert f" {count} threads" in log_of(triton, name)
        assert cores == {cores_of(process)}


def cores_of(process: Path) -> str:
    """The cores that a process or thread may run on."""
    lines = (process / "status").read_text().splitlines()
    return next(line for line in lines if line.startswith("Cpus_allowed_list"))
