"""Static int8: QDQ, unsigned activations, signed weights per channel, calibrated ranges.

Only Conv, MatMul and Gemm, with the Relu and Clip between them: the runtime's own default list also
quantizes norms, softmax and sums, which took 4 of 8 real models apart. Variants repair what the
plain candidate loses on some models; `search.space` has all combinations of their settings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnx import ModelProto
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

from tightship.optimize import data, graph
from tightship.optimize.data import Dataset
from tightship.optimize.graph import WEIGHTED
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
    Spoilt,
    quantized,
)

NAME = "static_int8"
ID = "static-int8"
NO_DEPTHWISE = f"{ID}-no-depthwise"
PERCENTILE = f"{ID}-percentile"
NO_ENDS = f"{ID}-no-ends"
WIDE = f"{ID}-wide"

# Values of the pass's parameters.
MIN_MAX, OF_PERCENTILE = "MinMax", "Percentile"  # calibration
MATRIX, ALL = "matrix", "all"  # operators
DEPTHWISE, FIRST, LAST = "depthwise", "first", "last"  # excluded

OPERATORS: Mapping[str, Sequence[str]] = {
    MATRIX: (*WEIGHTED, "Relu", "Clip"),
    ALL: (),  # ONNX Runtime's own default: whatever it can
}
FRAGILE = (
    "Exp",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "LogSoftmax",
    "LpNormalization",
    "RMSNormalization",
    "ReduceL2",
    "Softmax",
    "Sqrt",
)
"""Norms and softmax, whole or in pieces: their 8-bit arithmetic destroys models."""

ENDS_MIN = 4  # weighted layers; with fewer, little is left between the first and the last
_HISTOGRAM_SAMPLES = 64  # every activation of all of them is in memory at once
_PERCENTILE = 99.99
_SLOW = "what stands between the 8-bit operators, or small products, costs more than they save"


def refusal(facts: Facts) -> str | None:
    """Why this model cannot be quantized this way; None when it can."""
    reason = facts.refusal("quantize", *WEIGHTED)
    if reason is None and not facts.calibration:
        return "it needs calibration data, and the resource names none (data.calibration)"
    return reason


def propose(facts: Facts) -> Sequence[Recipe | Ineligible]:
    """The plain candidate, what may repair it, and the runtime's own choice of operators."""
    reason = refusal(facts)
    if reason:
        return [Ineligible(id=ID, technique=QUANTIZE, reason=reason)]
    return [recipe(ID, facts), *_repairs(facts), _wide(facts)]


def _repairs(facts: Facts) -> list[Recipe | Ineligible]:
    """Another attempt each, while none before it passed."""
    accuracy = frozenset({Spoilt.ACCURACY})
    attempts = (
        (NO_DEPTHWISE, {"excluded": [DEPTHWISE]}, accuracy | {Spoilt.SPEED}),
        (PERCENTILE, {"calibration": OF_PERCENTILE}, accuracy),
        (NO_ENDS, {"excluded": [FIRST, LAST]}, accuracy),
    )
    found: list[Recipe | Ineligible] = []
    before = [ID]
    for name, changes, repairs in attempts:
        if reason := unfit(changes, facts):
            found.append(Ineligible(id=name, technique=QUANTIZE, reason=reason))
            continue
        made = recipe(name, facts, **changes)
        found.append(replace(made, unless=tuple(before), repairs=repairs))
        before.append(name)
    return found


def _wide(facts: Facts) -> Recipe | Ineligible:
    """It quantizes more than the plain candidate, so it is only worth trying where that passed."""
    changes = {"operators": ALL}
    if reason := unfit(changes, facts):
        return Ineligible(id=WIDE, technique=QUANTIZE, reason=reason)
    return replace(recipe(WIDE, facts, **changes), after=ID)


