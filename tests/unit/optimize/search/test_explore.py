"""The loop: budgets, what is known already, what a strategy learns, files that are given up."""

import pytest
from tests.unit.optimize.search import world
from tests.unit.optimize.search.world import FACTS

from tightship.api.job import SearchRequest
from tightship.api.v1alpha1 import Objective
from tightship.optimize import techniques
from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.search import space
from tightship.optimize.search.explore import FINALISTS, Found, Search, outcome
from tightship.optimize.search.strategies import Outcome
from tightship.optimize.techniques import Recipe

SPACES = space.spaces(FACTS)
POINTS = len(list(space.points(SPACES)))


class Bench:
    """Builds nothing: a candidate's speed is its place in line."""

    def __init__(self) -> None:
        self.discarded: list[str] = []

    def attempt(self, trial: Candidate, recipe: Recipe) -> None:
        assert recipe.id == trial.id
        if "tensor" in trial.id:
            world.failed(trial, Status.ERROR)
        else:
            world.passed(trial, 1.0 + len(trial.id) / 100, size=len(trial.id))

    def discard(self, trial: Candidate) -> None:
        trial.model = None
        self.discarded.append(trial.id)


def search(
    strategy: str = "Grid",
    trials: int = 1000,
    seconds: float = 1e6,
    objective: Objective = Objective.LATENCY,
) -> Search:
    request = SearchRequest(strategy=strategy, max_trials=trials, max_seconds=seconds)
    return Search(request, SPACES, objective)


def run(made: Search, known: list[Candidate] | None = None) -> tuple[Found, Bench]:
    bench = Bench()
    return made.run(known or [], bench.attempt, bench.discard), bench


@pytest.mark.parametrize("strategy", ["Grid", "Random", "TPE"])
def test_it_ends_with_the_trials(strategy: str) -> None:
    made = search(strategy, trials=11)
    found, _ = run(made)
    assert (found.trials, found.ended, found.points) == (11, "trials", POINTS)
    assert len({trial.id for trial in made.trials}) == 11


def test_it_ends_with_the_time() -> None:
    found, _ = run(search(seconds=0.0))
    assert (found.trials, found.ended) == (0, "duration")


def test_it_ends_with_the_points() -> None:
    found, _ = run(search())
    assert (found.trials, found.ended) == (POINTS, "points")


def test_as_many_trials_as_points_end_with_the_trials() -> None:
    found, _ = run(search(trials=POINTS))
    assert (found.trials, found.ended) == (POINTS, "trials")


def test_a_model_without_a_space() -> None:
    request = SearchRequest(strategy="TPE", max_trials=5, max_seconds=60.0)
    found, _ = run(Search(request, [], Objective.LATENCY))
    assert (found.points, found.trials, found.ended) == (0, 0, "points")


def test_what_the_curated_list_tried_is_not_tried_again() -> None:
    curated = [world.candidate(p.id, p) for p in techniques.propose(FACTS) if isinstance(p, Recipe)]
    for candidate in curated:
        world.passed(candidate, 1.5)
    curated[0].refuse(Status.INELIGIBLE, "it was not built, so it may be a trial")
    made = search()

    found, _ = run(made, curated)

    tried = {space.identity(trial.recipe) for trial in made.trials if trial.recipe}
    known = {space.identity(c.recipe) for c in curated[1:] if c.recipe}
    assert not tried & known
    assert found.known + found.trials == POINTS
    assert found.known == sum("int8" in c.id and "prune" not in c.id for c in curated[1:])


def test_only_the_fastest_keep_their_files() -> None:
    made = search()
    _, bench = run(made)
    alive = [trial for trial in made.trials if trial.alive]
    kept = [trial for trial in alive if trial.model is not None]
    assert len(kept) == FINALISTS
    assert min(t.look or 0 for t in kept) >= max(t.look or 0 for t in alive if not t.model)
    assert all(trial.reason for trial in made.trials if trial.model is None)
    assert set(bench.discarded) == {trial.id for trial in made.trials if trial.model is None}


def test_for_memory_the_smallest_keep_their_files() -> None:
    made = search(objective=Objective.MEMORY)
    _, _ = run(made)
    alive = [trial for trial in made.trials if trial.alive]
    kept = [trial for trial in alive if trial.model is not None]
    assert len(kept) == FINALISTS
    assert max(t.bytes for t in kept) <= min(t.bytes for t in alive if not t.model)
    assert "smaller" in next(t.reason for t in alive if not t.model)


FATES = {
    "passed": (Status.PASSED, Outcome(0.5)),
    "no finite values": (Status.SMOKE_FAILED, Outcome(0.5, 0)),
    "too slow": (Status.TOO_SLOW, Outcome(0.5, 1)),
    "outside the gate": (Status.GATE_FAILED, Outcome(0.03, 2)),
    "crashed": (Status.ERROR, Outcome(1e9, -1)),
    "ineffective": (Status.INEFFECTIVE, Outcome(1e9, -1)),
}


@pytest.mark.parametrize("name", FATES)
def test_what_a_strategy_learns(name: str) -> None:
    status, learned = FATES[name]
    found = world.candidate("a")
    if status is Status.PASSED:
        world.passed(found, 2.0)
    else:
        world.failed(found, status, look=2.0, upper=0.03)
    assert outcome(found) == learned


@pytest.mark.parametrize("objective", Objective)
def test_what_is_to_be_small(objective: Objective) -> None:
    found = world.candidate("a")
    world.passed(found, 2.0, size=7)
    assert outcome(found, objective).value == (7 if objective is Objective.MEMORY else 0.5)
