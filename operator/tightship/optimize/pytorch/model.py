"""A model of torch as its file has it: what it takes, what it answers, and it as ONNX.

Runs in a confined child: the file is code.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.export.graph_signature import ConstantArgument, InputKind, TensorArgument
from torch.utils import _pytree as pytree

from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.normalise import OPSET
from tightship.optimize.pytorch.archive import Kind
from tightship.optimize.pytorch.inputs import Argument

_ONE_FILE = 1_500_000_000  # bytes of weights that a protobuf message surely takes
_WORDS = 400
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

Examples = Mapping[str, np.ndarray] | None


@dataclass(frozen=True, slots=True)
class Names:
    """What the ONNX model's tensors are called, in their order."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Model(Protocol):
    """What both kinds of file have in common. Inputs are given in the order of `arguments`."""

    arguments: tuple[Argument, ...]
    real: str  # dtype of its own numbers
    shaped: bool  # the file says its shapes, so that no example decides them
    examples: Examples  # inputs that the file brings, by argument

    def ask(self, inputs: Sequence[Tensor]) -> Any:  # noqa: ANN401 (whatever forward returns)
        """The model's answer, as its code gives it."""
        ...

    def write(self, inputs: Sequence[Tensor], names: Names, target: Path, *, free: bool) -> None:
        """The model as ONNX.

        Where the file says nothing of shapes, they are those of `inputs`, with the first axis of
        all inputs and outputs `free` or not.
        """
        ...


class Script:
    """A TorchScript archive. It names its arguments, and has neither shapes nor types of them."""

    shaped: bool = False
    examples: Examples = None

    def __init__(self, path: Path) -> None:
        self._module = torch.jit.load(str(path), map_location="cpu").eval()
        self.arguments = tuple(_arguments(self._module))
        self.real = _real(self._module.state_dict().values())

    def ask(self, inputs: Sequence[Tensor]) -> Any:  # noqa: ANN401 (whatever forward returns)
        """The model's answer."""
        return self._module(*inputs)

    def write(self, inputs: Sequence[Tensor], names: Names, target: Path, *, free: bool) -> None:
        """By torch's exporter for TorchScript: the other one takes no control flow of it."""
        both = (*names.inputs, *names.outputs)
        torch.onnx.export(
            self._called_with(len(inputs)),
            tuple(inputs),
            str(target),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(names.inputs),
            output_names=list(names.outputs),
            dynamic_axes={name: {0: "batch"} for name in both} if free else None,
        )

    def _called_with(self, count: int) -> Any:  # noqa: ANN401 (torch has no types)
        """The module with so many tensors as its only arguments: the exporter knows no defaults."""
        holder = torch.nn.Module()
        holder.inner = self._module
        found = torch.jit.script(holder)
        taken = ", ".join(f"x{number}" for number in range(count))
        found.define(f"def forward(self, {taken}):\n    return self.inner({taken})\n")
        return found.eval()


class Program:
    """An exported program. It has names, types and shapes, free axes included, and examples."""

    shaped: bool = True

    def __init__(self, path: Path) -> None:
        self._program = torch.export.load(str(path))
        self._module = self._program.module()
        self._flat, self.arguments = _signature(self._program)
        self.real = _real(self._program.state_dict.values())
        self._bytes = sum(each.nbytes for each in self._program.state_dict.values())
        self.examples: Examples = self._examples()

    def _examples(self) -> dict[str, np.ndarray] | None:
        if self._program.example_inputs is None:
            return None
        flat = pytree.tree_leaves(self._program.example_inputs)
        tensors = [each.detach().cpu() for each in flat if isinstance(each, Tensor)]
        if len(tensors) != len(self.arguments):
            return None
        pairs = zip(self.arguments, tensors, strict=True)
        return {argument.name: each.numpy() for argument, each in pairs}

    def ask(self, inputs: Sequence[Tensor]) -> Any:  # noqa: ANN401 (whatever forward returns)
        """The model's answer; inputs of another shape than the program's are an error."""
        rest = iter(inputs)
        flat = [next(rest) if each is _TENSOR else each for each in self._flat]
        args, kwargs = pytree.tree_unflatten(flat, self._program.call_spec.in_spec)
        return self._module(*args, **kwargs)

    def write(self, inputs: Sequence[Tensor], names: Names, target: Path, *, free: bool) -> None:
        """Shapes are the program's, whatever the inputs are."""
        del inputs, free
        torch.onnx.export(
            self._program,
            (),
            str(target),
            dynamo=True,
            input_names=list(names.inputs),
            output_names=list(names.outputs),
            external_data=self._bytes > _ONE_FILE,
            verbose=False,
        )


_TENSOR = object()  # the place of a tensor among arguments that the program has fixed


