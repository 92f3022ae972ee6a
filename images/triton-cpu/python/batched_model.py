"""What the CPU server's Python-based backends share: a model behind Triton's batches and config.

A backend is a folder with a model.py whose `TritonPythonModel` is a `BatchedModel`: it says how a
file becomes a `Runtime`. All requests of a batch run as one call of it. Triton starts one process
for each instance of a model.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import triton_python_backend_utils as pb

Request = Any  # pb.InferenceRequest and
Response = Any  # pb.InferenceResponse: compiled into the stub process, known to no type checker

_SWITCHES = {"0": False, "1": True, "false": False, "true": True}


class Runtime(Protocol):
    """A model that is loaded and answers calls."""

    def feed(self, name: str, array: np.ndarray) -> np.ndarray:
        """A request's tensor as the runtime takes it; ValueError says why it does not."""

    def run(self, wanted: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The wanted outputs in their order, in arrays that the next call leaves alone."""


@dataclass(frozen=True)
class Config:
    """A model's config.pbtxt, as Triton hands it to the process."""

    document: dict[str, Any]

    @property
    def batched(self) -> bool:
        """Whether the first axis of every tensor counts requests."""
        return bool(self.document["max_batch_size"] > 0)

    @property
    def inputs(self) -> list[str]:
        """The inputs' names."""
        return [entry["name"] for entry in self.document["input"]]

    @property
    def outputs(self) -> list[str]:
        """The outputs' names."""
        return [entry["name"] for entry in self.document["output"]]

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters by name, all of them text."""
        entries = self.document.get("parameters", {})
        return {name: entry["string_value"] for name, entry in entries.items()}

    def number(self, name: str, default: int) -> int:
        """A parameter that is a whole number."""
        value = self.parameters.get(name, str(default))
        if not value.isdecimal():
            raise pb.TritonModelException(f"parameter {name} is '{value}', expected a whole number")
        return int(value)

    def switch(self, name: str, *, default: bool) -> bool:
        """A parameter that is on or off."""
        value = self.parameters.get(name, str(default).lower())
        if value not in _SWITCHES:
            raise pb.TritonModelException(f"parameter {name} is '{value}', expected 0 or 1")
        return _SWITCHES[value]

    def expect_names(self, inputs: list[str], outputs: list[str]) -> None:
        """Inputs must be the model's, all of them; outputs may be some of the model's."""
        if set(self.inputs) != set(inputs):
            raise _other_names("input", self.inputs, inputs)
        if not set(self.outputs) <= set(outputs):
            raise _other_names("output", self.outputs, outputs)


class BatchedModel(ABC):
    """One instance of one model version; Triton calls `initialize` once, then `execute`."""

    default_filename: ClassVar[str]

    @abstractmethod
    def load(self, path: Path, config: Config) -> Runtime:
        """Load the file; an error is the text that Triton answers to the load request."""

    def initialize(self, args: dict[str, str]) -> None:
        """Find the version's file and load it."""
        config = Config(json.loads(args["model_config"]))
        self._batched, self._inputs, self._outputs = config.batched, config.inputs, config.outputs
        self._runtime = self.load(self._file(args, config), config)

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

    def _file(self, args: dict[str, str], config: Config) -> Path:
        name = config.document.get("default_model_filename") or self.default_filename
        folder = Path(args["model_repository"]) / args["model_version"]
        for path in (folder / name, folder / name / self.default_filename):
            if path.is_file():
                return path
        message = f"model '{args['model_name']}' has no file {args['model_version']}/{name}"
        raise pb.TritonModelException(message)

    def _feed(self, request: Request) -> dict[str, np.ndarray]:
        feed = {}
        for name in self._inputs:
            tensor = pb.get_input_tensor_by_name(request, name)
            if tensor is None:
                raise ValueError(f"input '{name}' is missing from the request")
            feed[name] = self._runtime.feed(name, tensor.as_numpy())
        return feed

    def _run(self, batch: list[_Call]) -> list[Response]:
        """One call of the runtime for the batch; when it fails, one for each request."""
        asked = {name for call in batch for name in call.request.requested_output_names()}
        wanted = [name for name in self._outputs if name in asked]
        feed = {name: _join([call.feed[name] for call in batch]) for name in self._inputs}
        try:
            results = dict(zip(wanted, self._runtime.run(wanted, feed), strict=True))
        except Exception as error:  # noqa: BLE001 (the runtimes' errors share no other base class)
            if len(batch) == 1:
                return [_error(error)]
            return [response for call in batch for response in self._run([call])]
        return _split(batch, results)


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


def _split(batch: list[_Call], results: dict[str, np.ndarray]) -> list[Response]:
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


def _other_names(kind: str, configured: list[str], actual: list[str]) -> Exception:
    message = f"config.pbtxt names the {kind}s {configured}, the model has {actual}"
    return pb.TritonModelException(message)


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _response(request: Request, results: dict[str, np.ndarray]) -> Response:
    asked = request.requested_output_names()
    tensors = [
        pb.Tensor(name, np.ascontiguousarray(result))
        for name, result in results.items()
        if name in asked
    ]
    return pb.InferenceResponse(output_tensors=tensors)


def _error(error: Exception) -> Response:
    return pb.InferenceResponse(error=pb.TritonError(str(error)))
