"""What a candidate gains over the original in each objective, and whether that is enough. Pure."""

import math
from dataclasses import dataclass

from tightship.api.v1alpha1 import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """Ratios original / candidate: 2.0 is twice as good. `batch` is what throughput is taken at."""

    latency: float
    throughput: float
    memory: float
    batch: int

    @property
    def cost(self) -> float:
        """A server's price pays its time and its memory, each half: the geometric mean of both."""
        return math.sqrt(self.throughput * self.memory)

    def toward(self, objective: Objective) -> float:
        """The gain that the objective asks for."""
        gain: float = getattr(self, objective.value)
        return gain

    def told(self, objective: Objective) -> str:
        """That gain in words."""
        gain = f"x{self.toward(objective):.2f}"
        return {
            Objective.LATENCY: f"{gain} of the original's speed",
            Objective.THROUGHPUT: f"{gain} of the original's throughput at batch {self.batch}",
            Objective.MEMORY: f"the original takes {gain} of its memory",
            Objective.COST: f"the original takes {gain} of its time and memory",
        }[objective]


def shortfall(gains: Gains, objective: Objective, noise: float, least: float) -> str | None:
    """Why a candidate does not gain enough; None when it does. `noise` is a share.

    No objective takes a candidate that answers a single request slower than the original.
    """
    gain, told = gains.toward(objective), gains.told(objective)
    if gain < least:
        return f"{told}, below the x{least:g} asked for"
    if objective is not Objective.MEMORY and gain <= 1 + noise:
        return f"{told}, within the measured noise of {noise:.0%}"
    return slower(gains.latency, noise)


def slower(speedup: float, noise: float) -> str | None:
    """That a candidate is slower than the original at batch 1, beyond the noise; None when not."""
    if speedup * (1 + noise) < 1:
        return f"x{speedup:.2f} of the original's speed at batch 1: slower than the original"
    return None
