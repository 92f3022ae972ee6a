"""TensorRT inside ONNX Runtime: whether it is here, and its settings for sessions and for Triton.

The words are those of ONNX Runtime's TensorRT execution provider, and of Triton's onnxruntime
backend, which hands them on (`execution_accelerators` in its README).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from tightship.optimize.contract import Contract

NAME = "tensorrt"
FP16, INT8 = "f16", "i8"  # precisions of an engine
NVIDIA = "nvidia.com/"  # extended resources of its devices
_PROVIDER = "TensorrtExecutionProvider"
_FALLBACKS = ("CUDAExecutionProvider", "CPUExecutionProvider")
_MODES = {FP16: "FP16", INT8: "INT8"}
_SWITCHES = {FP16: "trt_fp16_enable", INT8: "trt_int8_enable"}
_BATCH = "*"  # in shapes: the batch axis


def present() -> bool:
    """Whether this ONNX Runtime was built with TensorRT."""
    return _PROVIDER in ort.get_available_providers()


def shapes(contract: Contract) -> str | None:
    """The inputs' shapes as NAME:AxB,..., "*" for the batch; None where another axis may vary.

    An engine is built for a range of shapes that must be known before; another one would be built
    anew in the midst of serving.
    """
    found = []
    for tensor in contract.inputs:
        sample = contract.sample_dims(tensor)
        if None in sample or not tensor.dims:
            return None
        dims = [*([_BATCH] if contract.batched else []), *map(str, sample)]
        found.append(f"{tensor.name}:{'x'.join(dims)}")
    return ",".join(found)


def profile(text: str, batch: int) -> dict[str, str]:
    """The range of shapes that one engine is built for: batches of 1 to `batch`."""
    most = max(1, batch)
    ends = (("min", 1), ("opt", most), ("max", most))
    return {f"trt_profile_{end}_shapes": text.replace(_BATCH, str(size)) for end, size in ends}


def providers(precision: str, ranges: Mapping[str, str], cache: Path) -> list[Any]:
    """What a session is opened with; built engines are kept in `cache` for the next process."""
    options = {
        _SWITCHES[precision]: "True",
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        **ranges,
    }
    return [(_PROVIDER, options), *_FALLBACKS]


def check(session: ort.InferenceSession) -> None:
    """ONNX Runtime goes on without a provider that fails to start; here that is an error.

    Raises:
        RuntimeError: the session does not use TensorRT.
    """
    used = session.get_providers()
    if _PROVIDER not in used:
        raise RuntimeError(f"TensorRT did not start: the session has {', '.join(used)}")


def parameters(precision: str, ranges: Mapping[str, str]) -> dict[str, str]:
    """Parameters of the accelerator in Triton's configuration of a model."""
    return {"precision_mode": _MODES[precision], **ranges}
