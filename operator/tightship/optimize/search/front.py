"""Who is on the Pareto front of speed, loss and size, and who may go on to be timed. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tightship.optimize.candidate import Candidate

FINALISTS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is compared: more speed-up, less loss and fewer bytes are better."""

    id: str
    speedup: float
    loss: float
    bytes: int

    def beats(self, other: "Standing") -> bool:
        """Whether it is as good in everything and better in something."""
        mine = (-self.speedup, self.loss, self.bytes)
        theirs = (-other.speedup, other.loss, other.bytes)
        return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


def standing(candidate: Candidate) -> Standing | None:
    """Of a candidate inside the gate whose speed is known; None for others."""
    speedup = candidate.timed.speedup if candidate.timed else candidate.look
    if not candidate.inside or speedup is None:
        return None
    loss = candidate.verdicts["gate"]["drop"]
    return Standing(id=candidate.id, speedup=speedup, loss=loss, bytes=candidate.bytes)


def pareto(standings: Iterable[Standing]) -> list[str]:
    """Ids of those that none beats, fastest first."""
    known = list(standings)
    best = [one for one in known if not any(other.beats(one) for other in known)]
    return [one.id for one in sorted(best, key=lambda one: (-one.speedup, one.id))]


def surplus(trials: Sequence[Candidate], most: int = FINALISTS) -> list[Candidate]:
    """The slowest of the trials that are alive and have their files, beyond the `most` fastest."""
    alive = [trial for trial in trials if trial.alive and trial.model is not None]
    return sorted(alive, key=lambda trial: (-(trial.look or 0.0), trial.id))[most:]
