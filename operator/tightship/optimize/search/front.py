"""Who is on the Pareto front of loss, latency, throughput and memory. Pure."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from tightship.optimize.candidate import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is compared: ratios original / candidate, and less loss of the metric is better."""

    id: str
    latency: float = 1.0
    throughput: float = 1.0
    memory: float = 1.0
    loss: float = 0.0

    def beats(self, other: "Standing") -> bool:
        """Whether it is as good in everything and better in something."""
        mine, theirs = self.merits, other.merits
        return mine != theirs and all(a >= b for a, b in zip(mine, theirs, strict=True))

    @property
    def merits(self) -> tuple[float, ...]:
        """All that counts, greater is better."""
        *ratios, loss = astuple(self)[1:]
        return (*ratios, -loss)


def standing(candidate: Candidate) -> Standing | None:
    """Of a candidate inside the gate that was timed; None for others."""
    timed = candidate.timed
    if timed is None or not candidate.inside:
        return None
    return Standing(
        id=candidate.id,
        latency=timed.speedup,
        throughput=timed.batched_speedup,
        memory=timed.memory_ratio,
        loss=candidate.verdicts["gate"]["drop"],
    )


def pareto(standings: Iterable[Standing]) -> list[str]:
    """Ids of those that none beats, fastest first."""
    known = list(standings)
    best = [one for one in known if not any(other.beats(one) for other in known)]
    return [one.id for one in sorted(best, key=lambda one: (-one.latency, one.id))]
