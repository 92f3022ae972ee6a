"""Schedules in the five fields of cron, in UTC: minute, hour, day, month, day of the week."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

LONGEST = 100  # characters of a schedule; the schema has the same bound
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_PART = re.compile(r"\*(?:/([0-9]{1,2}))?|([0-9]{1,2})(?:-([0-9]{1,2}))?")
_SUNDAY = 7  # as well as 0
_DAYS_MAX = 4 * 366 + 4 * 366  # February 29th comes within eight years, around 2100 too


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The minutes that it names. As in cron a day fits by either of its fields, if both say one."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    either: bool  # both fields of the day say something

    def fits_day(self, day: datetime) -> bool:
        """Whether the schedule names this day."""
        if day.month not in self.months:
            return False
        by_day, by_weekday = day.day in self.days, day.isoweekday() % _SUNDAY in self.weekdays
        return by_day or by_weekday if self.either else by_day and by_weekday

    def after(self, seconds: float) -> float:
        """The first minute it names after a time; both are seconds since the epoch."""
        start = datetime.fromtimestamp(seconds, tz=UTC).replace(second=0, microsecond=0)
        start += timedelta(minutes=1)
        midnight = start.replace(hour=0, minute=0)
        times = sorted((hour, minute) for hour in self.hours for minute in self.minutes)
        for number in range(_DAYS_MAX):
            day = midnight + timedelta(days=number)
            if not self.fits_day(day):
                continue
            for hour, minute in times:
                found = day.replace(hour=hour, minute=minute)
                if found >= start:
                    return found.timestamp()
        raise ValueError("names a day that never comes")


def parse(text: str) -> Schedule:
    """Reads a schedule such as "0 3 * * 1".

    Raises:
        ValueError: with the sentence that a user reads.
    """
    parts = text.split(" ")
    if len(text) > LONGEST:
        raise ValueError(f"must be at most {LONGEST} characters long")
    if len(parts) != len(_FIELDS):
        raise ValueError('must have five fields with one space between them, such as "0 3 * * 1"')
    sets = [_field(part, *field) for part, field in zip(parts, _FIELDS, strict=True)]
    schedule = Schedule(
        minutes=sets[0],
        hours=sets[1],
        days=sets[2],
        months=sets[3],
        weekdays=frozenset(day % _SUNDAY for day in sets[4]),
        either="*" not in (parts[2], parts[4]),
    )
    schedule.after(0)
    return schedule


def _field(text: str, name: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"has '{part[:20]}' as {name}: write numbers, *, 1-5, */10 or 1,15")
        step, first, last = (int(group) if group else None for group in match.groups())
        begin, end = (low, high) if first is None else (first, first if last is None else last)
        if step == 0 or not low <= begin <= end <= high or begin == last:
            raise ValueError(f"has '{part}' as {name}: it must be within {low}-{high}, in order")
        found.update(range(begin, end + 1, step or 1))
    return frozenset(found)
