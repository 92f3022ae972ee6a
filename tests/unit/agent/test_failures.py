"""How often a failure is tried again, and after which pause."""

import pytest

from tightship.agent.failures import (
    ARTIFACT_CORRUPT,
    LOAD_FAILED,
    NO_MEMORY,
    STORE_UNREACHABLE,
    Crashes,
    LoadingError,
    pause,
)
from tightship.api.failures import MODEL_CRASHED


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


def test_crashes_in_a_row_are_followed_by_growing_pauses() -> None:
    crashes, pauses, now = Crashes(), [], 1000.0
    for _ in range(14):
        crashes = crashes.another(now)
        pauses.append(crashes.pause)
        now += 400
    assert pauses[:5] == [0, 1, 2, 4, 8]
    assert pauses[-1] == 300


def test_a_pause_passes() -> None:
    crashes = Crashes(count=4, last=1000.0)
    assert [crashes.rest(now) for now in (1000.0, 1003.0, 1010.0)] == [4, 1, 0]
    assert Crashes().rest(0.0) == 0


def test_a_calm_time_ends_the_row() -> None:
    assert Crashes(count=5, last=1000.0).another(1700.0) == Crashes(count=1, last=1700.0)


@pytest.mark.parametrize(
    ("crashes", "words"),
    [
        pytest.param(Crashes(1, 0.0), "answering: it is dead; the agent loads it again.", id="one"),
        pytest.param(Crashes(3, 0.0), "(3 times in a row): it is dead", id="three"),
        pytest.param(Crashes(3, 0.0), "loads it again after a pause of 2 s.", id="with-a-pause"),
    ],
)
def test_a_crash_is_told_with_its_cause_and_what_is_done(crashes: Crashes, words: str) -> None:
    failure = crashes.failure("it is dead.")
    assert words in failure.message
    assert (failure.reason, failure.retryable) == (MODEL_CRASHED, True)


def test_what_does_not_come_back_is_tried_without_end() -> None:
    failure = Crashes(1, 0.0).unhealed(LoadingError(LOAD_FAILED, "no such file").failure)
    assert failure.reason == MODEL_CRASHED
    assert "LoadFailed: no such file" in failure.message
    assert pause(failure, 50) == 300
