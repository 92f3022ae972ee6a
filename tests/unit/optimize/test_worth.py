"""Which recipes are still worth building, by what became of those before them."""

import pytest

from tightship.optimize import worth
from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.techniques import Recipe, Spoilt

BOTH = frozenset(Spoilt)
ACCURACY = frozenset({Spoilt.ACCURACY})
LEAST = 1.05


def recipe(
    after: str | None = None, unless: tuple[str, ...] = (), repairs: frozenset[Spoilt] = BOTH
) -> Recipe:
    return Recipe(id="new", technique="T", passes=(), after=after, unless=unless, repairs=repairs)


def tried(**statuses: Status) -> dict[str, Candidate]:
    return {
        name: Candidate(name, "T", status=status, reason=f"it is {status}")
        for name, status in statuses.items()
    }


def passed(look: float) -> dict[str, Candidate]:
    """One that passed with this speed-up in the quick look."""
    return {"a": Candidate("a", "T", status=Status.PASSED, verdicts={"lookSpeedup": look})}


CASES = {
    "refers to none": (recipe(), tried(), ""),
    "after one that passed": (recipe(after="a"), tried(a=Status.PASSED), ""),
    "after one that failed": (recipe(after="a"), tried(a=Status.TOO_SLOW), "it is tooSlow"),
    "unless one that passed": (recipe(unless=("a",)), tried(a=Status.PASSED), "a passed"),
    "unless one that is surely faster": (recipe(unless=("a",)), passed(LEAST * 1.1), "a passed"),
    "one that is faster at most by what a quick look may be wrong by": (
        recipe(unless=("a",)),
        passed(LEAST * 1.07),
        "",
    ),
    "hardly faster, and accuracy is repaired": (
        recipe(unless=("a",), repairs=ACCURACY),
        passed(LEAST),
        "a passed",
    ),
    "another attempt passed": (
        recipe(unless=("a", "b")),
        tried(a=Status.GATE_FAILED, b=Status.PASSED),
        "b passed",
    ),
    "another attempt failed": (
        recipe(unless=("a", "b")),
        tried(a=Status.GATE_FAILED, b=Status.GATE_FAILED),
        "",
    ),
    "another attempt was too slow": (
        recipe(unless=("a", "b"), repairs=ACCURACY),
        tried(a=Status.GATE_FAILED, b=Status.TOO_SLOW),
        "",
    ),
    "lost accuracy": (recipe(unless=("a",)), tried(a=Status.GATE_FAILED), ""),
    "gave no finite answer": (recipe(unless=("a",)), tried(a=Status.SMOKE_FAILED), ""),
    "lost speed": (recipe(unless=("a",)), tried(a=Status.TOO_SLOW), ""),
    "lost speed, and accuracy is repaired": (
        recipe(unless=("a",), repairs=ACCURACY),
        tried(a=Status.TOO_SLOW),
        "a is too slow",
    ),
    "lost accuracy, and speed is repaired": (
        recipe(unless=("a",), repairs=frozenset({Spoilt.SPEED})),
        tried(a=Status.GATE_FAILED),
        "a loses accuracy",
    ),
    "could not be built": (recipe(unless=("a",)), tried(a=Status.ERROR), "it is error"),
    "changed nothing": (recipe(unless=("a",)), tried(a=Status.INEFFECTIVE), "it is ineffective"),
    "needless itself": (recipe(unless=("a",)), tried(a=Status.INELIGIBLE), "it is ineligible"),
}


@pytest.mark.parametrize("name", CASES)
def test_needless(name: str) -> None:
    asked, before, reason = CASES[name]
    found = worth.needless(asked, before, LEAST)
    assert bool(found) == bool(reason)
    assert reason in found
