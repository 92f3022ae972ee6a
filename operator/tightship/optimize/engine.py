"""What runs a model's files: the runtime by Triton's name for it, and the precision it computes in.

A conversion works with sessions, and does not care which runtime is behind them.
"""

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tightship.optimize import graph, runtime, tensorrt
from tightship.optimize.runtime import Session

ONNXRUNTIME = "onnxruntime"
OPENVINO = "openvino"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A runtime and how it computes. `backend` is Triton's word for the runtime.

    `precision` is what OpenVINO or TensorRT computes in where the file has f32; ONNX Runtime by
    itself follows the file. `accelerator` is Triton's word for what ONNX Runtime computes with,
    for inputs of `shapes` in batches of up to `batch`: see `optimize.tensorrt`.
    """

    backend: str = ONNXRUNTIME
    precision: str = "f32"
    accelerator: str = ""
    shapes: str = ""
    batch: int = 0

    def told(self) -> dict[str, str]:
        """For the report."""
        found = {"backend": self.backend, "precision": self.precision}
        return {**found, "accelerator": self.accelerator} if self.accelerator else found

    @property
    def ranges(self) -> dict[str, str]:
        """The shapes that an accelerator's engine is built for."""
        return tensorrt.profile(self.shapes, self.batch)


ORIGINALS = Engine()
"""What the original runs in, and every candidate that does not say otherwise."""


@dataclass(frozen=True, slots=True)
class Executable:
    """A model's main file and what runs it."""

    file: Path
    engine: Engine = ORIGINALS

    @property
    def files(self) -> tuple[Path, ...]:
        """All files: OpenVINO's own format keeps the weights in a second one, as large ONNX do."""
        if self.file.suffix == ".xml":
            return self.file, self.file.with_suffix(".bin")
        return self.file, *graph.data_files(self.file)

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.stat().st_size for file in self.files)

    def to_json(self) -> dict[str, Any]:
        """JSON value, for a child."""
        return {"file": str(self.file), "engine": asdict(self.engine)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Executable":
        """Reads what `to_json` wrote."""
        return cls(Path(raw["file"]), Engine(**raw["engine"]))


def load(model: Executable, threads: int, *, spin: bool = True) -> Session:
    """A session as the server will run it; `spin` as in `runtime.session`.

    Raises:
        Exception: the runtime's own, when it does not take the model or not in this precision.
    """
    if model.engine.accelerator:
        return _accelerated(model, threads, spin=spin)
    if model.engine.backend == ONNXRUNTIME:
        session: Session = runtime.session(model.file, threads, spin=spin)
        return session
    opened: Session = _openvino().OpenVinoSession(model.file, model.engine.precision, threads)
    return opened


def _accelerated(model: Executable, threads: int, *, spin: bool) -> Session:
    cache = model.file.parent / model.engine.accelerator
    cache.mkdir(exist_ok=True)
    providers = tensorrt.providers(model.engine.precision, model.engine.ranges, cache)
    opened = runtime.session(model.file, threads, spin=spin, providers=providers)
    tensorrt.check(opened)
    session: Session = opened
    return session


def prepare(engine: Engine) -> None:
    """Import the runtime ahead of a model, so that what loading it takes is the model's alone."""
    if engine.backend == OPENVINO:
        _openvino()


def computed(model: Executable) -> dict[str, int] | None:
    """How many layers a model really computes in which precision; None where it follows the file.

    Raises:
        Exception: the runtime's own, when it does not take the model or not in this precision.
    """
    if model.engine.backend == ONNXRUNTIME:
        return None
    session = _openvino().OpenVinoSession(model.file, model.engine.precision, 1)
    found: dict[str, int] = session.computed()
    return found


def _openvino() -> Any:  # noqa: ANN401 (a module)
    """Imported where it is used: it takes half a second, which most children need not spend."""
    return importlib.import_module("tightship.optimize.openvino_session")
