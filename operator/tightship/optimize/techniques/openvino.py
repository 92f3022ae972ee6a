"""OpenVINO as the runtime: as the model is, in bf16, and quantized by OpenVINO's own quantizer.

OpenVINO by itself runs f32 models in bf16 where the processor can, which took 4.6 points from
magika: here bf16 is a candidate of its own, and every other one has its precision pinned.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnx import defs

from tightship.optimize import runtime
from tightship.optimize.engine import OPENVINO, Engine
from tightship.optimize.techniques import (
    HALF_PRECISION,
    QUANTIZE,
    RUNTIME,
    Applied,
    Facts,
    Ineligible,
    Knob,
    Material,
    Pass,
    Recipe,
    Space,
    Spoilt,
    static_int8,
)

NAME = "openvino"
ID = "openvino"
DEFAULT, TRANSFORMER = "default", "transformer"  # of the quantizer
IR = "model.xml"
_BF16 = ("avx512_bf16", "amx_bf16")
_SUBSET = 64  # samples; each runs through an instrumented model
_CLASSICAL = frozenset(s.name for s in defs.get_all_schemas() if s.domain == "ai.onnx.ml")
_SLOW = "OpenVINO's kernels are no faster for this model's operators on this processor"


def propose(facts: Facts) -> Sequence[Recipe | Ineligible]:
    """As it is, in bf16, in int8 by either scheme, and in int8 with all else in bf16."""
    plain, half = Engine(backend=OPENVINO), Engine(backend=OPENVINO, precision="bf16")
    first, second = _schemes(facts)
    steps, int8 = (Pass(NAME, {"scheme": first}),), f"{ID}-int8"
    other = _recipe(f"{int8}-{second}", QUANTIZE, plain, (Pass(NAME, {"scheme": second}),))
    repaired = frozenset({Spoilt.ACCURACY, Spoilt.SPEED})
    return [
        _judged(_recipe(ID, RUNTIME, plain), _refusal(facts)),
        _judged(_recipe(f"{ID}-bf16", HALF_PRECISION, half), _no_bf16(facts)),
        _judged(_recipe(int8, QUANTIZE, plain, steps), _no_int8(facts)),
        _judged(
            replace(_recipe(f"{int8}-bf16", QUANTIZE, half, steps), after=int8),
            _no_int8(facts) or _no_bf16(facts),
        ),
        _judged(replace(other, unless=(int8,), repairs=repaired), _no_int8(facts)),
    ]


def space(facts: Facts) -> Space | None:
    """Weights as they are or int8 by either of the quantizer's schemes; floats in f32 or bf16."""
    if _refusal(facts):
        return None
    schemes = (
        {} if _no_int8(facts) else {f"int8{scheme}": scheme for scheme in (DEFAULT, TRANSFORMER)}
    )
    floats = {"f32": "f32", **({} if _no_bf16(facts) else {"bf16": "bf16"})}
    knobs = (Knob("weights", {"asis": None, **schemes}), Knob("floats", floats))
    return Space(ID, knobs, _of)


def _of(name: str, values: Mapping[str, Any]) -> Recipe:
    scheme, half = values["weights"], values["floats"] == "bf16"
    engine = Engine(backend=OPENVINO, precision="bf16") if half else Engine(backend=OPENVINO)
    if scheme is None:
        return _recipe(name, HALF_PRECISION if half else RUNTIME, engine)
    return _recipe(name, QUANTIZE, engine, (Pass(NAME, {"scheme": scheme}),))


def _recipe(name: str, kind: str, engine: Engine, steps: tuple[Pass, ...] = ()) -> Recipe:
    file = IR if steps else "model.onnx"
    return Recipe(id=name, technique=kind, passes=steps, engine=engine, file=file, slow=_SLOW)


def _judged(recipe: Recipe, reason: str | None) -> Recipe | Ineligible:
    return Ineligible(id=recipe.id, technique=recipe.technique, reason=reason) if reason else recipe


def _schemes(facts: Facts) -> tuple[str, str]:
    """The quantizer's schemes, the likelier one first."""
    delicate = facts.has("MatMul") and facts.has(*static_int8.FRAGILE)
    return (TRANSFORMER, DEFAULT) if delicate else (DEFAULT, TRANSFORMER)


def _refusal(facts: Facts) -> str | None:
    """Why this model is not run by OpenVINO; None when it can be."""
    if not facts.openvino:
        return "technique openvino is switched off"
    if facts.accelerator:
        return f"the pool's servers compute on {facts.accelerator}, OpenVINO on processors"
    if facts.contract.strings:
        return "the model takes text, which OpenVINO does not compute"
    if facts.has(*_CLASSICAL):
        return "the model has operators of ai.onnx.ml, which OpenVINO does not compute"
    return None


def _no_bf16(facts: Facts) -> str | None:
    if reason := _refusal(facts):
        return reason
    if not facts.half_precision:
        return "technique halfPrecision is switched off"
    if not facts.cpu_flags & set(_BF16):
        return f"the processor does not compute in bf16 ({', '.join(_BF16)})"
    return None


def _no_int8(facts: Facts) -> str | None:
    return _refusal(facts) or static_int8.refusal(facts)


def apply(source: Path, target: Path, params: Mapping[str, Any], material: Material) -> Applied:
    """Write the quantized model in OpenVINO's own format, floats in f32."""
    samples, contract = material.calibration, material.contract
    rows = runtime.batches(min(len(samples), _SUBSET), contract, 1)
    feeds = [runtime.feed(contract, samples.arrays, row) for row in rows]
    quantizer = importlib.import_module("tightship.optimize.openvino_int8")
    quantizers = quantizer.quantize(source, target, params["scheme"], feeds)
    return Applied(
        coverage={"quantizers": float(quantizers)},
        ineffective=None if quantizers else "the quantizer changed nothing",
    )
