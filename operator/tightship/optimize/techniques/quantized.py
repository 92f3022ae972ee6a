"""What both int8 techniques need of ONNX Runtime's quantizer, whose traps are handled here."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto
from onnxruntime.quantization import CalibrationDataReader
from onnxruntime.quantization.shape_inference import quant_pre_process

from tightship.optimize import graph, runtime
from tightship.optimize.techniques import Applied, Material

PER_CHANNEL_OPSET = 13  # below it the quantizer writes an axis that does not load
_INTEGERS = (TensorProto.INT8, TensorProto.UINT8)


class _Reader(CalibrationDataReader):  # type: ignore[misc] # ONNX Runtime has no type information
    def __init__(self, material: Material) -> None:
        rows = runtime.batches(len(material.calibration), material.contract, material.batch)
        arrays = material.calibration.arrays
        self._feeds = (runtime.feed(material.contract, arrays, row) for row in rows)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch of calibration samples; None at the end."""
        return next(self._feeds, None)


def reader(material: Material) -> CalibrationDataReader:
    """Calibration samples as the quantizer takes them."""
    return _Reader(material)


def cleared(source: Path, target: Path) -> str:
    """A copy without stored inner shapes, which the quantizer takes for contradictions."""
    model = graph.outline(source)
    del model.graph.value_info[:]
    beside = source if graph.data_files(source) else target  # where the data are found
    copy = beside.with_name("cleared.onnx")
    graph.save(model, copy)
    return str(copy)


def preprocessed(source: Path, target: Path) -> tuple[Path, tuple[str, ...]]:
    """The model with inferred shapes and folded norms, or as it was where that fails."""
    prepared = target.with_name("preprocessed.onnx")
    try:
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        onnx.checker.check_model(str(prepared))
    except Exception as error:  # noqa: BLE001 (the library raises whatever it meets)
        return source, (f"shape pre-processing failed and was left out: {runtime.brief(error)}",)
    return prepared, ()


def measured(target: Path, notes: tuple[str, ...] = ()) -> Applied:
    """How much of the model computes in integers; a pass that changed nothing is ineffective."""
    model = graph.outline(target)
    nodes = graph.integer_nodes(model)
    sizes = {True: 0, False: 0}
    for tensor in model.graph.initializer:
        if tensor.data_type in (*_INTEGERS, TensorProto.FLOAT):
            sizes[tensor.data_type in _INTEGERS] += int(np.prod(tensor.dims, dtype=np.int64))
    share = sizes[True] / max(1, sum(sizes.values()))
    return Applied(
        notes=notes,
        coverage={"integerNodes": float(nodes), "integerWeightShare": share},
        ineffective=None
        if nodes
        else "the quantizer changed nothing: no node computes in integers",
    )
