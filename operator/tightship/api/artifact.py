"""What Jobs tell the operator in termination messages, and versions of the artifact's files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

TERMINATION_MESSAGE_MAX = 4096  # bytes; the kubelet cuts what is longer
MANIFEST = "manifest.json"
MANIFEST_SCHEMA = 1
UNUSED = "unused"  # beside KEY's manifest.json: since when nothing refers to this artifact
REPORT_SCHEMA = 1
PROFILE_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeResult:
    """What an intake found. Digests are plain sha256 hex.

    `limitations` are reasons of `api.conditions.LIMITATIONS`: what the model or the image rules
    out.
    """

    source_digest: str
    source_bytes: int
    calibration_digest: str | None = None
    evaluation_digest: str | None = None
    limitations: tuple[str, ...] = ()
    trainer_digest: str | None = None
    metric_digest: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The wire form."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> IntakeResult:
        """Reads the wire form.

        Raises:
            ValueError: a required field is missing.
        """
        known = {name: raw[name] for name in cls.__slots__ if name in raw}
        try:
            return cls(**{**known, "limitations": tuple(known.get("limitations", ()))})
        except TypeError as error:
            raise ValueError(f"not an intake result: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the operator needs of a finished conversion; the rest is in report.json.

    Latencies are seconds at batch 1 and concurrency 1 through Triton, `memory` is bytes at load of
    one instance, `metric_*` the task metric (or, where `metric` is "agreement", the agreement with
    the original).
    """

    key: str
    digest: str  # sha256 hex of manifest.json
    variant: str  # id of the chosen candidate, "original" when nothing beat it
    technique: (
        str  # None | Quantize | HalfPrecision | Prune | Distill | Architecture | joined by "+"
    )
    reason: str  # one sentence: why this one
    bytes_before: int
    bytes_after: int
    speedup: float
    p50_before: float
    p50_after: float
    p99: float
    metric: str
    metric_before: float
    metric_after: float
    gate_max_drop: float
    candidates: int
    memory: int
    load_seconds: float
    duty_seconds: float  # busy seconds of one request at batch 1
    max_batch: int
    evaluated: int | None = None  # seconds since the epoch; None: an older converter
    duty_batches: tuple[tuple[int, float], ...] = ()  # the same of larger batches, ascending

    def to_json(self) -> dict[str, Any]:
        """The wire form; stays below TERMINATION_MESSAGE_MAX."""
        return {**asdict(self), "duty_batches": [list(pair) for pair in self.duty_batches]}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Summary:
        """Reads the wire form; unknown fields of a newer converter are passed over.

        Raises:
            ValueError: a required field is missing.
        """
        known = {name: raw[name] for name in cls.__slots__ if name in raw}
        try:
            batches = tuple((int(b), float(s)) for b, s in known.get("duty_batches", ()))
            return cls(**{**known, "duty_batches": batches})
        except TypeError as error:
            raise ValueError(f"not a conversion summary: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """What another evaluation of a published variant found.

    `best` and `worst` are one-sided bounds of its value at the asked confidence, `recorded` what
    the original reached in the conversion, `allowed` the worst value that the gate lets pass
    (None: any), `failed` the demands that are missed for sure.
    """

    key: str
    metric: str
    evaluation_digest: str
    evaluated: int  # seconds since the epoch
    value: float
    best: float
    worst: float
    samples: int
    recorded: float | None = None
    allowed: float | None = None
    failed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The wire form."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> EvaluationResult:
        """Reads the wire form; unknown fields of a newer converter are passed over.

        Raises:
            ValueError: a required field is missing.
        """
        known = {name: raw[name] for name in cls.__slots__ if name in raw}
        try:
            return cls(**{**known, "failed": tuple(known.get("failed", ()))})
        except TypeError as error:
            raise ValueError(f"not an evaluation: {error}") from error
