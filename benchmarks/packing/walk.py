"""Random loads and unloads: which model gets how many copies, and what was counted and measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


def steps(models: Sequence[str], most: int, count: int, seed: int) -> Iterator[tuple[str, int]]:
    """(model, copies from then on): each step gives a random model another number of copies.

    All begin with one copy, and have from one to `most`.
    """
    draw, copies = np.random.default_rng(seed), dict.fromkeys(models, 1)
    for _ in range(count):
        model = models[int(draw.integers(len(models)))]
        others = [number for number in range(1, most + 1) if number != copies[model]]
        copies[model] = others[int(draw.integers(len(others)))]
        yield model, copies[model]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One server at rest after a step. All but counts are bytes.

    `predicted` is what the planner counts its models as, `measured` what Triton holds more than
    without any. `pid` tells one life of Triton from another.
    """

    server: str
    models: int
    predicted: int
    measured: int
    working_set: int
    peak: int
    limit: int
    kills: int
    pid: int

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted / self.measured - 1


def percentile(values: Sequence[float], percent: float) -> float:
    """The observed value that so many percent of the values do not exceed."""
    return float(np.percentile(values, percent, method="inverted_cdf"))


def restarts(looks: Sequence[Look]) -> int:
    """How often a server's Triton was another process than in the look before."""
    last: dict[str, int] = {}
    count = 0
    for look in looks:
        count += last.get(look.server, look.pid) != look.pid
        last[look.server] = look.pid
    return count


def kills(looks: Sequence[Look]) -> int:
    """Processes that the kernel ended for want of memory, in all lives of all servers."""
    most: dict[tuple[str, int], int] = {}
    for look in looks:
        key = (look.server, look.pid)
        most[key] = max(most.get(key, 0), look.kills)
    return sum(most.values())


def by_model(added: Sequence[tuple[str, float, float]]) -> Mapping[str, tuple[float, float, int]]:
    """(model, predicted, measured) of single loads: their medians and number by model."""
    found: dict[str, list[tuple[float, float]]] = {}
    for model, predicted, measured in added:
        found.setdefault(model, []).append((predicted, measured))
    return {
        model: (
            float(np.median([p for p, _ in pairs])),
            float(np.median([m for _, m in pairs])),
            len(pairs),
        )
        for model, pairs in sorted(found.items())
    }
