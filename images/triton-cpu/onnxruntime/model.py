"""Triton's `onnxruntime` backend for CPU servers, as a Python-based backend.

Reads the same config.pbtxt that NVIDIA's C++ backend of that name reads: inputs, outputs, instance
groups and batching are Triton's own; of the backend's parameters it knows the thread counts, the
execution mode, the memory arena and the graph optimization level. All requests of a batch run as
one call of ONNX Runtime. Triton starts one process of this file for each instance.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb

Request = Any  # pb.InferenceRequest and
Response = Any  # pb.InferenceResponse: compiled into the stub process, known to no type checker

_SWITCHES = {"0": False, "1": True, "false": False, "true": True}
_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    0: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    2: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


@dataclass(frozen=True)
class _Call:
    """One request of a batch, at its place in the batch, with its input tensors by name."""

    place: int
    request: Request
    feed: dict[str, np.ndarray]

    @property
    def rows(self) -> int:
        return int(next(iter(self.feed.values())).shape[0])

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes beyond the batch axis: calls of equal shapes may run as one."""
        return tuple(tensor.shape[1:] for tensor in self.feed.values())


class TritonPythonModel:
    """One instance of one model version: its session and the names that its config exposes."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model; an error here is the text that Triton answers to the load request."""
        config = json.loads(args["model_config"])
        self._batched = config["max_batch_size"] > 0
        self._inputs = [entry["name"] for entry in config["input"]]
        self._outputs = [entry["name"] for entry in config["output"]]
        self._session = ort.InferenceSession(
            _model_file(args, config), _options(config), providers=["CPUExecutionProvider"]
        )
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._strings = {node.name for node in inputs if node.type == "tensor(string)"}
        _compare_names("input", self._inputs, [node.name for node in inputs])
        _compare_names("output", self._outputs, [node.name for node in outputs])

    def execute(self, requests: list[Request]) -> list[Response]:
        """Answer the requests in their order; one that the model refuses fails alone."""
        responses: dict[int, Response] = {}
        batches: dict[Any, list[_Call]] = {}
        for place, request in enumerate(requests):
            try:
                call = _Call(place, request, self._feed(request))
            except ValueError as error:
                responses[place] = _error(error)
            else:
                batches.setdefault(call.shapes if self._batched else place, []).append(call)
        for batch in batches.values():
            for call, response in zip(batch, self._run(batch), strict=True):
                responses[call.place] = response
        return [responses[place] for place in range(len(requests))]

    def _feed(self, request: Request) -> dict[str, np.ndarray]:
        feed = {}
        for name in self._inputs:
            tensor = pb.get_input_tensor_by_name(request, name)
            if tensor is None:
                raise ValueError(f"input '{name}' is missing from the request")
            array = tensor.as_numpy()
            feed[name] = _text(name, array) if name in self._strings else array
        return feed

    def _run(self, batch: list[_Call]) -> list[Response]:
        """One call of ONNX Runtime for the batch; when it fails, one for each request."""
        asked = {name for call in batch for name in call.request.requested_output_names()}
        wanted = [name for name in self._outputs if name in asked]
        feed = {name: _join([call.feed[name] for call in batch]) for name in self._inputs}
        try:
            results = dict(zip(wanted, self._session.run(wanted, feed), strict=True))
        except Exception as error:  # noqa: BLE001 (ONNX Runtime's errors share no other base class)
            if len(batch) == 1:
                return [_error(error)]
            return [response for call in batch for response in self._run([call])]
        return self._split(batch, results)

    def _split(self, batch: list[_Call], results: dict[str, np.ndarray]) -> list[Response]:
        """Each call's rows of the results."""
        if len(batch) == 1:
            return [_response(batch[0].request, results)]
        ends = np.cumsum([call.rows for call in batch])
        for name, result in results.items():
            if result.shape[:1] != (ends[-1],):
                reason = f"output '{name}' has no batch axis: set max_batch_size to 0"
                return [_error(ValueError(reason)) for _ in batch]
        return [
            _response(
                call.request,
                {name: whole[end - call.rows : end] for name, whole in results.items()},
            )
            for call, end in zip(batch, ends, strict=True)
        ]


def _model_file(args: dict[str, str], config: dict[str, Any]) -> str:
    name = config.get("default_model_filename") or "model.onnx"
    folder = Path(args["model_repository"]) / args["model_version"]
    candidates = [folder / name, folder / name / "model.onnx"]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        message = f"model '{args['model_name']}' has no file {args['model_version']}/{name}"
        raise pb.TritonModelException(message)
    return str(path)


def _options(config: dict[str, Any]) -> ort.SessionOptions:
    """Session options from the config; one thread unless it says more: servers share cores."""
    parameters = {
        name: entry["string_value"] for name, entry in config.get("parameters", {}).items()
    }
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = _number(parameters, "intra_op_thread_count", 1)
    options.inter_op_num_threads = _number(parameters, "inter_op_thread_count", 1)
    if _number(parameters, "execution_mode", 0):
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = _switch(parameters, "enable_mem_arena", default=True)
    options.enable_mem_pattern = _switch(parameters, "enable_mem_pattern", default=True)
    level = config.get("optimization", {}).get("graph", {}).get("level", 0)
    options.graph_optimization_level = _GRAPH_LEVELS[level]
    return options


def _number(parameters: dict[str, str], name: str, default: int) -> int:
    value = parameters.get(name, str(default))
    if not value.isdecimal():
        raise pb.TritonModelException(f"parameter {name} is '{value}', expected a whole number")
    return int(value)


def _switch(parameters: dict[str, str], name: str, *, default: bool) -> bool:
    value = parameters.get(name, str(default).lower())
    if value not in _SWITCHES:
        raise pb.TritonModelException(f"parameter {name} is '{value}', expected 0 or 1")
    return _SWITCHES[value]


def _compare_names(kind: str, configured: list[str], actual: list[str]) -> None:
    """Inputs must be the model's, all of them; outputs may be some of the model's."""
    unknown = [name for name in configured if name not in actual]
    missing = [name for name in actual if name not in configured] if kind == "input" else []
    if unknown or missing:
        raise pb.TritonModelException(
            f"config.pbtxt names the {kind}s {configured}, the model has {actual}"
        )


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _text(name: str, array: np.ndarray) -> np.ndarray:
    """Triton's strings are bytes, ONNX Runtime's are text; ValueError where that fails."""
    try:
        texts = [item.decode() if isinstance(item, bytes) else str(item) for item in array.ravel()]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"input '{name}' holds bytes that are not UTF-8: {error.reason}"
        ) from error
    return np.array(texts, dtype=np.object_).reshape(array.shape)


def _response(request: Request, results: dict[str, Any]) -> Response:
    asked = request.requested_output_names()
    tensors = [
        pb.Tensor(name, np.ascontiguousarray(result))
        for name, result in results.items()
        if name in asked
    ]
    return pb.InferenceResponse(output_tensors=tensors)


def _error(error: Exception) -> Response:
    return pb.InferenceResponse(error=pb.TritonError(str(error)))
