"""The wire format between operator and Job: one JSON value in, fixed folders, one JSON answer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from tightship.api.code import CodeRequest
from tightship.api.failures import Failure
from tightship.api.training import TrainerRequest

REQUEST_VARIABLE = "TIGHTSHIP_JOB"

WORK = "/work"  # scratch volume that all containers of the pod share
SOURCE = f"{WORK}/in/source"  # folder that holds what storage_uri named
CALIBRATION = f"{WORK}/in/calibration.npz"
EVALUATION = f"{WORK}/in/evaluation.npz"
TRAINER = f"{WORK}/in/trainer"  # folder of the user's trainer
METRIC = f"{WORK}/in/metric"  # folder of the user's metric
ARTIFACT = f"{WORK}/out/artifact"  # what publish uploads
DONE = f"{WORK}/done.json"  # summary of an artifact that the store already has: the rest is skipped
MODEL_REPOSITORY = f"{WORK}/models"  # of the Triton beside the converter
SECRETS = "/secrets"  # SECRETS/{source,evaluation,trainer,metric,store,...}: mounted Secrets
PVC_ROOT = "/mnt/pvc"  # PVC_ROOT/CLAIM: mounted volume of a pvc:// URI
SWEEP_KEYS = "/sweep/keys"  # KEYs in use, one a line: the mounted list of a clean-up
TERMINATION_LOG = "/dev/termination-log"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRequest:
    """One data file; `digest` is sha256 hex once an intake has pinned it."""

    uri: str
    max_samples: int
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRequest(CodeRequest):
    """A user's own metric; `better` is a word of `v1alpha1.Better`, None: what its code says."""

    better: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A search beyond the curated list: `strategy` is a word of `v1alpha1.SearchStrategy`."""

    strategy: str
    max_trials: int
    max_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """Everything that an intake or a conversion works on.

    Digests are sha256 hex, durations seconds, sizes bytes. `key` is None for an intake.
    """

    key: str | None
    source_uri: str
    source_format: str
    source_digest: str | None
    calibration: DataRequest | None
    evaluation: DataRequest | None
    metric: str | None
    quantize: bool
    half_precision: bool
    prune: bool
    prune_sparsity: float
    openvino: bool
    max_drop: float
    confidence: float
    min_speedup: float
    slo_target: float | None
    slo_percentile: int
    store_uri: str
    allowed_hosts: tuple[str, ...]
    max_source_bytes: int
    scratch_bytes: int
    converter_image: str
    server_image: str
    node_class: str
    threads: int
    backend_directory: str | None = None
    positive_class: int | None = None
    worst_value: float | None = None
    max_class_drop: float | None = None
    worst_class_value: float | None = None
    accelerator: str | None = None
    trainer: TrainerRequest | None = None
    objective: str = "latency"
    trusted_code: bool = False  # sources that run code when they are read are taken
    search: SearchRequest | None = None
    own_metric: MetricRequest | None = None  # instead of `metric`

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> JobRequest:
        """Reads the wire form.

        Raises:
            ValueError: not JSON, or a field is missing or unknown.
        """
        raw = json.loads(text)
        try:
            for name in ("calibration", "evaluation"):
                if raw[name] is not None:
                    raw[name] = DataRequest(**raw[name])
            if raw.get("trainer") is not None:
                raw["trainer"] = TrainerRequest.from_json(raw["trainer"])
            if raw.get("search") is not None:
                raw["search"] = SearchRequest(**raw["search"])
            if raw.get("own_metric") is not None:
                raw["own_metric"] = MetricRequest(**raw["own_metric"])
            return cls(**{**raw, "allowed_hosts": tuple(raw["allowed_hosts"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a job request: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateRequest:
    """A published variant and the data on which its metric is measured anew.

    `key` and `digest` name the artifact, both sha256 hex; the demands are those of the gate.
    """

    key: str
    digest: str
    data: DataRequest
    metric: str | None
    max_drop: float
    confidence: float
    store_uri: str
    allowed_hosts: tuple[str, ...]
    max_source_bytes: int
    scratch_bytes: int
    worst_value: float | None = None
    positive_class: int | None = None
    own_metric: MetricRequest | None = None  # instead of `metric`

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> EvaluateRequest:
        """Reads the wire form.

        Raises:
            ValueError: not JSON, or a field is missing or unknown.
        """
        raw = json.loads(text)
        try:
            raw["data"] = DataRequest(**raw["data"])
            if raw.get("own_metric") is not None:
                raw["own_metric"] = MetricRequest(**raw["own_metric"])
            return cls(**{**raw, "allowed_hosts": tuple(raw["allowed_hosts"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a request for an evaluation: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRequest:
    """What one clean-up of a store works on; `retention` is seconds, `limit` removals at most."""

    store_uri: str
    allowed_hosts: tuple[str, ...]
    retention: float
    limit: int

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> SweepRequest:
        """Reads the wire form.

        Raises:
            ValueError: not JSON, or a field is missing or unknown.
        """
        raw = json.loads(text)
        try:
            return cls(**{**raw, "allowed_hosts": tuple(raw["allowed_hosts"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a request for a clean-up: {error}") from error


def answer(result: dict[str, Any] | Failure) -> str:
    """The termination message of a finished container."""
    if isinstance(result, Failure):
        return json.dumps({"failure": result.to_json()}, separators=(",", ":"))
    return json.dumps({"result": result}, separators=(",", ":"))
