"""How often a failure is tried again, and after which pause."""

import pytest

from tightship.agent.failures import (
    ARTIFACT_CORRUPT,
    LOAD_FAILED,
    NO_MEMORY,
    STORE_UNREACHABLE,
    LoadingError,
    pause,
)


@pytest.mark.parametrize("reason", [STORE_UNREACHABLE, NO_MEMORY])
def test_what_may_pass_is_tried_without_end(reason: str) -> None:
    failure = LoadingError(reason, "words").failure
    pauses = [pause(failure, attempts) for attempts in range(1, 15)]
    assert pauses[:5] == [1, 2, 4, 8, 16]
    assert pauses[-1] == 300
    assert pause(failure, 10**6) == 300


@pytest.mark.parametrize("reason", [ARTIFACT_CORRUPT, LOAD_FAILED])
def test_what_will_not_pass_is_tried_three_times(reason: str) -> None:
    failure = LoadingError(reason, "words").failure
    assert [pause(failure, attempts) for attempts in (1, 2, 3, 4)] == [1, 2, None, None]


def test_a_message_fits_into_a_status() -> None:
    assert len(LoadingError(LOAD_FAILED, "x" * 5000).failure.message) == 1024
