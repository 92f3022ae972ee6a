"""Loads a model in the runtime and finds its contract by running it; runs in a child."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from tightship.optimize import batching, data, graph, runtime
from tightship.optimize.batching import Feed, Make, NoFitError
from tightship.optimize.budget import Budget
from tightship.optimize.contract import (
    RANDOM,
    STRING,
    Contract,
    Tensor,
    numpy_type,
)
from tightship.optimize.failures import Reason, RefusalError

MADE = "made"
_SIZES = (1, 8, 16, 32, 64, 128, 224, 256)
_NOT_IMPLEMENTED = ("is not a registered function/op", "NOT_IMPLEMENTED", "No Op registered for")
_REMEDIES = {
    "Unsupported model IR version": "Export it with an older onnx package, or set ir_version of "
    "the file to the greatest that is supported.",
    "released onnx opset versions": "Export it with an older opset.",
    "Failed to construct locale": "Set the attribute locale of its StringNormalizer to C, which "
    "every server has.",
    "not currently registered or supported": "Export it with numbers of another type.",
}
"""What the runtime says of a sound model that it cannot take, and what helps."""
_STANDARD_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.ms.internal.nhwc"}


def task(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Child's entry: {model, operators, data: {path, what} | None, threads, samples} -> contract.

    Leaves inputs that the model takes in the folder MADE.
    """
    samples = None
    if payload["data"] is not None:
        samples = data.read(Path(payload["data"]["path"]), payload["data"]["what"], Budget())
    model = Path(payload["model"])
    foreign = [tuple(pair) for pair in payload["operators"] if pair[0] not in _STANDARD_DOMAINS]
    session = _load(model, payload["threads"], foreign)
    contract, make = find(session, model, samples)
    _keep(contract, make, payload["samples"], Path(MADE))
    return contract.to_json()


def _load(model: Path, threads: int, foreign: Sequence[tuple[str, ...]]) -> ort.InferenceSession:
    try:
        return runtime.session(model, threads)
    except Exception as error:
        words = runtime.brief(error)
        if foreign:
            names = ", ".join(f"{domain}:{name}" for domain, name in foreign[:4])
            raise RefusalError(
                Reason.UNSUPPORTED_MODEL,
                f"The model uses operators that ONNX Runtime does not have ({names}). Export it "
                "with "
                "standard operators only; libraries of custom operators are not loaded.",
            ) from error
        for sign, remedy in _REMEDIES.items():
            if sign in words:
                message = f"ONNX Runtime {ort.__version__} does not take the model: {words}."
                raise RefusalError(Reason.UNSUPPORTED_MODEL, f"{message} {remedy}") from error
        if any(sign in words for sign in _NOT_IMPLEMENTED):
            raise RefusalError(
                Reason.UNSUPPORTED_MODEL,
                f"ONNX Runtime {ort.__version__} does not implement an operator of the model: "
                f"{words}. "
                "Export it with another opset.",
            ) from error
        raise RefusalError(
            Reason.INVALID_MODEL,
            f"ONNX Runtime {ort.__version__} cannot load the model: {words}. Check it with "
            "onnx.checker and export it again.",
        ) from error


def _keep(contract: Contract, make: Make, count: int, folder: Path) -> None:
    feed = make(min(count, contract.max_batch)) if contract.batched else make(None)
    plain = {n: a.astype(np.str_) if a.dtype == object else a for n, a in feed.items()}
    if not contract.batched:
        plain = {name: array[np.newaxis] for name, array in plain.items()}
    data.Dataset(plain).save(folder)


def find(
    session: ort.InferenceSession, model: Path, samples: data.Arrays | None
) -> tuple[Contract, Make]:
    """The contract of a loaded model, and what made inputs that it takes.

    `samples` are data arrays as they came; without them, or where they do not fit, made-up inputs
    are run.

    Raises:
        RefusalError: a type that cannot be served, or the model does not run on any inputs.
    """
    blank = _declared(session, graph.unshaped(model), graph.facts(model), samples)
    errors: list[str] = []
    for make in _makers(blank.inputs, samples):
        found = batching.batched(session, blank, make, errors)
        if found is not None:
            return _servable(session, found, make, errors), make
    for make in _makers(blank.inputs, samples):
        if batching.attempt(session, make, None, errors) is not None:
            return _servable(session, blank, make, errors), make
    raise _never_ran(blank.inputs, errors, given=samples is not None)


def _never_ran(inputs: Sequence[Tensor], errors: list[str], *, given: bool) -> RefusalError:
    told = f"The model loads but did not run on made-up inputs of any size: {errors[-1]}. "
    remedy = "Give evaluation data, whose samples are then used instead."
    if given:
        told = f"The model loads but runs neither on the data nor on made-up inputs: {errors[0]}. "
        names = ", ".join(tensor.name for tensor in inputs)
        remedy = f"Check that the data are valid inputs of the model, which are {names[:200]}."
    return RefusalError(Reason.UNSUPPORTED_MODEL, told + remedy)


def _declared(
    session: ort.InferenceSession,
    unshaped: frozenset[str],
    facts: Contract,
    samples: data.Arrays | None,
) -> Contract:
    """The contract as the file declares it; of an input without a shape, samples tell its axes."""
    inputs = []
    for tensor in _tensors(session.get_inputs(), "input"):
        known = samples is not None and tensor.name in samples
        if tensor.name in unshaped and samples is not None and known:
            inputs.append(replace(tensor, dims=(None,) * samples[tensor.name].ndim))
        elif tensor.name in unshaped:
            raise RefusalError(
                Reason.UNSUPPORTED_MODEL,
                f"The model's input '{tensor.name}' declares no shape, not even how many axes it "
                "has. Declare it, free axes by a name, and export the model again; or give data.",
            )
        else:
            inputs.append(tensor)
    return replace(facts, inputs=tuple(inputs), outputs=_tensors(session.get_outputs(), "output"))


