"""TensorRT on NVIDIA GPUs, inside ONNX Runtime: in fp16, and in int8 by symmetric Q/DQ nodes.

The artifact stays an ONNX model. Each server builds the engine for its own device and version when
it loads the model, so no artifact is bound to a device: docs/techniques/tensorrt.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tightship.optimize import tensorrt
from tightship.optimize.engine import Engine
from tightship.optimize.techniques import (
    HALF_PRECISION,
    QUANTIZE,
    RUNTIME,
    Applied,
    Facts,
    Ineligible,
    Material,
    Recipe,
    static_int8,
)

ID = "tensorrt"
_HALF, _INT8 = f"{ID}-fp16", f"{ID}-int8"
_SLOW = "its inputs and outputs, or what TensorRT leaves to other providers, take most of the time"


def propose(facts: Facts) -> Sequence[Recipe | Ineligible]:
    """Both precisions; where there is no TensorRT, one line that says so."""
    if reason := _absent(facts) or _unfit(facts):
        return [Ineligible(id=ID, technique=RUNTIME, reason=reason)]
    engine = Engine(
        accelerator=tensorrt.NAME,
        precision=tensorrt.FP16,
        shapes=tensorrt.shapes(facts.contract) or "",
        batch=facts.contract.max_batch,
    )
    half = Recipe(id=_HALF, technique=HALF_PRECISION, passes=(), engine=engine, slow=_SLOW)
    step = static_int8.step(facts, signed=True, reduce_range=False)
    small = replace(
        half,
        id=_INT8,
        technique=QUANTIZE,
        passes=(step,),
        engine=replace(engine, precision=tensorrt.INT8),
    )
    return [
        _judged(half, facts.refusal("halfPrecision")),
        _judged(small, static_int8.refusal(facts)),
    ]


def space(facts: Facts) -> None:
    """Nothing beyond the two."""
    del facts


def _judged(recipe: Recipe, reason: str | None) -> Recipe | Ineligible:
    return Ineligible(id=recipe.id, technique=recipe.technique, reason=reason) if reason else recipe


def _absent(facts: Facts) -> str | None:
    if facts.accelerator is None:
        return "not available here: the servers compute on processors, TensorRT on NVIDIA GPUs"
    if not facts.accelerator.startswith(tensorrt.NVIDIA):
        return f"not available here: TensorRT computes on NVIDIA GPUs, not on {facts.accelerator}"
    if not facts.tensorrt:
        return (
            "not available here: the converter's ONNX Runtime has no TensorRT, with which a "
            "candidate is judged (onnxruntime-gpu beside TensorRT's libraries)"
        )
    return None


def _unfit(facts: Facts) -> str | None:
    if facts.contract.strings:
        return "the model takes text, which TensorRT does not compute"
    if tensorrt.shapes(facts.contract) is None:
        return "TensorRT builds its engine for known shapes, and an axis beside the batch varies"
    return None


def apply(source: Path, target: Path, params: Mapping[str, Any], material: Material) -> Applied:
    """Nothing of its own: int8 is the pass of `static_int8`, and fp16 TensorRT's own doing.

    Raises:
        ValueError: always; no recipe has a pass of this name.
    """
    raise ValueError(f"{ID} has no pass: {source} {target} {params} {material.batch}")
