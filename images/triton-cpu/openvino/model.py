"""Triton's `openvino` backend for CPU servers, as a Python-based backend.

Reads the config.pbtxt of NVIDIA's C++ backend of that name: inputs, outputs, instance groups and
batching are Triton's own; of the backend's parameters it knows threads, streams, the performance
hint and HINT_BF16. Its own INFERENCE_PRECISION_HINT pins the precision, which is f32 unless said:
OpenVINO by itself runs an f32 model in bf16 where the processor can.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import openvino as ov
import triton_python_backend_utils as pb
from batched_model import BatchedModel, Config

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

_TYPES = {
    "TYPE_BOOL": "boolean",
    "TYPE_FP16": "f16",
    "TYPE_FP32": "f32",
    "TYPE_FP64": "f64",
    **{f"TYPE_INT{bits}": f"i{bits}" for bits in (8, 16, 32, 64)},
    **{f"TYPE_UINT{bits}": f"u{bits}" for bits in (8, 16, 32, 64)},
}
_PRECISIONS = ("f32", "bf16", "f16")
_HINTS = ("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT")
_YES_ANYWAY = ("SKIP_OV_DYNAMIC_BATCHSIZE", "ENABLE_BATCH_PADDING")
_UNSUPPORTED = ("COMPILATION_NUM_THREADS", "CPU_EXTENSION_PATH", "RESHAPE_IO_LAYERS")
# Layers that move or convert tensors: their precision is not one that results are computed in.
_CARRIERS = frozenset({"Input", "Output", "Const", "Reorder", "Convert"})
_SOURCE_LINE = re.compile(r"^(Exception from \S+|Check '.*' failed at \S+):$")


class TritonPythonModel(BatchedModel):
    """One instance of one version of an OpenVINO IR (.xml with .bin) or an ONNX model."""

    default_filename = "model.xml"

    def load(self, path: Path, config: Config) -> OpenVinoRuntime:
        """The compiled model, in the precision that the config asks for or not at all."""
        precision, properties = _precision(config), _properties(config)
        core = _core()
        try:
            model = core.read_model(path)
            _expect(config, model)
            asked = {**properties, "INFERENCE_PRECISION_HINT": precision}
            compiled = core.compile_model(model, "CPU", asked)
        except RuntimeError as error:
            raise pb.TritonModelException(_plain(error)) from error
        computed = _expect_precision(precision, model, compiled)
        threads = compiled.get_property("INFERENCE_NUM_THREADS")
        pb.Logger.log_info(
            f"{path}: OpenVINO {ov.get_version()}, precision {precision}, "
            f"{threads} threads, layers computed in {computed}"
        )
        return OpenVinoRuntime(compiled)


class OpenVinoRuntime:
    """A compiled model with one inference request: an instance runs one call at a time."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._request = compiled.create_infer_request()
        self._shapes = [port.partial_shape for port in compiled.inputs]
        self._inputs, self._outputs = _places(compiled.inputs), _places(compiled.outputs)

    def feed(self, name: str, array: np.ndarray) -> np.ndarray:
        """The array itself; ValueError for a shape that the model does not take."""
        shape = self._shapes[self._inputs[name]]
        if not shape.compatible(ov.PartialShape(list(array.shape))):
            given = list(array.shape)
            raise ValueError(f"input '{name}' has the shape {given}, the model takes {shape}")
        return array

    def run(self, wanted: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """One inference. OpenVINO computes every output; those that are not wanted are dropped.

        Not by `infer`: with one thread it swallows an error and gives the answer before.
        """
        tensors = {self._inputs[name]: array for name, array in feed.items()}
        try:
            self._request.start_async(tensors, share_inputs=True)
            self._request.wait()
        except RuntimeError as error:
            raise ValueError(_plain(error)) from error
        places = [self._outputs[name] for name in wanted]
        return [self._request.get_output_tensor(place).data.copy() for place in places]


def _core() -> ov.Core:
    core = ov.Core()
    # A file that is mapped and then replaced in place would end the process.
    core.set_property({"ENABLE_MMAP": False})
    return core


def _properties(config: Config) -> dict[str, Any]:
    """OpenVINO's properties; one thread unless the config says more: servers share cores."""
    parameters = config.parameters
    for name in _UNSUPPORTED:
        if parameters.get(name):
            raise pb.TritonModelException(f"parameter {name} is not supported by this backend")
    for name in _YES_ANYWAY:
        _word(config, name, "YES", ("YES", "NO"))
    streams = parameters.get("NUM_STREAMS")
    if streams is not None and streams.upper() not in ("AUTO", "NUMA"):
        streams = str(config.number("NUM_STREAMS", 1))
    return {
        "INFERENCE_NUM_THREADS": config.number("INFERENCE_NUM_THREADS", 1),
        "PERFORMANCE_HINT": _word(config, "PERFORMANCE_HINT", "LATENCY", _HINTS),
        # Every process would choose the same cores, and the models of a server share them.
        "ENABLE_CPU_PINNING": False,
        **({"NUM_STREAMS": streams.upper()} if streams is not None else {}),
    }


def _precision(config: Config) -> str:
    """The precision to compute in: HINT_BF16 is the other backend's name for bf16."""
    if "HINT_BF16" not in config.parameters:
        return _word(config, "INFERENCE_PRECISION_HINT", "f32", _PRECISIONS)
    _word(config, "HINT_BF16", "YES", ("YES",))
    if _word(config, "INFERENCE_PRECISION_HINT", "bf16", _PRECISIONS) != "bf16":
        message = "parameters HINT_BF16 and INFERENCE_PRECISION_HINT contradict each other"
        raise pb.TritonModelException(message)
    return "bf16"


def _word(config: Config, name: str, default: str, known: tuple[str, ...]) -> str:
    """A parameter with one of some values, in any case, as the other backend takes them."""
    value = config.parameters.get(name, default)
    found = next((word for word in known if word.lower() == value.lower()), None)
    if found is None:
        message = f"parameter {name} is '{value}', expected {' or '.join(known)}"
        raise pb.TritonModelException(message)
    return found


def _expect(config: Config, model: ov.Model) -> None:
    """The config's tensors are the model's, by name and type: OpenVINO would convert silently."""
    ports = {name: port for port in model.inputs + model.outputs for name in _names(port)}
    config.expect_names(
        [_name(port, config.inputs) for port in model.inputs],
        [_name(port, config.outputs) for port in model.outputs],
    )
    for entry in config.document["input"] + config.document["output"]:
        name, wanted = entry["name"], entry["data_type"]
        actual = ports[name].element_type.to_string()
        if "string" in (actual, "string" if wanted == "TYPE_STRING" else ""):
            message = f"'{name}' holds text, which OpenVINO does not compute: use onnxruntime"
            raise pb.TritonModelException(message)
        if _TYPES.get(wanted) != actual:
            message = f"'{name}' is {wanted} in config.pbtxt, the model has {actual}"
            raise pb.TritonModelException(message)


def _expect_precision(asked: str, model: ov.Model, compiled: ov.CompiledModel) -> str:
    """Refuse a model that does not run as asked; returns its layers counted by precision."""
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    layers: Counter[str] = Counter()
    for layer in compiled.get_runtime_model().get_ops():
        facts = layer.get_rt_info()
        if facts["layerType"].value not in _CARRIERS:
            layers[facts["runtimePrecision"].value] += 1
    own = {port.element_type.to_string() for node in model.get_ops() for port in node.outputs()}
    foreign = {"bf16", "f16"} & set(layers) - own - {asked}
    if taken != asked or foreign:
        ran = ", ".join(sorted(foreign)) or taken
        message = f"precision {asked} was asked for, OpenVINO runs {ran} on this processor"
        raise pb.TritonModelException(message)
    return ", ".join(f"{precision}: {count}" for precision, count in sorted(layers.items()))


def _names(port: Any) -> set[str]:  # noqa: ANN401 (ports of models and of compiled models)
    return port.names or {port.node.friendly_name}


def _places(ports: list[Any]) -> dict[str, int]:
    return {name: place for place, port in enumerate(ports) for name in _names(port)}


def _name(port: Any, configured: list[str]) -> str:  # noqa: ANN401 (likewise)
    """One name of a port that may have several: the configured one if there is one."""
    names = _names(port)
    return next((name for name in configured if name in names), min(names))


def _plain(error: RuntimeError) -> str:
    """OpenVINO's message without the places in its source."""
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and not _SOURCE_LINE.match(line)]
    return " ".join(kept) or str(error)