def _servable(
    session: ort.InferenceSession, found: Contract, make: Make, errors: list[str]
) -> Contract:
    """The contract with what an answer shows: its axes, and whether the next one is the same.

    Raises:
        RefusalError: a shape that Triton has no word for.
    """
    rows = 1 if found.batched else None
    answers = batching.attempt(session, make, rows, errors) or []
    outputs = tuple(
        replace(tensor, dims=(None,) * answer.ndim) if len(tensor.dims) != answer.ndim else tensor
        for tensor, answer in zip(found.outputs, answers, strict=True)
    )
    found = replace(found, outputs=outputs)
    for kind, tensors in (("input", found.inputs), ("output", found.outputs)):
        for tensor in tensors:
            _refuse_unspeakable(kind, tensor, found)
    again = answers if found.batched else batching.attempt(session, make, rows, errors) or []
    if all(batching.close(one, other) for one, other in zip(answers, again, strict=True)):
        return found
    return replace(found, notes=(RANDOM,))


def _refuse_unspeakable(kind: str, tensor: Tensor, found: Contract) -> None:
    problem = remedy = ""
    if not tensor.dims and not found.batched:
        problem, remedy = "is a scalar without axes", "Give it an axis of length 1"
    elif 0 in tensor.dims:
        problem, remedy = "declares an axis of length 0", "Give a free axis a name instead of 0"
    if problem:
        raise RefusalError(
            Reason.UNSUPPORTED_MODEL,
            f"The model's {kind} '{tensor.name}' {problem}, which Triton cannot serve. {remedy}, "
            "and export the model again.",
        )


def _tensors(nodes: Sequence[Any], kind: str) -> tuple[Tensor, ...]:
    tensors = []
    for node in nodes:
        dtype = numpy_type(node.type)
        if dtype is None:
            hint = " Convert it with zipmap=False." if "map" in node.type else ""
            raise RefusalError(
                Reason.UNSUPPORTED_MODEL,
                f"The model's {kind} '{node.name}' is of type {node.type}, which Triton cannot "
                "serve."
                f"{hint}",
            )
        dims = tuple(dim if isinstance(dim, int) and dim >= 0 else None for dim in node.shape)
        tensors.append(Tensor(node.name, dtype, dims))
    names = [tensor.name for tensor in tensors]
    if twice := [name for name in names if names.count(name) > 1]:
        raise RefusalError(
            Reason.UNSUPPORTED_MODEL,
            f"The model has two {kind}s called '{twice[0]}', which Triton cannot serve. Leave one "
            "out, and export the model again.",
        )
    if not tensors:
        raise RefusalError(Reason.UNSUPPORTED_MODEL, f"The model has no {kind}s. Nothing to serve.")
    return tuple(tensors)


def _makers(inputs: Sequence[Tensor], samples: data.Arrays | None) -> Iterator[Make]:
    if samples is not None and all(tensor.name in samples for tensor in inputs):
        some = _some({tensor.name: samples[tensor.name] for tensor in inputs})
        yield lambda rows: {t.name: _taken(t, some[t.name], rows) for t in inputs}
    for size in _SIZES:
        for fill in (1, 0):
            yield _Made(inputs, size, fill)


def _some(samples: data.Arrays) -> data.Arrays:
    """The first samples, the second unlike the first where any is: alike rows show nothing."""
    count = min(len(array) if array.ndim else 0 for array in samples.values())
    others = (
        row
        for row in range(1, count)
        if not all(np.array_equal(array[0], array[row]) for array in samples.values())
    )
    second = next(others, None)
    if second is None:
        return samples
    rest = (row for row in range(1, count) if row != second)
    order = [0, second, *islice(rest, Budget().max_batch)]
    return {name: array[order] for name, array in samples.items()}


def _taken(tensor: Tensor, array: np.ndarray, rows: int | None) -> np.ndarray:
    sample = array.shape[1:]
    if not len(array) or (tensor.dtype == STRING) != (array.dtype.kind in "US"):
        raise NoFitError
    if rows is not None and _fits(tensor.dims[1:], sample) and tensor.dims[:1] == (None,):
        taken = array[np.arange(rows) % len(array)]
    elif rows is None and _fits(tensor.dims, sample):
        taken = array[0]
    elif rows is None and tensor.dims[:1] in ((1,), (None,)) and _fits(tensor.dims[1:], sample):
        taken = array[:1]
    else:
        raise NoFitError
    if tensor.dtype != STRING:
        taken = taken.astype(tensor.dtype)
    return runtime.runtime_array(taken, tensor.dtype)


def _fits(dims: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    return len(dims) == len(shape) and all(
        d is None or d == s for d, s in zip(dims, shape, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """Made-up inputs: fixed noise for floats, one constant for whole numbers (a valid index)."""

    inputs: Sequence[Tensor]
    size: int  # of every axis that may vary
    fill: int

    def __call__(self, rows: int | None) -> Feed:
        return {tensor.name: self._made(tensor, rows) for tensor in self.inputs}

    def _made(self, tensor: Tensor, rows: int | None) -> np.ndarray:
        shape = [self.size if dim is None else dim for dim in tensor.dims]
        if rows is not None:
            if tensor.dims[:1] != (None,):
                raise NoFitError
            shape[0] = rows
        if tensor.dtype == STRING:
            return np.full(shape, "a", np.object_)
        if np.dtype(tensor.dtype).kind == "f":
            noise = np.random.default_rng(0).standard_normal(shape)
            return noise.astype(tensor.dtype)
        return np.full(shape, self.fill, np.dtype(tensor.dtype))
