"""Triton's `onnxruntime` backend for CPU servers, as a Python-based backend.

Reads the same config.pbtxt that NVIDIA's C++ backend of that name reads: inputs, outputs, instance groups and batching
are Triton's own; of the backend's parameters it knows the thread counts, the execution mode, the memory arena and the
graph optimization level. All requests of a batch run as one call of ONNX Runtime. Triton starts one process of this
file for each instance.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb

_SWITCHES = {"0": False, "1": True, "false": False, "true": True}
_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    0: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    2: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


class TritonPythonModel:
    """One instance of one model version: an ONNX Runtime session and the names that its config exposes."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model; an error here is the text that Triton answers to the load request."""
        config = json.loads(args["model_config"])
        path = _model_file(args, config)
        self._batched = config["max_batch_size"] > 0
        self._inputs = [entry["name"] for entry in config["input"]]
        self._outputs = [entry["name"] for entry in config["output"]]
        self._session = ort.InferenceSession(path, _options(config), providers=["CPUExecutionProvider"])
        self._strings = {node.name for node in self._session.get_inputs() if node.type == "tensor(string)"}
        _compare_names("input", self._inputs, [node.name for node in self._session.get_inputs()])
        _compare_names("output", self._outputs, [node.name for node in self._session.get_outputs()])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests in their order; a request that the model refuses does not fail its neighbours."""
        feeds: list[dict[str, np.ndarray] | Exception] = [self._feed(request) for request in requests]
        good = [index for index, feed in enumerate(feeds) if isinstance(feed, dict)]
        answers: dict[int, Any] = {i: _error(feed) for i, feed in enumerate(feeds) if isinstance(feed, Exception)}
        for group in self._groups(feeds, good):
            for index, answer in zip(group, self._answer(requests, feeds, group), strict=True):
                answers[index] = answer
        return [answers[index] for index in range(len(requests))]

    def _groups(self, feeds: list[Any], good: list[int]) -> list[list[int]]:
        """Requests that may share a call: all of one shape beyond the batch axis, where the model has one."""
        if not self._batched:
            return [[index] for index in good]
        groups: dict[Any, list[int]] = {}
        for index in good:
            groups.setdefault(tuple(tensor.shape[1:] for tensor in feeds[index].values()), []).append(index)
        return list(groups.values())

    def _answer(self, requests: list[Any], feeds: list[Any], group: list[int]) -> list[Any]:
        wanted = [name for name in self._outputs if any(name in requests[i].requested_output_names() for i in group)]
        feed = {name: _join([feeds[i][name] for i in group]) for name in self._inputs}
        try:
            results = self._session.run(wanted, feed)
        except Exception as error:  # noqa: BLE001 (ONNX Runtime's errors share no other base class)
            if len(group) == 1:
                return [_error(error)]
            return [answer for index in group for answer in self._answer(requests, feeds, [index])]
        return self._split(requests, feeds, group, dict(zip(wanted, results, strict=True)))

    def _split(self, requests: list[Any], feeds: list[Any], group: list[int], results: dict[str, Any]) -> list[Any]:
        if len(group) == 1:
            return [_response(requests[group[0]], results)]
        sizes = [next(iter(feeds[index].values())).shape[0] for index in group]
        short = [name for name, result in results.items() if result.shape[:1] != (sum(sizes),)]
        if short:
            return [_error(ValueError(f"output '{short[0]}' has no batch axis; set max_batch_size: 0"))] * len(group)
        ends = np.cumsum(sizes)
        return [
            _response(requests[index], {name: result[end - size : end] for name, result in results.items()})
            for index, size, end in zip(group, sizes, ends, strict=True)
        ]

    def _feed(self, request: Any) -> dict[str, np.ndarray] | Exception:
        feed = {}
        for name in self._inputs:
            tensor = pb.get_input_tensor_by_name(request, name)
            if tensor is None:
                return ValueError(f"input '{name}' is missing from the request")
            try:
                feed[name] = _text(tensor.as_numpy()) if name in self._strings else tensor.as_numpy()
            except UnicodeDecodeError as error:
                return ValueError(f"input '{name}' holds bytes that are not UTF-8 text: {error.reason}")
        return feed


def _model_file(args: dict[str, str], config: dict[str, Any]) -> str:
    name = config.get("default_model_filename") or "model.onnx"
    folder = Path(args["model_repository"]) / args["model_version"]
    candidates = [folder / name, folder / name / "model.onnx"]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        message = f"no file '{name}' in version folder {args['model_version']} of model '{args['model_name']}'"
        raise pb.TritonModelException(message)
    return str(path)


def _options(config: dict[str, Any]) -> ort.SessionOptions:
    """Session options from the config; one thread a call unless it says more, because servers share their cores."""
    parameters = {name: entry["string_value"] for name, entry in config.get("parameters", {}).items()}
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
        raise pb.TritonModelException(f"config.pbtxt names the {kind}s {configured}, the model has {actual}")


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _text(array: np.ndarray) -> np.ndarray:
    """Triton's strings are bytes, ONNX Runtime's are text."""
    texts = [item.decode() if isinstance(item, bytes) else str(item) for item in array.ravel()]
    return np.array(texts, dtype=np.object_).reshape(array.shape)


def _response(request: Any, results: dict[str, Any]) -> Any:
    asked = request.requested_output_names()
    tensors = [pb.Tensor(name, np.ascontiguousarray(result)) for name, result in results.items() if name in asked]
    return pb.InferenceResponse(output_tensors=tensors)


def _error(error: Exception) -> Any:
    return pb.InferenceResponse(error=pb.TritonError(str(error)))
