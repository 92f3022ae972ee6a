"""Static int8: QDQ, unsigned activations, signed weights per channel, calibrated ranges.

Only Conv, MatMul and Gemm, with the Relu and Clip between them: the runtime's own default list also
quantizes norms, softmax and sums, which took 4 of 8 real models apart.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

from tightship.optimize import graph
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

NAME = "static_int8"
ID = "static-int8"
WEIGHTED = ("Conv", "MatMul", "Gemm")
OPERATORS = (*WEIGHTED, "Relu", "Clip")
_SLOW = "what stands between the 8-bit operators, or small products, costs more than they save"


def refusal(facts: Facts) -> str | None:
    """Why this model cannot be quantized this way; None when it can."""
    if not facts.quantize:
        return "technique quantize is switched off"
    if facts.contract.strings:
        return "the model takes text, on which tensor passes do not work"
    if facts.quantized:
        return "the model came quantized already"
    if not facts.has(*WEIGHTED):
        return f"the model has none of {', '.join(WEIGHTED)}"
    if not facts.calibration:
        return "it needs calibration data, and the resource names none (data.calibration)"
    return None


def propose(facts: Facts) -> Sequence[Recipe | Ineligible]:
    """One candidate where calibration data are given."""
    reason = refusal(facts)
    if reason:
        return [Ineligible(id=ID, technique=QUANTIZE, reason=reason)]
    return [Recipe(id=ID, technique=QUANTIZE, passes=(step(facts),), slow=_SLOW)]


def step(facts: Facts) -> Pass:
    """The pass for this processor."""
    return Pass(NAME, {"reduce_range": not facts.vnni})


def apply(source: Path, target: Path, params: Mapping[str, Any], material: Material) -> Applied:
    """Write the quantized model."""
    prepared, notes = quantized.preprocessed(source, target)
    per_channel = graph.opset(graph.load(prepared)) >= quantized.PER_CHANNEL_OPSET
    quantize_static(
        str(prepared),
        str(target),
        quantized.reader(material),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(OPERATORS),
        per_channel=per_channel,
        reduce_range=bool(params["reduce_range"]),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        # Its adjustment of weight scales fails on per-channel weights ("truth value of an array").
        extra_options={"QDQDisableWeightAdjustForInt32Bias": True},
    )
    return quantized.measured(target, notes)
