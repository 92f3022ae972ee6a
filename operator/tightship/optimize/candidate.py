"""What becomes of one candidate on its way through the stages; rendered into report.json."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from tightship.optimize.engine import ORIGINALS, Executable
from tightship.optimize.techniques import Recipe
from tightship.optimize.timing import Timed


class Status(StrEnum):
    """How far a candidate came, and what stopped it."""

    CHOSEN = "chosen"
    PASSED = "passed"  # inside the gate and fast enough, but another one is better
    INELIGIBLE = "ineligible"  # was not built
    ERROR = "error"  # building or running it failed
    INEFFECTIVE = "ineffective"  # the technique changed nothing
    SMOKE_FAILED = "smokeFailed"
    GATE_FAILED = "gateFailed"
    TOO_SLOW = "tooSlow"
    OBJECTIVE_MISSED = "objectiveMissed"
    TRITON_REFUSED = "tritonRefused"


_BROKEN = (Status.ERROR, Status.TRITON_REFUSED, Status.GATE_FAILED)


@dataclass(slots=True)
class Candidate:
    """Facts collected stage by stage. `reason` is one sentence for whatever is not chosen."""

    id: str
    technique: str
    recipe: Recipe | None = None
    status: Status = Status.PASSED
    reason: str = ""
    model: Executable | None = None
    bytes: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    coverage: dict[str, float] = field(default_factory=dict)
    layers: list[dict[str, Any]] = field(default_factory=list)  # as optimize.layers counts them
    simulation: str | None = None
    verdicts: dict[str, Any] = field(default_factory=dict)  # fidelity, gate, lookSpeedup
    timed: Timed | None = None
    triton: dict[str, Any] | None = None

    def refuse(self, status: Status, reason: str) -> None:
        """Stop here."""
        self.status, self.reason = status, reason

    @property
    def look(self) -> float | None:
        """The speed-up in the quick look; None where it came not so far."""
        ratio: float | None = self.verdicts.get("lookSpeedup")
        return ratio

    @property
    def inside(self) -> bool:
        """Whether it passed the gate over all samples, here and in Triton if it came so far."""
        gate = self.verdicts.get("gate") or {}
        return bool(gate.get("passes")) and self.status not in _BROKEN

    @property
    def alive(self) -> bool:
        """Whether nothing has spoken against it so far."""
        return self.status is Status.PASSED

    def to_json(self) -> dict[str, Any]:
        """One entry of report.json's `candidates`."""
        passes = self.recipe.passes if self.recipe else ()
        return {
            "id": self.id,
            "technique": self.technique,
            "status": self.status.value,
            "reason": self.reason,
            "engine": (self.recipe.engine if self.recipe else ORIGINALS).told(),
            "computed": self.verdicts.get("computed"),
            "passes": [{"name": step.name, "params": dict(step.params)} for step in passes],
            "bytes": self.bytes or None,
            "seconds": round(self.seconds, 2),
            "notes": list(self.notes),
            "coverage": self.coverage,
            "layers": self.layers,
            "fidelity": self.verdicts.get("fidelity"),
            "gate": self.verdicts.get("gate"),
            "lookSpeedup": self.look,
            "runtime": asdict(self.timed) if self.timed else None,
            "triton": self.triton,
        }
