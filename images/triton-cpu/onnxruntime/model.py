"""Triton's `onnxruntime` backend for CPU servers, as a Python-based backend.

Reads the same config.pbtxt that NVIDIA's C++ backend of that name reads: inputs, outputs, instance
groups and batching are Triton's own; of the backend's parameters it knows the thread counts, the
execution mode, the memory arena and the graph optimization level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
from batched_model import BatchedModel, Config

if TYPE_CHECKING:
    from pathlib import Path

_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    0: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    2: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


class TritonPythonModel(BatchedModel):
    """One instance of one version of an ONNX model."""

    default_filename = "model.onnx"

    def load(self, path: Path, config: Config) -> OrtRuntime:
        """A session for the file, with the config's options."""
        session = ort.InferenceSession(
            str(path), _options(config), providers=["CPUExecutionProvider"]
        )
        inputs, outputs = session.get_inputs(), session.get_outputs()
        config.expect_names([node.name for node in inputs], [node.name for node in outputs])
        return OrtRuntime(session)


class OrtRuntime:
    """A session of ONNX Runtime. Triton's strings are bytes, ONNX Runtime's are text."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        inputs = session.get_inputs()
        self._strings = {node.name for node in inputs if node.type == "tensor(string)"}

    def feed(self, name: str, array: np.ndarray) -> np.ndarray:
        """The array itself, or its text; ValueError where that is none."""
        return _text(name, array) if name in self._strings else array

    def run(self, wanted: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """One call of the session; only the wanted outputs are computed."""
        return list(self._session.run(wanted, feed))


def _options(config: Config) -> ort.SessionOptions:
    """Session options from the config; one thread unless it says more: servers share cores."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = config.number("intra_op_thread_count", 1)
    options.inter_op_num_threads = config.number("inter_op_thread_count", 1)
    if config.number("execution_mode", 0):
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = config.switch("enable_mem_arena", default=True)
    options.enable_mem_pattern = config.switch("enable_mem_pattern", default=True)
    level = config.document.get("optimization", {}).get("graph", {}).get("level", 0)
    options.graph_optimization_level = _GRAPH_LEVELS[level]
    return options


def _text(name: str, array: np.ndarray) -> np.ndarray:
    """The strings of an array of bytes; ValueError where they are not UTF-8."""
    try:
        texts = [item.decode() if isinstance(item, bytes) else str(item) for item in array.ravel()]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"input '{name}' holds bytes that are not UTF-8: {error.reason}"
        ) from error
    return np.array(texts, dtype=np.object_).reshape(array.shape)
