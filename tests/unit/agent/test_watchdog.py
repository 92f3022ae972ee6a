"""When a model is doubted: a table of looks at its count of failures, and what each leads to."""

import itertools
from collections.abc import Sequence

import pytest

from tightship.agent.watchdog import Counts, Watch, look, stands_still

Step = tuple[float, float]  # instant in seconds, failures so far


def _asked(steps: Sequence[Step]) -> list[float]:
    """The instants at which a model with this history is asked."""
    watch: Watch | None = None
    asked = []
    for now, failures in steps:
        watch, ask = look(watch, failures, now)
        asked += [now] if ask else []
    return asked


@pytest.mark.parametrize(
    ("steps", "asked"),
    [
        pytest.param([(0, 0), (2, 0), (4, 0)], [], id="no-failures"),
        pytest.param([(0, 7), (2, 7)], [0], id="failures-of-before-the-first-look"),
        pytest.param([(0, 0), (2, 1)], [2], id="the-first-failure"),
        pytest.param([(0, 0), (2, 1), (4, 1), (6, 1)], [2], id="one-failure-one-question"),
        pytest.param([(0, 0), (2, 1), (4, 1), (6, 2)], [2, 6], id="a-second-one-after-a-calm"),
        pytest.param([(0, 5), (2, 0), (4, 0)], [0], id="a-count-that-begins-anew"),
        pytest.param([(0, 5), (2, 1), (4, 1)], [0, 2], id="failures-after-a-new-beginning"),
        pytest.param(
            [(0, 0), (2, 1), (4, 2), (6, 3), (8, 3)],
            [2, 4, 8],
            id="failures-in-a-pause-are-not-forgotten",
        ),
    ],
)
def test_looks(steps: list[Step], asked: list[float]) -> None:
    assert _asked(steps) == asked


def test_lasting_failures_are_asked_about_ever_less() -> None:
    asked = _asked([(2.0 * n, float(n)) for n in range(120)])
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert pauses[:5] == [2, 4, 8, 16, 32]
    assert set(pauses[5:]) == {32}


@pytest.mark.parametrize(
    ("failures", "executions", "still"),
    [
        pytest.param(4, 9, True, id="only-failures"),
        pytest.param(4, 10, False, id="failures-and-answers"),
        pytest.param(3, 9, False, id="nothing-at-all"),
        pytest.param(3, 10, False, id="only-answers"),
    ],
)
def test_a_model_stands_still(*, failures: float, executions: float, still: bool) -> None:
    before = Counts(failures=3, executions=9)
    assert stands_still(before, Counts(failures=failures, executions=executions)) is still
