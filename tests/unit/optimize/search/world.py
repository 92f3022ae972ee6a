"""A model with a space to search, and candidates whose fate is made up."""

from pathlib import Path

from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.engine import Engine, Executable
from tightship.optimize.techniques import Facts, Recipe

CONTRACT = Contract(
    inputs=(Tensor("x", "float32", (None, 8)),),
    outputs=(Tensor("y", "float32", (None, 4)),),
    max_batch=8,
    opset=17,
    nodes=4,
    parameters=192,
    bytes=1000,
    operators={"Conv": 20, "MatMul": 9, "Relu": 20},
    weighted=29,
    depthwise=9,
    product_bytes=10,
)
FACTS = Facts(
    contract=CONTRACT,
    calibration=True,
    cpu_flags=frozenset({"avx512_vnni"}),
    cache_bytes=1000,
    quantize=True,
    half_precision=True,
    prune=True,
    sparsity=0.5,
    openvino=False,
    accelerator=None,
)


def passed(candidate: Candidate, speedup: float, drop: float = 0.0, size: int = 10) -> None:
    """As if it had been built and judged, and were inside the gate."""
    candidate.model, candidate.bytes = Executable(Path("model.onnx"), Engine()), size
    candidate.verdicts = {"lookSpeedup": speedup, "gate": {"drop": drop, "passes": True}}


def failed(candidate: Candidate, status: Status, *, look: float = 1.5, upper: float = 0.5) -> None:
    """As if a stage had stopped it."""
    candidate.verdicts = {"lookSpeedup": look, "gate": {"upper": upper, "passes": False}}
    candidate.refuse(status, "it was stopped")


def candidate(name: str, recipe: Recipe | None = None) -> Candidate:
    return Candidate(name, "Quantize", recipe=recipe)
