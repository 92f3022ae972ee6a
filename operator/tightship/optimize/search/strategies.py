"""Which point comes next: in order, by chance, or by what was found so far (TPE).

A strategy never asks for a point twice, nor for one that it was told of. With the same seed and the
same outcomes it asks for the same points.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tightship.api.v1alpha1 import SearchStrategy
from tightship.optimize.search.space import Point, points
from tightship.optimize.techniques import Space

if TYPE_CHECKING:
    import optuna

SEED = 0
_REPEATS = 8  # times that TPE may propose what is known, before a point is drawn by chance


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a point fared; smaller `value` is better.

    `stage` is None for a point that passed every stage, whose value is its relative latency; else
    the number of the stage that stopped it (the later the better), -1 where it was not even built.
    """

    value: float
    stage: int | None = None


class Strategy(Protocol):
    """Proposes points and learns from outcomes."""

    def ask(self) -> Point | None:
        """The next point; None when all were tried."""
        ...

    def tell(self, point: Point, outcome: Outcome) -> None:
        """What became of a point, asked for or not."""
        ...


class InOrder:
    """Points as they stand; what comes is not influenced by what was found."""

    def __init__(self, order: Sequence[Point]) -> None:
        self._left = dict.fromkeys(order)

    def ask(self) -> Point | None:
        """The first one left."""
        return next(iter(self._left), None)

    def tell(self, point: Point, outcome: Outcome) -> None:
        """Strike it off."""
        del outcome
        self._left.pop(point, None)


class Tpe:
    """Tree-structured Parzen estimator of Optuna: first the technique, then its knobs.

    Points that a stage stopped are told as pruned, with the stage and the value there, so that the
    estimator prefers what came further.
    """

    def __init__(self, spaces: Sequence[Space], seed: int, startup: int) -> None:
        import optuna  # noqa: PLC0415 (takes a second, and only this strategy needs it)

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna = optuna
        self._spaces = {space.id: space for space in spaces}
        self._left = dict.fromkeys(points(spaces))
        self._chance = random.Random(seed)  # noqa: S311 (not a secret)
        self._asked: dict[Point, optuna.trial.Trial] = {}
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
        self._study = optuna.create_study(sampler=sampler)

    def ask(self) -> Point | None:
        """What the estimator expects most of; by chance where it repeats itself."""
        if not self._left:
            return None
        for _ in range(_REPEATS):
            trial = self._study.ask()
            point = self._drawn(trial)
            if point in self._left:
                self._asked[point] = trial
                return point
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)  # not learned from
        point = self._chance.choice(list(self._left))
        self._asked[point] = self._trial(point)
        return point

    def tell(self, point: Point, outcome: Outcome) -> None:
        """Learn."""
        self._left.pop(point, None)
        trial = self._asked.pop(point) if point in self._asked else self._trial(point)
        self._close(trial, outcome)

    def _drawn(self, trial: "optuna.trial.Trial") -> Point:
        space = self._spaces[trial.suggest_categorical("space", list(self._spaces))]
        words = (
            trial.suggest_categorical(f"{space.id}.{knob.name}", list(knob.choices))
            for knob in space.knobs
        )
        return Point(space.id, tuple(words))

    def _trial(self, point: Point) -> "optuna.trial.Trial":
        """A trial of just this point."""
        knobs = self._spaces[point.space].knobs
        words = zip(knobs, point.words, strict=True)
        fixed = {f"{point.space}.{knob.name}": word for knob, word in words}
        self._study.enqueue_trial({"space": point.space, **fixed})
        trial = self._study.ask()
        self._drawn(trial)
        return trial

    def _close(self, trial: "optuna.trial.Trial", outcome: Outcome) -> None:
        state = self._optuna.trial.TrialState
        if outcome.stage is None:
            self._study.tell(trial, outcome.value)
        else:
            trial.report(outcome.value, outcome.stage + 1)
            self._study.tell(trial, state=state.PRUNED)


_STARTUP = 8  # points by chance before TPE estimates


def strategy(name: SearchStrategy, spaces: Sequence[Space], seed: int = SEED) -> Strategy:
    """The strategy of that name over all points of the spaces."""
    if name is SearchStrategy.TPE:
        return Tpe(spaces, seed, _STARTUP)
    order = list(points(spaces))
    if name is SearchStrategy.RANDOM:
        random.Random(seed).shuffle(order)  # noqa: S311 (not a secret)
    return InOrder(order)
