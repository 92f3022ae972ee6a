"""The loop of a search: ask for a point, try it, tell; until a budget is used up."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tightship.api.job import SearchRequest
from tightship.api.v1alpha1 import Objective, SearchStrategy
from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.search import space
from tightship.optimize.search.space import Point
from tightship.optimize.search.strategies import SEED, Outcome, strategy
from tightship.optimize.techniques import Recipe, Space

STAGES = (
    Status.SMOKE_FAILED,
    Status.TOO_SLOW,
    Status.GATE_FAILED,
)
"""What may stop a candidate on its way, in the order of the stages."""

FINALISTS = 6
"""Trials that keep their files and are timed."""

_NOT_TRIED = (Status.INELIGIBLE,)
WORST = 1e9
"""The value of what has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search did; `ended` says which budget it used up: trials, duration or points."""

    strategy: str
    seed: int
    points: int
    known: int
    trials: int
    seconds: float
    ended: str

    def to_json(self) -> dict[str, Any]:
        """The report's `search`."""
        return asdict(self)


Try = Callable[[Candidate, Recipe], None]
Discard = Callable[[Candidate], None]


def outcome(candidate: Candidate, objective: Objective = Objective.LATENCY) -> Outcome:
    """What a strategy learns of a candidate."""
    if candidate.alive:
        return Outcome(_cost(candidate, objective))
    gate = candidate.verdicts.get("gate") or {}
    if candidate.status is Status.GATE_FAILED:
        return Outcome(gate.get("upper", WORST), STAGES.index(candidate.status))
    if candidate.status in STAGES:
        return Outcome(_cost(candidate, objective), STAGES.index(candidate.status))
    return Outcome(WORST, -1)


def _cost(candidate: Candidate, objective: Objective) -> float:
    """What is to be small: bytes for the objective memory, else the time of the quick look.

    Throughput and cost are not measured before the search has ended; the time stands for them.
    """
    if objective is Objective.MEMORY:
        return float(candidate.bytes or WORST)
    return 1 / candidate.look if candidate.look else WORST


def surplus(trials: Sequence[Candidate], objective: Objective) -> list[Candidate]:
    """The dearest of the trials that are alive and have their files, beyond FINALISTS."""
    alive = [trial for trial in trials if trial.alive and trial.model is not None]
    return sorted(alive, key=lambda trial: (_cost(trial, objective), trial.id))[FINALISTS:]


class Search:
    """One search over the space of a model, after the candidates of the curated list."""

    def __init__(
        self, request: SearchRequest, spaces: Sequence[Space], objective: Objective
    ) -> None:
        self._request, self._objective = request, objective
        self._recipes = {point: space.recipe(spaces, point) for point in space.points(spaces)}
        self._strategy = strategy(SearchStrategy(request.strategy), spaces)
        self.trials: list[Candidate] = []

    @property
    def most(self) -> int:
        """How many trials there may be."""
        return min(self._request.max_trials, len(self._recipes))

    def tell(self, candidates: Iterable[Candidate]) -> int:
        """Let the strategy learn from what was tried already; returns how many points that is."""
        points = {space.identity(recipe): point for point, recipe in self._recipes.items()}
        known = 0
        for candidate in candidates:
            if candidate.recipe is None or candidate.status in _NOT_TRIED:
                continue
            point = points.get(space.identity(candidate.recipe))
            if point is not None:
                self._strategy.tell(point, outcome(candidate, self._objective))
                known += 1
        return known

    def run(self, known: Iterable[Candidate], attempt: Try, discard: Discard) -> Found:
        """Try points: `attempt` builds and judges, `discard` removes the file of one given up."""
        started = time.monotonic()
        told = self.tell(known)
        while not (ended := self._spent(time.monotonic() - started)):
            point = self._strategy.ask()
            if point is None:
                ended = "points"
                break
            self._try(point, attempt, discard)
        return Found(
            strategy=self._request.strategy,
            seed=SEED,
            points=len(self._recipes),
            known=told,
            trials=len(self.trials),
            seconds=round(time.monotonic() - started, 2),
            ended=ended,
        )

    def _spent(self, seconds: float) -> str:
        """Which budget is used up; empty while none is."""
        if len(self.trials) >= self._request.max_trials:
            return "trials"
        return "duration" if seconds >= self._request.max_seconds else ""

    def _try(self, point: Point, attempt: Try, discard: Discard) -> None:
        recipe = self._recipes[point]
        trial = Candidate(recipe.id, recipe.technique, recipe=recipe)
        self.trials.append(trial)
        attempt(trial, recipe)
        self._strategy.tell(point, outcome(trial, self._objective))
        if not trial.alive:
            discard(trial)
        for other in surplus(self.trials, self._objective):
            discard(other)
            better = "smaller" if self._objective is Objective.MEMORY else "faster in a quick look"
            other.reason = f"{FINALISTS} others of the search were {better}, and went on instead"
