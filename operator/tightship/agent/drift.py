"""One model's live histograms: filled by sampled requests, compared when a window is full."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tightship.api.agent import DriftReport, DriftSampling, FeatureDrift
from tightship.drift.psi import chance, psi
from tightship.drift.reference import Reference, Tensor
from tightship.triton.traces import Trace

ELEMENTS_MAX = 2**21
"""Numbers in one request and its answer. Triton writes them as text before it answers: two million
take it half a second, for this one request."""

_NAMED = 3  # features that a report names
_TOLD_FROM = 0.05  # PSI; smaller values are not told, so that a report without drift stays the same
_STEP = 0.05  # of the PSI that is told, for the same reason


@dataclass(slots=True)
class Window:
    """The counts of one window after the other; `report` is the last full one's."""

    digest: str  # of the artifact that the reference is of
    sampling: DriftSampling
    reference: Reference
    batched: bool  # the first axis of every tensor is the batch
    report: DriftReport = field(init=False)
    taken: int = 0
    worst: float = 0.0  # PSI over all features, of the last full window
    _counts: dict[str, np.ndarray] = field(init=False)
    _samples: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.report = DriftReport(digest=self.digest)
        self._clear()

    def add(self, trace: Trace) -> None:
        """Counts one request; of a batch one row, because its rows seldom are independent."""
        columns: dict[str, np.ndarray] = {}
        for tensor in self.reference.tensors:
            rows = self._sample(trace, tensor)
            if rows is not None:
                columns |= tensor.features(rows)
        if not columns:
            return
        for each in self.reference.histograms:
            if each.name in columns:
                self._counts[each.name] += each.place(columns[each.name])
                self._samples[each.name] += 1
        self.taken += 1
        if self.taken >= self.sampling.samples:
            self.report = self._judged()
            self._clear()

    def _judged(self) -> DriftReport:
        """What the window shows; a feature that it has too few values of is left out."""
        least = self.sampling.samples // 2
        judged = [each for each in self.reference.histograms if self._samples[each.name] >= least]
        found = []
        for each in judged:
            live = self._counts[each.name].tolist()
            bound = chance(each.counts, live, features=len(judged))
            found.append((psi(each.counts, live), bound, each.name))
        found.sort(reverse=True)
        self.worst = found[0][0] if found else 0.0
        told = [item for item in found if item[0] >= _TOLD_FROM and item[0] > item[1]][:_NAMED]
        return DriftReport(
            digest=self.digest,
            samples=self.sampling.samples,
            features=tuple(
                FeatureDrift(name=name, psi=_stepped(value), chance=_stepped(bound))
                for value, bound, name in told
            ),
        )

    def _sample(self, trace: Trace, tensor: Tensor) -> np.ndarray | None:
        """One sample of a tensor with a first axis of its own; None where the trace has none."""
        kind, _, name = tensor.name.partition("/")
        array = (trace.inputs if kind == "in" else trace.outputs).get(name)
        if array is None:
            return None
        if not self.batched:
            return array[np.newaxis]
        return array[[self.taken % len(array)]] if array.ndim and len(array) else None

    def _clear(self) -> None:
        self.taken = 0
        self._counts = {
            each.name: np.zeros(len(each.counts), np.int64) for each in self.reference.histograms
        }
        self._samples = dict.fromkeys(self._counts, 0)


def untraceable(reference: Reference, max_batch: int, types: Mapping[str, str]) -> str | None:
    """Why a model cannot be sampled, for people; None when it can.

    `types` are Triton's types by the names of inputs and outputs.
    """
    elements = sum(tensor.size for tensor in reference.tensors) * max(1, max_batch)
    if elements > ELEMENTS_MAX:
        return (
            f"a request of {max(1, max_batch)} samples and its answer have {elements} numbers, and "
            f"Triton would take too long to write more than {ELEMENTS_MAX} of them down"
        )
    silent = {"TYPE_FP16", "TYPE_BF16"}
    if types and set(types.values()) <= silent:
        return "Triton does not write half-precision tensors down, and the model has no others"
    return None


def _stepped(value: float) -> float:
    """Rounded down, so that what is told as the limit is not below it."""
    return round(math.floor(value / _STEP) * _STEP, 2)
