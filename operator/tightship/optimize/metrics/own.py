"""A user's own metric, asked in a confined child: its traits, and what it finds in answers."""

import resource
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from tightship.api.job import EvaluateRequest, JobRequest, MetricRequest
from tightship.optimize import sandbox, trust
from tightship.optimize.budget import Budget
from tightship.optimize.data import Dataset
from tightship.optimize.entry import METRIC
from tightship.optimize.failures import Reason
from tightship.optimize.folders import Folders
from tightship.optimize.gate import bootstrap
from tightship.optimize.metrics.base import Judged, Kind, Traits, linear
from tightship.optimize.runtime import Outputs
from tightship.optimize.sandbox import CrashError, Limits
from tightship.storage import StorageError

_TASKS = "tightship.optimize.metrics"
_REMEDIES = {
    Reason.TIMED_OUT: "Make it faster, or give fewer samples (maxSamples).",
    Reason.OUT_OF_MEMORY: "Give the pool's converter more memory, or fewer samples (maxSamples).",
    Reason.NO_SPACE: "Let it write less.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """The metric that FILE.py:NAME or MODULE:NAME below `folder` names."""

    folder: str
    entry: str
    traits: Traits
    better: str | None = None  # as it was asked for

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Own":
        """Reads what `dataclasses.asdict` made."""
        return cls(**{**raw, "traits": _traits(raw["traits"])})

    @property
    def named(self) -> dict[str, Any]:
        """What a child needs to load it, as JSON."""
        return {"folder": self.folder, "entry": self.entry, "better": self.better}


def take(
    request: JobRequest | EvaluateRequest, folders: Folders, scratch: Path, budget: Budget
) -> Own | None:
    """The metric that the request asks for; None where a built-in one judges.

    Raises:
        RefusalError: it may not be run, cannot be loaded, or does not follow the protocol.
        StorageError: an unsafe or broken archive, or a link among the files.
    """
    asked = request.own_metric
    if asked is None:
        return None
    target = scratch / "metric-code"
    folder = trust.folder(METRIC, asked, folders.metric, target, request, folders)
    return survey(asked, folder, scratch / "metric", budget)


def survey(asked: MetricRequest, folder: Path, scratch: Path, budget: Budget) -> Own:
    """The metric and what it says of itself.

    Raises:
        RefusalError: it cannot be loaded, or does not follow the protocol.
    """
    named = {"folder": str(folder.resolve()), "entry": asked.entry, "better": asked.better}
    found = _run("function:describe_task", named, scratch, 0, budget.metric_seconds)
    return Own.from_json({**named, **found})


def _traits(raw: Mapping[str, Any]) -> Traits:
    return Traits(**{**raw, "kind": Kind(raw["kind"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How much is wanted: `checks` of the metric itself, and resamples for a bound."""

    confidence: float
    checks: bool = False
    bound: bool = True


def judge(
    own: Own, labels: np.ndarray, answers: Sequence[Outputs], asked: Asked, scratch: Path
) -> list[Judged]:
    """What it finds in each of several models' answers to the same samples.

    Raises:
        RefusalError: it fails, takes too long, or gives what it may not; the message says what.
    """
    data = scratch / "given"
    shutil.rmtree(data, ignore_errors=True)
    Dataset({}, labels).save(data / "labels")
    folders = [data / str(number) for number in range(len(answers))]
    for outputs, folder in zip(answers, folders, strict=True):
        _plain(outputs).save(folder)
    resamples = bootstrap.count(asked.confidence) if asked.bound else 0
    seconds = Budget().metric_seconds
    payload = {
        **own.named,
        "labels": str((data / "labels").resolve()),
        "answers": [str(folder.resolve()) for folder in folders],
        "z": NormalDist().inv_cdf(asked.confidence),
        "checks": asked.checks,
        "resamples": resamples,
        "seconds": seconds,
    }
    size = labels.nbytes + sum(a.nbytes for outputs in answers for a in outputs.values())
    found = _run("judging:task", payload, scratch / "child", size, seconds)["found"]
    shutil.rmtree(data)
    return [_judged(own.traits, each, len(labels)) for each in found]


def _plain(outputs: Outputs) -> Dataset:
    return Dataset(
        {n: a.astype(np.str_) if a.dtype == object else np.asarray(a) for n, a in outputs.items()}
    )


def _judged(traits: Traits, found: Mapping[str, Any], n: int) -> Judged:
    value, lost = float(found["value"]), float(found["lost"])
    if traits.kind is Kind.MEAN:
        return Judged(value=value, parts=np.array(found["scores"]), unseen=linear(lost))
    share = float(found["share"])

    def unseen(count: float, z: float) -> float:
        return lost * (z * z / (count + z * z)) / share

    resampled = np.array(found["resampled"], np.float64) if found["resampled"] else None
    return Judged(value=value, parts=np.full(n, value), unseen=unseen, resampled=resampled)


def _run(
    task: str, payload: Mapping[str, Any], scratch: Path, size: int, seconds: float
) -> dict[str, Any]:
    limits = Limits.for_model(size, seconds)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]  # what the calling child may not exceed
    memory = limits.memory if hard == resource.RLIM_INFINITY else min(limits.memory, hard)
    limits = Limits(seconds=seconds, memory=memory)
    try:
        return sandbox.run_confined(f"{_TASKS}.{task}", payload, scratch, limits)
    except CrashError as crash:
        remedy = _REMEDIES.get(crash.reason, "Try it by itself on a few samples.")
        raise METRIC.refusal(f"{payload['entry']} failed: {crash}. {remedy}") from crash
    except StorageError as error:
        raise METRIC.refusal(f"{payload['entry']} left what it may not: {error}") from error
