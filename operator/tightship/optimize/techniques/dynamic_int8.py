"""Dynamic int8 of matrix products: weights in 8 bits, activations quantized as they come; needs no calibration.

Only MatMul: convolutions on this path run in ConvInteger, 4 to 12 times slower than fp32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxruntime.quantization import QuantType, quantize_dynamic

from tightship.optimize.techniques import (
    QUANTIZE,
    Applied,
    Facts,
    Ineligible,
    Material,
    Pass,
    Recipe,
    quantized,
)

NAME = "dynamic_int8"
ID = "dynamic-int8"
_SLOW = "quantizing the activations at every call costs more than the 8-bit products save"


def refusal(facts: Facts) -> str | None:
    """Why this model cannot be quantized this way; None when it can."""
    if not facts.quantize:
        return "technique quantize is switched off"
    if facts.contract.strings:
        return "the model takes text, on which tensor passes do not work"
    if facts.quantized:
        return "the model came quantized already"
    if not facts.has("MatMul"):
        return "the model has no MatMul, and other operators are slower this way"
    return None


def propose(facts: Facts) -> Sequence[Recipe | Ineligible]:
    """One scale for each tensor, and one for each column of the weights."""
    ids = {ID: False, f"{ID}-per-channel": True}
    reason = refusal(facts)
    if reason:
        return [Ineligible(id=ID, technique=QUANTIZE, reason=reason)]
    return [
        Recipe(id=name, technique=QUANTIZE, passes=(step(facts, per_channel=wide),), slow=_SLOW)
        for name, wide in ids.items()
    ]


def step(facts: Facts, *, per_channel: bool = False) -> Pass:
    """The pass for this processor: without VNNI, 7-bit weights keep 16-bit sums from overflowing."""
    return Pass(NAME, {"per_channel": per_channel, "reduce_range": not facts.vnni})


def apply(source: Path, target: Path, params: Mapping[str, Any], material: Material) -> Applied:
    """Write the quantized model."""
    del material
    quantize_dynamic(
        quantized.cleared(source, target),
        str(target),
        op_types_to_quantize=["MatMul"],
        weight_type=QuantType.QInt8,
        per_channel=bool(params["per_channel"]),
        reduce_range=bool(params["reduce_range"]),
    )
    return quantized.measured(target)
