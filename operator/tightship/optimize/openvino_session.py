"""OpenVINO with fixed options: a session like ONNX Runtime's, in a precision that is read back.

The options are those of the server's `openvino` backend, so that what is judged is what is served.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import openvino as ov

# Layers that move or convert tensors: their precision is not one that results are computed in.
_CARRIERS = frozenset({"Input", "Output", "Const", "Reorder", "Convert"})


class OpenVinoSession:
    """A compiled model with one inference request."""

    def __init__(self, file: Path, precision: str, threads: int) -> None:
        """Compile for the processor.

        Raises:
            RuntimeError: OpenVINO does not take the model.
            ValueError: this processor does not compute in that precision.
        """
        core = ov.Core()
        core.set_property({"ENABLE_MMAP": False})
        self._compiled = core.compile_model(
            core.read_model(file),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": precision,
                "INFERENCE_NUM_THREADS": threads,
                "PERFORMANCE_HINT": "LATENCY",
                "ENABLE_CPU_PINNING": False,
            },
        )
        taken = self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if taken != precision:
            raise ValueError(f"precision {precision} was asked for, OpenVINO runs {taken} here")
        self._request = self._compiled.create_infer_request()
        self._inputs = _places(self._compiled.inputs)
        self._outputs = _places(self._compiled.outputs)

    def run(self, names: Sequence[str] | None, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs of those names, or all, in arrays that the next call leaves alone.

        Not by `infer`: with one thread it swallows an error and gives the answer before.
        """
        tensors = {self._inputs[name]: array for name, array in feed.items()}
        self._request.start_async(tensors, share_inputs=True)
        self._request.wait()
        places = range(len(self._compiled.outputs))
        wanted = places if names is None else [self._outputs[name] for name in names]
        return [np.array(self._request.get_output_tensor(place).data) for place in wanted]

    def computed(self) -> dict[str, int]:
        """How many layers compute in which precision."""
        found: Counter[str] = Counter()
        for layer in self._compiled.get_runtime_model().get_ops():
            facts = layer.get_rt_info()
            if facts["layerType"].value not in _CARRIERS:
                found[facts["runtimePrecision"].value] += 1
        return dict(sorted(found.items()))


def _places(ports: Sequence[ov.ConstOutput]) -> dict[str, int]:
    names = [port.names or {port.node.friendly_name} for port in ports]
    return {name: place for place, known in enumerate(names) for name in known}
