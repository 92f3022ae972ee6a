"""Builds a variant as users do who pick a tool: its default call, nothing more.

    python -m benchmarks.optimize.pick PICKING MODEL.onnx CALIBRATION.npz FOLDER

runs in the benchmark's own environment and prints the result as JSON on its last line.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from benchmarks.optimize.executable import OPENVINO, Executable

Feed = dict[str, np.ndarray]


def _feeds(calibration: Path) -> Iterator[Feed]:
    """One sample at a time."""
    with np.load(calibration) as file:
        arrays = dict(file)
    for row in range(len(next(iter(arrays.values())))):
        yield {name: array[row : row + 1] for name, array in arrays.items()}


def dynamic(model: Path, calibration: Path, folder: Path) -> Executable:
    """`quantize_dynamic` of ONNX Runtime."""
    del calibration
    from onnxruntime.quantization import quantize_dynamic  # noqa: PLC0415 (each tool alone)

    target = folder / "model.onnx"
    quantize_dynamic(model, target)
    return Executable(file=target)


def static(model: Path, calibration: Path, folder: Path) -> Executable:
    """`quantize_static` of ONNX Runtime."""
    from onnxruntime import quantization  # noqa: PLC0415 (likewise)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc] # untyped
        def __init__(self) -> None:
            self._feeds = _feeds(calibration)

        def get_next(self) -> Feed | None:
            return next(self._feeds, None)

    target = folder / "model.onnx"
    quantization.quantize_static(model, target, Reader())
    return Executable(file=target)


def openvino(model: Path, calibration: Path, folder: Path) -> Executable:
    """The file as it is, in OpenVINO: which chooses the precision by itself."""
    del calibration, folder
    return Executable(file=model, backend=OPENVINO)


def nncf(model: Path, calibration: Path, folder: Path) -> Executable:
    """`nncf.quantize` for OpenVINO, which then chooses the rest of the precision by itself."""
    import nncf as tool  # noqa: PLC0415 (likewise)
    import openvino as ov  # noqa: PLC0415 (likewise)

    quantized = tool.quantize(ov.Core().read_model(model), tool.Dataset(list(_feeds(calibration))))
    target = folder / "model.xml"
    ov.save_model(quantized, target, compress_to_fp16=False)
    return Executable(file=target, backend=OPENVINO)


def fp16(model: Path, calibration: Path, folder: Path) -> Executable:
    """`convert_float_to_float16` of onnxconverter-common; clients go on sending fp32."""
    del calibration
    import onnx  # noqa: PLC0415 (likewise)
    from onnxconverter_common import float16  # noqa: PLC0415 (likewise)

    target = folder / "model.onnx"
    converted = float16.convert_float_to_float16(onnx.load(model), keep_io_types=True)
    onnx.save(converted, target)
    return Executable(file=target)


PICKINGS: dict[str, Callable[[Path, Path, Path], Executable]] = {
    "ORT dynamic": dynamic,
    "ORT static": static,
    "OpenVINO": openvino,
    "NNCF": nncf,
    "onnxconverter fp16": fp16,
}


def main(arguments: list[str]) -> int:
    """Builds one."""
    picking, model, calibration, folder = arguments
    made = PICKINGS[picking](Path(model), Path(calibration), Path(folder))
    sys.stdout.write(f"\n{json.dumps(made.to_json())}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
