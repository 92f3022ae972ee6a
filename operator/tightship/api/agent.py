"""The wire format between operator and agents: assignment down, state up (version v1)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from tightship.api.failures import Failure
from tightship.api.traffic import Traffic

WIRE_VERSION = "v1"


@dataclass(frozen=True, slots=True, order=True)
class Fence:
    """Order of writers: a later leader, then a later write of the same leader, is greater."""

    transitions: int
    counter: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConfig:
    """What the planner decides about a loaded model; written into the effective config.pbtxt."""

    instances: int = 1
    dynamic_batching: bool = True
    max_queue_delay_us: int = 0
    response_cache: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSampling:
    """How requests of a model are sampled. It loads nothing anew and is no part of its settings."""

    rate: int  # every so many requests one
    samples: int  # that make a window


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAssignment:
    """One model that a server is to hold.

    The artifact's folder in the store is `sha256/KEY/DIGEST/`: `digest` is the sha256 (hex) of its
    manifest.json and so fixes every byte. `memory` is the measured need in bytes.
    """

    name: str
    key: str
    digest: str
    memory: int
    config: ServingConfig
    drift: DriftSampling | None = None

    def to_json(self) -> dict[str, Any]:
        """The wire form; without `drift` it is that of agents that know nothing of it."""
        sampling = {"drift": _fields(self.drift)} if self.drift else {}
        plain = {name: value for name, value in _fields(self).items() if name != "drift"}
        return {**plain, "config": _fields(self.config), **sampling}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ModelAssignment:
        """Reads the wire form.

        Raises:
            KeyError: a field is missing.
            TypeError: a field is missing or unknown.
        """
        drift = DriftSampling(**raw["drift"]) if raw.get("drift") else None
        return cls(**{**raw, "config": ServingConfig(**raw["config"]), "drift": drift})


@dataclass(frozen=True, slots=True)
class Assignment:
    """The whole list of models of one server, sorted by name."""

    models: tuple[ModelAssignment, ...] = ()

    @property
    def etag(self) -> str:
        """Content hash, the same for operator and agent."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_json(self) -> list[dict[str, Any]]:
        """The wire form of the list."""
        return [m.to_json() for m in self.models]

    @classmethod
    def from_json(cls, raw: list[Mapping[str, Any]]) -> Assignment:
        """Reads the wire form.

        Raises:
            ValueError: a field is missing, unknown or of the wrong type.
        """
        try:
            models = [ModelAssignment.from_json(item) for item in raw]
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an assignment: {error}") from error
        return cls(tuple(sorted(models, key=lambda m: m.name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentRequest:
    """The body of `PUT /v1/assignment`; `fence` must be greater than the one the agent holds."""

    fence: Fence
    assignment: Assignment

    def to_json(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "version": WIRE_VERSION,
            "fence": asdict(self.fence),
            "models": self.assignment.to_json(),
        }

    @classmethod
    def from_json(cls, raw: object) -> AssignmentRequest:
        """Reads the wire form.

        Raises:
            ValueError: another version, or a field is missing, unknown or of the wrong type.
        """
        if not isinstance(raw, Mapping) or raw.get("version") != WIRE_VERSION:
            raise ValueError(f"not an assignment request of version {WIRE_VERSION}")
        try:
            return cls(fence=Fence(**raw["fence"]), assignment=Assignment.from_json(raw["models"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an assignment request: {error}") from error


class LoadState(StrEnum):
    """Where a model is on a server. Only LOADED may be routed to."""

    PENDING = "Pending"  # waits for another load, or for room
    FETCHING = "Fetching"
    LOADING = "Loading"
    VERIFYING = "Verifying"
    LOADED = "Loaded"  # verified by its golden samples
    UNLOADING = "Unloading"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDrift:
    """One feature's distance from the reference, and what chance alone may come to, in PSI."""

    name: str
    psi: float
    chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """What the last full window of sampled requests showed of a model's artifact.

    Before the first one `samples` is 0. `features` are the worst that passed chance, at most three,
    in steps of 0.05; `trouble` is why no requests can be sampled.
    """

    digest: str
    samples: int = 0
    features: tuple[FeatureDrift, ...] = ()
    trouble: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The wire form."""
        return {**_fields(self), "features": [_fields(each) for each in self.features]}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> DriftReport:
        """Reads the wire form.

        Raises:
            KeyError: a field is missing.
            TypeError: a field is of the wrong type.
        """
        features = tuple(
            FeatureDrift(name=each["name"], psi=each["psi"], chance=each["chance"])
            for each in raw["features"]
        )
        return cls(
            digest=raw["digest"],
            samples=raw["samples"],
            features=features,
            trouble=raw["trouble"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldModel:
    """A model as the agent sees it.

    While a change of version is under way, `digest` and `config` are those that Triton serves now
    and `state` stays LOADED; `target` shows where the new one is. A model that never loaded has no
    digest.
    """

    name: str
    state: LoadState
    digest: str | None = None
    config: ServingConfig | None = None
    memory: int | None = None  # bytes, measured at load
    load_seconds: float | None = None
    target_digest: str | None = None
    target_state: LoadState | None = None
    failure: Failure | None = None  # of the target, or of the model itself when it never loaded
    drift: DriftReport | None = None  # of a model whose requests are to be sampled
    traffic: Traffic | None = None  # None: not watched for a minute yet

    def to_json(self) -> dict[str, Any]:
        """The wire form."""
        return {
            **_fields(self),
            "config": _fields(self.config) if self.config else None,
            "failure": self.failure.to_json() if self.failure else None,
            "drift": self.drift.to_json() if self.drift else None,
            "traffic": self.traffic.to_json() if self.traffic else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """One answer of `GET /v1/state`.

    `assignment` is the one that is being carried out, and `etag` its content hash: a new leader
    rebuilds its picture from the agents, so they give back all that they were told.
    """

    etag: str
    assignment: Assignment
    fence: Fence
    ready: bool  # all formerly verified models are back
    triton_live: bool
    models: tuple[HeldModel, ...] = ()
    memory_used: int = 0
    memory_limit: int | None = None  # bytes that models may use, as this server was started with
    restarts: int = 0  # of Triton, seen by this agent
    version: str = WIRE_VERSION

    def to_json(self) -> dict[str, Any]:
        """The wire form."""
        return {
            **_fields(self),
            "assignment": self.assignment.to_json(),
            "fence": asdict(self.fence),
            "models": [model.to_json() for model in self.models],
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ServerState:
        """Reads the wire form; unknown fields of a newer agent are passed over.

        Raises:
            ValueError: a required field is missing or of the wrong type.
        """
        try:
            return cls(
                etag=str(raw["etag"]),
                assignment=Assignment.from_json(raw["assignment"]),
                fence=Fence(**raw["fence"]),
                ready=bool(raw["ready"]),
                triton_live=bool(raw["triton_live"]),
                models=tuple(_held(item) for item in raw["models"]),
                memory_used=int(raw.get("memory_used", 0)),
                memory_limit=raw.get("memory_limit"),
                restarts=int(raw.get("restarts", 0)),
                version=str(raw.get("version", WIRE_VERSION)),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a server state: {error}") from error


_Wire = (
    ServingConfig
    | DriftSampling
    | ModelAssignment
    | FeatureDrift
    | DriftReport
    | HeldModel
    | ServerState
)


def _fields(value: _Wire) -> dict[str, Any]:
    """`asdict` of this one level; that of all levels copies each value, at ten times the cost."""
    return {name: getattr(value, name) for name in value.__slots__}


def _held(raw: Mapping[str, Any]) -> HeldModel:
    return HeldModel(
        name=str(raw["name"]),
        state=LoadState(raw["state"]),
        digest=raw.get("digest"),
        config=ServingConfig(**raw["config"]) if raw.get("config") else None,
        memory=raw.get("memory"),
        load_seconds=raw.get("load_seconds"),
        target_digest=raw.get("target_digest"),
        target_state=LoadState(raw["target_state"]) if raw.get("target_state") else None,
        failure=Failure.from_json(raw["failure"]) if raw.get("failure") else None,
        drift=DriftReport.from_json(raw["drift"]) if raw.get("drift") else None,
        traffic=Traffic.from_json(raw["traffic"]) if raw.get("traffic") else None,
    )
