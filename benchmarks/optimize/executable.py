"""A file and what runs it, in either of the two runtimes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ONNXRUNTIME = "onnxruntime"
OPENVINO = "openvino"


@dataclass(frozen=True, slots=True, kw_only=True)
class Executable:
    """`backend` is Triton's name of the runtime; `properties` are OpenVINO's."""

    file: Path
    backend: str = ONNXRUNTIME
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Size of the file, with the weights that OpenVINO keeps beside it."""
        files = [self.file, *self.file.parent.glob(f"{self.file.stem}.bin")]
        return sum(file.stat().st_size for file in files)

    def to_json(self) -> dict[str, Any]:
        """JSON value."""
        return asdict(self) | {"file": str(self.file)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Executable":
        """Reads what `to_json` wrote."""
        return cls(**{**raw, "file": Path(raw["file"])})
