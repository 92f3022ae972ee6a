"""All points that a search may try for one model: each a technique with a value for every knob."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from tightship.optimize import techniques
from tightship.optimize.techniques import Facts, Recipe, Space


@dataclass(frozen=True, slots=True)
class Point:
    """One choice: the space's id, and the word of the chosen value for each of its knobs."""

    space: str
    words: tuple[str, ...]

    @property
    def id(self) -> str:
        """The candidate's id; by its dots none of the curated list has it."""
        return ".".join((self.space, *self.words))


def spaces(facts: Facts) -> list[Space]:
    """What the techniques have to offer for this model, in their own order."""
    found = (techniques.technique(name).space(facts) for name in techniques.MODULES)
    return [space for space in found if space is not None]


def points(found: Sequence[Space]) -> Iterator[Point]:
    """Every point, in a fixed order."""
    for space in found:
        for words in itertools.product(*(knob.choices for knob in space.knobs)):
            yield Point(space.id, words)


def recipe(found: Sequence[Space], point: Point) -> Recipe:
    """The candidate that a point stands for."""
    space = next(space for space in found if space.id == point.space)
    chosen = zip(space.knobs, point.words, strict=True)
    return space.recipe(point.id, {knob.name: knob.choices[word] for knob, word in chosen})


def identity(recipe: Recipe) -> str:
    """Equal for recipes of one result, whatever they are called."""
    passes = [{"name": step.name, "params": dict(step.params)} for step in recipe.passes]
    engine = asdict(recipe.engine)
    return json.dumps({"engine": engine, "passes": passes}, sort_keys=True)