def space(facts: Facts) -> Space | None:
    """Calibration, operators, what stays in fp32, scales for each channel or one for all."""
    if refusal(facts):
        return None

    def yes(group: str) -> dict[str, list[str]]:
        fits = unfit({"excluded": [group]}, facts) is None
        return {f"{group}8": [], **({f"{group}32": [group]} if fits else {})}

    wide = unfit({"operators": ALL}, facts) is None
    knobs = (
        Knob("calibration", {"minmax": MIN_MAX, "percentile": OF_PERCENTILE}),
        Knob("operators", {"matrix": MATRIX, **({"all": ALL} if wide else {})}),
        *(Knob(group, yes(group)) for group in (DEPTHWISE, FIRST, LAST)),
        Knob("scales", {"channel": True, "tensor": False}),
    )
    return Space(ID, knobs, lambda name, values: _of(name, facts, values))


def _of(name: str, facts: Facts, values: Mapping[str, Any]) -> Recipe:
    kept = [group for knob in (DEPTHWISE, FIRST, LAST) for group in values[knob]]
    return recipe(
        name,
        facts,
        calibration=values["calibration"],
        operators=values["operators"],
        excluded=kept,
        per_channel=values["scales"],
    )


def unfit(params: Mapping[str, Any], facts: Facts) -> str | None:
    """Why such parameters make no sense for this model; None when they do."""
    excluded = params.get("excluded", ())
    if DEPTHWISE in excluded and not facts.contract.depthwise:
        return "the model has no depthwise convolutions to keep in fp32"
    if {FIRST, LAST} & set(excluded) and facts.contract.weighted < ENDS_MIN:
        return f"the model has fewer than {ENDS_MIN} layers with weights"
    fragile = [name for name in FRAGILE if facts.has(name)]
    if params.get("operators") == ALL and fragile:
        return f"8-bit {', '.join(fragile)} would destroy the model's answers"
    return None


def recipe(name: str, facts: Facts, **changes: Any) -> Recipe:  # noqa: ANN401 (JSON values)
    """The candidate that differs from the plain one by these parameters of the pass."""
    return Recipe(id=name, technique=QUANTIZE, passes=(step(facts, **changes),), slow=_SLOW)


def step(facts: Facts, **changes: Any) -> Pass:  # noqa: ANN401 (JSON values)
    """The pass for this processor."""
    params = {
        "calibration": MIN_MAX,
        "operators": MATRIX,
        "excluded": [],
        "per_channel": True,
        "reduce_range": not facts.vnni,
    }
    return Pass(NAME, {**params, **changes})


def apply(source: Path, target: Path, params: Mapping[str, Any], material: Material) -> Applied:
    """Write the quantized model."""
    prepared, notes = quantized.preprocessed(source, target)
    model = graph.load(prepared)
    kept = excluded(model, params["excluded"])
    histogram = params["calibration"] == OF_PERCENTILE
    signed = params.get("signed", False)  # TensorRT takes no other zero point than 0
    quantize_static(
        str(prepared),
        str(target),
        quantized.reader(_some(material) if histogram else material),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(OPERATORS[params["operators"]]),
        nodes_to_exclude=kept,
        per_channel=params["per_channel"] and graph.opset(model) >= quantized.PER_CHANNEL_OPSET,
        reduce_range=bool(params["reduce_range"]),
        activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.Percentile if histogram else CalibrationMethod.MinMax,
        extra_options={
            # Its adjustment of weight scales fails on weights per channel ("truth value of ...").
            "QDQDisableWeightAdjustForInt32Bias": True,
            **({"ActivationSymmetric": True, "WeightSymmetric": True} if signed else {}),
            **({"CalibPercentile": _PERCENTILE} if histogram else {}),
        },
    )
    if kept:
        notes = (*notes, f"kept in fp32: {', '.join(kept)}")
    return quantized.measured(target, notes)


def excluded(model: ModelProto, groups: Sequence[str]) -> list[str]:
    """Names of the nodes of these groups, in the graph's order."""
    nodes = graph.weighted_nodes(model)
    wanted = {node.name for node, _ in nodes[:1] if FIRST in groups}
    wanted |= {node.name for node, _ in nodes[-1:] if LAST in groups}
    if DEPTHWISE in groups:
        wanted |= {node.name for node, dims in nodes if graph.is_depthwise(node, dims)}
    return [node.name for node, _ in nodes if node.name in wanted]


def _some(material: Material) -> Material:
    rows = data.chosen_rows(None, len(material.calibration), _HISTOGRAM_SAMPLES, None)
    return replace(material, calibration=Dataset(data.subset(material.calibration, rows).arrays))
