"""Dynamic int8 of matrix products: 8-bit weights, activations quantized as they come.

Needs no calibration.

Only MatMul: convolutions on this path run in ConvInteger, 4 to 12 times slower than fp32.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnx import ModelProto
from onnxruntime.quantization import QuantType, quantize_dynamic

from tightship.optimize import graph
from tightship.optimize.techniques import (
    QUANTIZE,
    Applied,
    Facts,
    Ineligible,
    Knob,
    Material,
    Pass,
    Recipe,
    Space,
    quantized,
)
from tightship.optimize.techniques.scan import scan

NAME = "dynamic_int8"
ID = "dynamic-int8"
_MIXED_MIN = 8  # products; below it a tenth is not one
_KEPT_SHARE = 0.1
_SLOW = "quantizing the activations at every call costs more than the 8-bit products save"


def refusal(facts: Facts) -> str | None:
    """Why this model cannot be quantized this way; None when it can."""
    if not facts.has("MatMul"):
        general = facts.refusal("quantize", by_path=True)
        return general or "the model has no MatMul, and other operators are slower this way"
    return facts.refusal("quantize", by_path=True)


def _mixed(facts: Facts) -> bool:
    """Whether a share of the products may stay in fp32, which a scan of all values decides."""
    return facts.contract.operators["MatMul"] >= _MIXED_MIN and not facts.large


def propose(facts: Facts) -> Sequence[Recipe | Ineligible]:
    """All matrix products, and for larger models all but those whose inputs have wide outliers."""
    reason = refusal(facts)
    if reason:
        return [Ineligible(id=ID, technique=QUANTIZE, reason=reason)]
    kept = {ID: 0.0}
    if _mixed(facts):
        kept[f"{ID}-mixed"] = _KEPT_SHARE
    return [recipe(name, facts, share) for name, share in kept.items()]


def space(facts: Facts) -> Space | None:
    """How many products stay in fp32; scales for each channel or one for all."""
    if refusal(facts):
        return None
    shares = (0.0, 0.05, _KEPT_SHARE, 0.2, 0.4) if _mixed(facts) else (0.0,)
    knobs = (
        Knob("kept", {f"kept{share:.0%}".rstrip("%"): share for share in shares}),
        Knob("scales", {"channel": True, "tensor": False}),
    )
    return Space(
        ID,
        knobs,
        lambda name, values: recipe(name, facts, values["kept"], per_channel=values["scales"]),
    )


def recipe(name: str, facts: Facts, kept_share: float = 0.0, *, per_channel: bool = True) -> Recipe:
    """The candidate that keeps that share of the products in fp32."""
    passes = (step(facts, kept_share, per_channel=per_channel),)
    return Recipe(id=name, technique=QUANTIZE, passes=passes, slow=_SLOW)


def step(facts: Facts, kept_share: float = 0.0, *, per_channel: bool = True) -> Pass:
    """The pass for this processor: without VNNI, 7-bit weights keep 16-bit sums in range."""
    params = {
        "kept_share": kept_share,
        "per_channel": per_channel,
        "reduce_range": not facts.vnni,
    }
    return Pass(NAME, params)


def apply(source: Path, target: Path, params: Mapping[str, Any], material: Material) -> Applied:
    """Write the quantized model."""
    share = float(params["kept_share"])
    kept = outliers(graph.load(source), share, material) if share else []
    opset = graph.opset(graph.outline(source))
    quantize_dynamic(
        quantized.cleared(source, target),
        str(target),
        op_types_to_quantize=["MatMul"],
        nodes_to_exclude=kept,
        weight_type=QuantType.QInt8,
        per_channel=params["per_channel"] and opset >= quantized.PER_CHANNEL_OPSET,
        reduce_range=bool(params["reduce_range"]),
        use_external_data_format=graph.large(source),
    )
    notes = (f"kept in fp32 for their inputs' outliers: {', '.join(kept)}",) if kept else ()
    return quantized.measured(target, notes)


def outliers(model: ModelProto, share: float, material: Material) -> list[str]:
    """Names of that share of the products with weights whose inputs spread widest.

    One scale for a whole tensor gives most of its values few steps when a few are far larger;
    in MiniLM a tenth of the products carries two thirds of the loss.
    """
    weights = graph.float_weights(model)
    products = [n for n in model.graph.node if n.op_type == "MatMul" and n.input[1] in weights]
    count = math.ceil(share * len(products))
    if not count:
        return []
    seen = scan(model, (node.input[0] for node in products), material)
    widest = sorted(products, key=lambda node: (-seen[node.input[0]].outliers, node.name))
    return [node.name for node in widest[:count]]
