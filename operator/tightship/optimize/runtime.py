"""ONNX Runtime with fixed options: sessions, feeds and whole data sets through a model."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort

from tightship.optimize.contract import STRING, Contract
from tightship.optimize.data import Arrays, Dataset
from tightship.optimize.failures import Reason, RefusalError

Outputs = dict[str, np.ndarray]


class Session(Protocol):
    """A loaded model: ONNX Runtime's own interface, which other runtimes follow."""

    def run(self, names: list[str] | None, feed: Outputs, /) -> list[np.ndarray]:
        """The outputs of those names, or all of them, for one batch."""
        ...


PROVIDERS = ("CPUExecutionProvider",)
_PLACE = re.compile(
    r"Load model from \S+ failed:\s*"
    r"|/\S*onnxruntime\S*:\d+ .*?\)>? (?:\[ONNXRuntimeError\] : \d+ : \w+ : )?(?=[A-Z])"
)


def session(
    path: Path,
    threads: int,
    *,
    optimise: bool = True,
    spin: bool = True,
    providers: Sequence[Any] = PROVIDERS,
) -> ort.InferenceSession:
    """A session as the server will run it.

    `optimise=False` runs each node as the file has it; `spin=False` lets idle threads sleep, which
    only its speed depends on. `providers` compute, the first that can.

    Raises:
        Exception: ONNX Runtime's own, when the file does not load.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    if not spin:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(str(path), options, providers=list(providers))


def runtime_array(array: np.ndarray, dtype: str) -> np.ndarray:
    """As ONNX Runtime takes it: text as objects, all else as it is."""
    if dtype != STRING:
        return np.ascontiguousarray(array)
    text = array if array.dtype.kind == "U" else np.char.decode(array, "utf-8")
    return text.astype(np.object_)


def feed(contract: Contract, arrays: Arrays, rows: slice) -> Outputs:
    """One call's inputs: the rows as a batch, or for an unbatched model the first of them."""
    chosen = {tensor.name: arrays[tensor.name][rows] for tensor in contract.inputs}
    if not contract.batched:
        chosen = {name: array[0] for name, array in chosen.items()}
    return {t.name: runtime_array(chosen[t.name], t.dtype) for t in contract.inputs}


def batches(count: int, contract: Contract, size: int) -> Iterator[slice]:
    """Slices over `count` samples in the size that evaluation and proof in Triton share."""
    step = min(size, contract.max_batch) if contract.batched else 1
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def answers(model: Session, contract: Contract, dataset: Dataset, size: int) -> Outputs:
    """Outputs for all samples by name, first axis the sample.

    Raises:
        RefusalError: an output's shape differs between samples, so that no metric can be taken.
    """
    names = [tensor.name for tensor in contract.outputs]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for rows in batches(len(dataset), contract, size):
        results = model.run(names, feed(contract, dataset.arrays, rows))
        for name, result in zip(names, results, strict=True):
            parts[name].append(np.asarray(result))
    return join(parts, batched=contract.batched)


def join(parts: Mapping[str, list[np.ndarray]], *, batched: bool) -> Outputs:
    """The answers of several calls as one array for each output, first axis the sample.

    Raises:
        RefusalError: an output's shape differs between samples.
    """
    try:
        return {
            name: np.concatenate(arrays) if batched else np.stack(arrays)
            for name, arrays in parts.items()
        }
    except ValueError as error:
        raise RefusalError(
            Reason.UNSUPPORTED_MODEL,
            "the model's output has another shape for each sample, so answers cannot be compared: "
            "pad the data to one shape, or have the model answer in one shape",
        ) from error


def brief(error: Exception) -> str:
    """The runtime's message on one line, without its source positions."""
    text = " ".join(str(error).split()).partition("Stacktrace:")[0]
    return _PLACE.sub("", text)[:300].rstrip(". ")
