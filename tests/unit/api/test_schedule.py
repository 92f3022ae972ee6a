"""Schedules: which minute comes next, and what is refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.api import schedule

# Each: the schedule, a time, and the first minute after it. 2026-11-23 is a Monday.
NEXT = {
    "every minute": ("* * * * *", "2026-11-23T03:45:30", "2026-11-23T03:46:00"),
    "the minute itself is past": ("45 3 * * *", "2026-11-23T03:45:00", "2026-11-24T03:45:00"),
    "Mondays": ("0 3 * * 1", "2026-11-23T03:00:00", "2026-11-30T03:00:00"),
    "Sunday is 0": ("0 3 * * 0", "2026-11-23T00:00:00", "2026-11-29T03:00:00"),
    "Sunday is 7": ("0 3 * * 7", "2026-11-23T00:00:00", "2026-11-29T03:00:00"),
    "steps": ("*/20 * * * *", "2026-11-23T03:41:00", "2026-11-23T04:00:00"),
    "a range": ("0 9-11 * * *", "2026-11-23T10:30:00", "2026-11-23T11:00:00"),
    "a list": ("0 0 1,15 * *", "2026-11-02T00:00:00", "2026-11-15T00:00:00"),
    "a month": ("0 0 1 2 *", "2026-11-23T00:00:00", "2027-02-01T00:00:00"),
    "either day": ("0 0 30 * 2", "2026-11-25T00:00:00", "2026-11-30T00:00:00"),
    "either weekday": ("0 0 30 * 2", "2026-11-23T00:00:00", "2026-11-24T00:00:00"),
    "a step of days says something": ("0 0 */10 * 2", "2026-12-02T00:00:00", "2026-12-08T00:00:00"),
    "a leap day": ("0 0 29 2 *", "2026-11-23T00:00:00", "2028-02-29T00:00:00"),
    "a leap day around 2100": ("0 0 29 2 *", "2096-03-01T00:00:00", "2104-02-29T00:00:00"),
}


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("case", NEXT)
def test_next_minute(case: str) -> None:
    text, time, expected = NEXT[case]
    assert schedule.parse(text).after(seconds(time)) == seconds(expected)


REFUSED = {
    "four fields": ("0 3 * *", "five fields"),
    "two spaces": ("0  3 * * 1", "five fields"),
    "a name": ("0 3 * * MON", "as weekday"),
    "a minute too many": ("60 3 * * *", "within 0-59"),
    "no day 0": ("0 3 0 * *", "within 1-31"),
    "a range backwards": ("0 5-3 * * *", "in order"),
    "a range of one": ("0 5-5 * * *", "in order"),
    "steps from a number": ("5/20 * * * *", "as minute"),
    "steps of a range": ("0 9-17/2 * * *", "as hour"),
    "no step": ("*/0 * * * *", "in order"),
    "an empty part": ("0, * * * *", "as minute"),
    "no such day": ("0 0 31 2 *", "never comes"),
    "too long": ("* * * * 0" + ",0" * 46, "100 characters"),
    "a macro": ("@daily", "five fields"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    text, says = REFUSED[case]
    with pytest.raises(ValueError, match=says):
        schedule.parse(text)


@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    step=st.integers(1, 59),
    time=st.integers(0, 4_000_000_000),
)
def test_the_next_minute_is_named_and_none_before_it_is(
    minute: int, hour: int, step: int, time: int
) -> None:
    found = schedule.parse(f"*/{step},{minute} {hour} * * *")
    after = found.after(time)
    assert time < after <= time + 2 * 86400
    moment = datetime.fromtimestamp(after, tz=UTC)
    assert moment.hour == hour
    assert moment.minute == minute or moment.minute % step == 0
    begin = int(time // 60 + 1) * 60
    for earlier in range(max(begin, int(after) - 7200), int(after), 60):
        past = datetime.fromtimestamp(earlier, tz=UTC)
        assert not (past.hour == hour and (past.minute == minute or past.minute % step == 0))
