"""Weight-only int8 and int4 of matrix products: weights in blocks, one scale for each block.

Between the products everything stays in fp32; within one, activations are rounded to 8 bits block
by block, as the runtime's fast kernels want it. What it saves is the reading of weights: it brings
speed where they do not fit the processor's cache, and a smaller file everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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

NAME = "weight_only"
ID = "weight-only-int"
BITS = (8, 4)
BLOCKS = {8: 128, 4: 32}  # weights that share one scale, by bits
OPSET = 21  # the first with 4-bit types
ASSUMED_CACHE = 32 * 2**20  # where the processor's own is not known
_ROUNDED = 4  # accuracy_level of MatMulNBits: 8-bit activations; in floats int8 is half as fast
_SLOW = "unpacking the weights at every call costs more than reading fewer bytes saves"


def refusal(facts: Facts) -> str | None:
    """Why this model's weights cannot be packed, or why it is no use; None when it may be."""
    if reason := facts.refusal("quantize", "MatMul", by_path=True):
        return reason
    size, cache = facts.contract.product_bytes, facts.cache_bytes or ASSUMED_CACHE
    if size <= cache:
        return (
            f"its weights fit the processor's cache: {size / 1e6:.1f} MB in matrix products, "
            f"{cache / 1e6:.0f} MB of cache, from which fewer bytes are not read faster"
        )
    return None


def propose(facts: Facts) -> Sequence[Recipe | Ineligible]:
    """8 bits and 4; the latter is worth trying only where the former passed."""
    if reason := refusal(facts):
        return [Ineligible(id=f"{ID}{BITS[0]}", technique=QUANTIZE, reason=reason)]
    eight, four = (recipe(f"{ID}{bits}", bits, BLOCKS[bits]) for bits in BITS)
    return [eight, replace(four, after=eight.id)]


def space(facts: Facts) -> Space | None:
    """Bits for each weight and weights for each scale."""
    if refusal(facts):
        return None
    knobs = (
        Knob("bits", {f"int{bits}": bits for bits in BITS}),
        Knob("block", {f"block{block}": block for block in (32, 64, 128)}),
    )
    return Space(
        "weight-only", knobs, lambda name, values: recipe(name, values["bits"], values["block"])
    )


def recipe(name: str, bits: int, block: int) -> Recipe:
    """The candidate with so many bits for each weight and weights for each scale."""
    step = Pass(NAME, {"bits": bits, "block": block})
    return Recipe(id=name, technique=QUANTIZE, passes=(step,), slow=_SLOW)


def apply(source: Path, target: Path, params: Mapping[str, Any], material: Material) -> Applied:
    """Write the model with packed weights."""
    from onnxruntime.quantization.matmul_nbits_quantizer import (  # noqa: PLC0415 (it configures logging)
        DefaultWeightOnlyQuantConfig,
        MatMulNBitsQuantizer,
    )

    del material
    model = graph.load(source)
    if not graph.large(source):  # the converter of versions reads one message
        model = graph.lifted(model, OPSET)
    settings = DefaultWeightOnlyQuantConfig(
        bits=params["bits"],
        block_size=params["block"],
        is_symmetric=True,
        accuracy_level=_ROUNDED,
        op_types_to_quantize=("MatMul",),
    )
    quantizer = MatMulNBitsQuantizer(model, algo_config=settings)
    quantizer.process()
    graph.save(quantizer.model.model, target)
    return quantized.measured(target)