def load(path: Path, kind: Kind) -> Model:
    """The model of a file.

    Raises:
        RefusalError: torch cannot read it, or it takes something else than tensors.
    """
    made: type[Script | Program] = Script if kind is Kind.SCRIPT else Program
    try:
        return made(path)
    except RefusalError:
        raise
    except Exception as error:
        raise RefusalError(
            Reason.INVALID_MODEL,
            f"torch {torch.__version__} cannot read '{path.name}': {words(error)} Save it again, "
            "from the processor (model.cpu()), with this version of torch; or give ONNX.",
        ) from error


def words(error: Exception) -> str:
    """What torch says, on one line: the last of TorchScript's tracebacks, the exporter's cause."""
    cause: BaseException = error
    while type(cause).__module__.startswith("torch.onnx") and cause.__cause__ is not None:
        cause = cause.__cause__
    told = f"{type(cause).__name__}: {_COLOURS.sub('', str(cause))}"
    if "Traceback of TorchScript" in told:
        told = [line for line in told.splitlines() if line.strip()][-1]
    return " ".join(told.split())[:_WORDS].rstrip(".") + "."


def _arguments(module: Any) -> list[Argument]:  # noqa: ANN401 (torch has no types)
    """Those of forward; what is no tensor has to have a default."""
    if not hasattr(module, "forward"):
        raise _no_tensors("has no method forward")
    found = []
    for each in module.forward.schema.arguments[1:]:
        default = each.has_default_value()
        if str(each.type) not in ("Tensor", "Optional[Tensor]"):
            if not default:
                raise _no_tensors(f"takes '{each.name}' of type {each.type}")
            break
        found.append(Argument(each.name, optional=default))
    return found


def _signature(program: Any) -> tuple[list[Any], tuple[Argument, ...]]:  # noqa: ANN401 (likewise)
    """What the program was called with, flat, and which of it are tensors."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    flat, arguments = [], []
    for spec in program.graph_signature.input_specs:
        if spec.kind is not InputKind.USER_INPUT:
            continue
        if isinstance(spec.arg, ConstantArgument):
            flat.append(spec.arg.value)
        elif isinstance(spec.arg, TensorArgument):
            flat.append(_TENSOR)
            arguments.append(_argument(spec.arg.name, values[spec.arg.name]))
        else:
            raise _no_tensors(f"takes '{spec.arg.name}', a number")
    return flat, tuple(arguments)


def _argument(name: str, value: Tensor) -> Argument:
    free = {axis: str(n) for axis, n in enumerate(value.shape) if not isinstance(n, int)}
    return Argument(name, str(value.dtype).removeprefix("torch."), free=free)


def _no_tensors(problem: str) -> RefusalError:
    return RefusalError(
        Reason.UNSUPPORTED_MODEL,
        f"The torch model {problem}. A served model takes and answers tensors alone: wrap it in a "
        "module whose forward does, and save that.",
    )


def _real(weights: Any) -> str:  # noqa: ANN401 (tensors)
    found = [
        each.dtype for each in weights if isinstance(each, Tensor) and each.is_floating_point()
    ]
    if torch.bfloat16 in found:
        raise RefusalError(
            Reason.UNSUPPORTED_MODEL,
            "The model's weights are bfloat16, which clients cannot send. Save it in float32 "
            "(model.float()): half precision is found by the conversion where it pays.",
        )
    return str(found[0]).removeprefix("torch.") if found else "float32"


def answers(value: Any, taken: Sequence[str]) -> dict[str, Tensor]:  # noqa: ANN401 (likewise)
    """The tensors of an answer by name: its keys or fields, else output, or output_0 and so on.

    A name in `taken`, an input's, gets an underscore.

    Raises:
        RefusalError: the answer holds something else than tensors, or none.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in _leaves(value, ""):
        free = name or "output"
        while free in found or free in taken:
            free += "_"
        found[free] = tensor
    if not found:
        raise _no_tensors("answers nothing")
    return found


def _leaves(value: Any, name: str) -> list[tuple[str, Tensor]]:  # noqa: ANN401 (likewise)
    if isinstance(value, Tensor):
        return [(name, value)]
    if value is None:
        return []
    if isinstance(value, Mapping):
        parts = [(str(key), part) for key, part in value.items()]
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = list(zip(value._fields, value, strict=True))
    elif isinstance(value, tuple | list):
        parts = [(f"{name or 'output'}_{number}", part) for number, part in enumerate(value)]
        if len(parts) == 1:
            parts = [(name, value[0])]
    else:
        raise _no_tensors(f"answers with a {type(value).__name__}")
    return [leaf for key, part in parts for leaf in _leaves(part, key)]
