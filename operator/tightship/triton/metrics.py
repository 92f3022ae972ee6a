"""Triton's Prometheus text as numbers, and what is absent as NoData instead of zero."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class NoData:
    """Nothing is known; `reason` says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of the page."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """One reading of the metrics page."""

    samples: tuple[Sample, ...]

    def total(self, name: str, **labels: str) -> float | NoData:
        """The sum of all samples of that name whose labels include those asked for.

        Names are those of the page; the parser's own `_total` of counters is not part of them.
        """
        values = [sample.value for sample in self._matching(name, labels)]
        if not values:
            return NoData(
                f"no sample of {name} with {labels}" if labels else f"no sample of {name}"
            )
        if any(math.isnan(value) for value in values):
            return NoData(f"{name} is not a number yet: nothing was observed")
        return math.fsum(values)

    def totals(self, name: str, *, by: str, **labels: str) -> dict[str, float]:
        """The sums of the samples that `total` would sum, for each value of the label `by`."""
        sums: dict[str, float] = {}
        for sample in self._matching(name, labels):
            if by in sample.labels:
                sums[sample.labels[by]] = sums.get(sample.labels[by], 0.0) + sample.value
        return sums

    def quantile(self, name: str, quantile: float, **labels: str) -> float | NoData:
        """A summary's quantile; quantiles of several series cannot be added, so one must match."""
        values = [
            sample.value
            for sample in self._matching(name, labels)
            if "quantile" in sample.labels and float(sample.labels["quantile"]) == quantile
        ]
        if len(values) != 1:
            return NoData(f"{len(values)} series of {name} at quantile {quantile:g}, expected one")
        if math.isnan(values[0]):
            return NoData(f"{name} is not a number yet: nothing was observed")
        return values[0]

    def _matching(self, name: str, labels: Mapping[str, str]) -> Iterable[Sample]:
        for sample in self.samples:
            if sample.name in (name, f"{name}_total") and labels.items() <= sample.labels.items():
                yield sample


def parse(text: str, *, only: tuple[str, ...] = ()) -> Metrics:
    """Reads Prometheus text; of a page that is read often, `only` what begins with these names.

    Raises:
        ValueError: it is not Prometheus text.
    """
    if only:
        text = "".join(line for line in text.splitlines(keepends=True) if line.startswith(only))
    return Metrics(
        tuple(
            Sample(sample.name, sample.labels, float(sample.value))
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        )
    )
