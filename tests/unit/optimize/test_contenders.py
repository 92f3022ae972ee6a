"""Who is ranked at all: zeros alone are not, whatever the clock said of them."""

import pytest

from tightship.api.v1alpha1 import Objective
from tightship.optimize import contenders
from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.techniques import Pass, Recipe
from tightship.optimize.timing import Latency, Timed, Timings

LATENCY = Latency(cpu_p50=1.0, wall_p50=1.0, wall_p99=1.0, calls=1, spread=(1.0, 1.0))
TIMINGS = Timings(
    clock="cpu",
    rounds=5,
    noise=0.02,
    baseline=LATENCY,
    batch=8,
    batched=LATENCY,
    memory=1,
    candidates={},
    lost={},
)


def timed(name: str, *, zeros: bool) -> Candidate:
    recipe = Recipe(id=name, technique="T", passes=(Pass("p"),), slow="no use", zeros=zeros)
    found = Candidate(name, "T", recipe=recipe, verdicts={"gate": {"drop": 0.0}})
    found.timed = Timed(
        latency=LATENCY,
        speedup=2.0,
        speedups=(2.0,),
        batched=LATENCY,
        batched_speedup=2.0,
        memory=1,
        memory_ratio=2.0,
    )
    return found


@pytest.mark.parametrize("objective", Objective)
def test_zeros_alone_are_never_chosen(objective: Objective) -> None:
    zeros, other = timed("a", zeros=True), timed("b", zeros=False)
    assert contenders.rank([zeros, other], TIMINGS, objective, 1.05).order == ("b",)
    assert zeros.status is Status.TOO_SLOW
    assert zeros.reason == "x2.00 of the original's speed, which is not by its zeros: no use"
