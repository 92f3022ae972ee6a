"""The line of candidates: proposed from facts, ranked by what the runtime measured. Pure."""

from collections.abc import Sequence

from tightship.api.v1alpha1 import Objective
from tightship.optimize import selection, techniques
from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.gains import Gains
from tightship.optimize.selection import Contender, Ranking
from tightship.optimize.techniques import Recipe
from tightship.optimize.timing import Timed, Timings


def propose(facts: techniques.Facts) -> list[Candidate]:
    """One candidate for each proposal; the ineligible ones already refused."""
    found = []
    for proposal in techniques.propose(facts):
        candidate = Candidate(proposal.id, proposal.technique)
        if isinstance(proposal, Recipe):
            candidate.recipe = proposal
        else:
            candidate.refuse(Status.INELIGIBLE, proposal.reason)
        found.append(candidate)
    return found


def done_before(before: Candidate | None, recipe: Recipe) -> int:
    """How many passes of the recipe are all those of a candidate that it builds on."""
    if before is None or before.recipe is None or before.model is None:
        return 0
    if before.model.file.suffix != ".onnx":  # passes read no other format
        return 0
    passes = before.recipe.passes
    return len(passes) if recipe.passes[: len(passes)] == passes else 0


def rank(
    candidates: Sequence[Candidate], timings: Timings, objective: Objective, least: float
) -> Ranking:
    """Order what gains `least` at least, and refuse the rest.

    Zeros alone are refused whatever was measured: a gain is then of something else, such as noise
    or another exporter, and would be the original's as well.
    """
    for candidate in candidates:
        recipe, timed = candidate.recipe, candidate.timed
        if candidate.alive and timed is not None and recipe is not None and recipe.zeros:
            told = f"x{timed.speedup:.2f} of the original's speed, which is not by its zeros"
            candidate.refuse(Status.TOO_SLOW, f"{told}: {recipe.slow}")
    contenders = [
        _contender(candidate, candidate.timed, timings.batch)
        for candidate in candidates
        if candidate.alive and candidate.timed is not None
    ]
    ranking = selection.rank(contenders, objective, timings.noise, least)
    for candidate in candidates:
        if reason := ranking.refused.get(candidate.id):
            candidate.refuse(Status.TOO_SLOW, reason)
    return ranking


def _contender(candidate: Candidate, timed: Timed, batch: int) -> Contender:
    recipe = candidate.recipe
    return Contender(
        id=candidate.id,
        gains=Gains(
            latency=timed.speedup,
            throughput=timed.batched_speedup,
            memory=timed.memory_ratio,
            batch=batch,
        ),
        drop=candidate.verdicts["gate"]["drop"],
        passes=recipe.steps if recipe else 0,
        bytes=candidate.bytes,
        slow=recipe.slow if recipe else "",
    )
