"""Techniques: each module proposes recipes from facts and applies its pass to a file.

A technique is a module with `propose` and `apply` as in `Technique`. A recipe is a sequence of
passes, so techniques combine. A new technique is a new module and one entry in MODULES.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, cast

from tightship.optimize import graph
from tightship.optimize.contract import Contract
from tightship.optimize.data import Dataset
from tightship.optimize.engine import ORIGINALS, Engine

MODULES = (
    "dynamic_int8",
    "static_int8",
    "openvino",
    "tensorrt",
    "weight_only",
    "half",
    "prune",
    "trained",
)

QUANTIZE = "Quantize"
HALF_PRECISION = "HalfPrecision"
PRUNE = "Prune"
RUNTIME = "Runtime"
DISTILL = "Distill"
ARCHITECTURE = "Architecture"

_VNNI = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
_TREES = ("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor")
_PRODUCTS = ("Conv", "MatMul", "Gemm")
_ALREADY_INTEGER = (
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "ConvInteger",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What decides which candidates are worth building.

    `cache_bytes` is the size of the processor's last-level cache; 0 where it is not known.
    `trained` are the proposals of `optimize.training`, which has looked at the user's trainer.
    """

    contract: Contract
    calibration: bool
    cpu_flags: frozenset[str]
    cache_bytes: int = 0
    quantize: bool
    half_precision: bool
    prune: bool
    sparsity: float
    openvino: bool
    accelerator: str | None  # resource that the pool's servers compute on
    tensorrt: bool = False  # this ONNX Runtime has it
    trained: tuple[Mapping[str, Any], ...] = ()

    @property
    def vnni(self) -> bool:
        """Whether the processor multiplies 8-bit numbers without an overflow in 16 bits."""
        return bool(self.cpu_flags & _VNNI)

    @property
    def quantized(self) -> bool:
        """Whether the model came with integer arithmetic of its own."""
        return any(name in self.contract.operators for name in _ALREADY_INTEGER)

    def has(self, *operators: str) -> bool:
        """Whether the model uses one of the operators."""
        return any(name in self.contract.operators for name in operators)

    @property
    def large(self) -> bool:
        """Whether the model's weights do not fit into one ONNX file."""
        return self.contract.bytes > graph.INLINE_MAX

    def _unlike(self) -> str | None:
        """Why no tensor pass at all fits the model."""
        if self.contract.strings:
            return "the model takes text, on which tensor passes do not work"
        if self.quantized:
            return "the model came quantized already"
        if self.has(*_TREES) and not self.has(*_PRODUCTS):
            return "the model is made of decision trees, which are comparisons and no products"
        return None

    def refusal(self, switch: str, *operators: str, by_path: bool = False) -> str | None:
        """Why no tensor pass of that switch fits the model; None when one may.

        `switch` is a field of spec.optimization.techniques. With `operators`, the model must have
        one of them. A pass `by_path` never holds all weights in one message.
        """
        wanted = {
            "quantize": self.quantize,
            "halfPrecision": self.half_precision,
            "prune": self.prune,
        }
        if not wanted[switch]:
            return f"technique {switch} is switched off"
        if reason := self._unlike():
            return reason
        if operators and not self.has(*operators):
            return f"the model has none of {', '.join(operators)}"
        if self.large and not by_path:
            return (
                f"the model's weights of {self.contract.bytes / 1e9:.1f} GB are more than one ONNX "
                "file may hold, as which this technique rewrites it"
            )
        return None


class Spoilt(StrEnum):
    """What a recipe may have spoilt, and another one may repair."""

    ACCURACY = "accuracy"
    SPEED = "speed"


@dataclass(frozen=True, slots=True)
class Pass:
    """One step of a recipe: a technique's module and its parameters (JSON values)."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A candidate to build.

    `slow` is the known cause when it turns out to bring no speed. `after` names a candidate that
    must have passed before this one is worth building. `unless` names candidates of which none may
    have passed: this one is another attempt at the first of them, worth building where that one
    lost what this one `repairs`, speed also where a quick look leaves doubt that it is faster.
    `engine` runs the result, which is a file of the name `file`.
    `zeros` says that it differs from the original by these alone, which no runtime here leaves out.
    """

    id: str
    technique: str
    passes: tuple[Pass, ...]
    slow: str = ""
    after: str | None = None
    unless: tuple[str, ...] = ()
    repairs: frozenset[Spoilt] = frozenset()
    engine: Engine = ORIGINALS
    file: str = "model.onnx"
    zeros: bool = False

    @property
    def steps(self) -> int:
        """How much differs from the original: its passes, and another runtime as one more."""
        another = self.engine.backend != ORIGINALS.backend or bool(self.engine.accelerator)
        return len(self.passes) + another


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting of a technique: the values that a search may give it, by a short word for each.

    The word becomes part of the candidate's id.
    """

    name: str
    choices: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Space:
    """All settings of one technique that make sense for a model; `recipe` makes one of them."""

    id: str
    knobs: tuple[Knob, ...]
    recipe: Callable[[str, Mapping[str, Any]], Recipe]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ineligible:
    """A candidate that is not built, and why."""

    id: str
    technique: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a pass may use besides the model: samples in the model's own form; a user's trainer."""

    contract: Contract
    calibration: Dataset
    batch: int
    trainer: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What a pass did. `ineffective` says why its result is not worth evaluating."""

    notes: tuple[str, ...] = ()
    coverage: Mapping[str, float] = field(default_factory=dict)
    ineffective: str | None = None
    simulation: str | None = None  # file that computes as the target hardware would

    def to_json(self) -> dict[str, Any]:
        """JSON value."""
        return asdict(self)


class Technique(Protocol):
    """The interface of a technique's module."""

    def propose(self, facts: Facts) -> Sequence[Recipe | Ineligible]:
        """Candidates for this model; pure."""
        ...

    def space(self, facts: Facts) -> Space | None:
        """What a search may vary; None where no setting is worth it or the model refuses; pure."""
        ...

    def apply(
        self, source: Path, target: Path, params: Mapping[str, Any], material: Material
    ) -> Applied:
        """Write the changed model to `target`; runs in a child, may raise anything."""
        ...


def technique(name: str) -> Technique:
    """The module of that name."""
    if name not in MODULES:
        raise ValueError(f"'{name}' is not a technique; there are {', '.join(MODULES)}")
    return cast("Technique", importlib.import_module(f"{__name__}.{name}"))


def propose(facts: Facts) -> list[Recipe | Ineligible]:
    """All candidates of all techniques, in the order in which they are tried."""
    return [found for name in MODULES for found in technique(name).propose(facts)]
