"""Which days of a month match. A month is fully described by its first weekday and its length, so 28 tables suffice."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota.timing.cron_parse import Fields

NONE = -1

_LENGTHS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def month_length(year: int, month: int) -> int:
    """Days in a month of the Gregorian calendar."""
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if leap else _LENGTHS[month]


class Steps:
    """Nearest member at or after, and at or before, every number of a small range.

    `later[i]` is the smallest member >= i, `earlier[i]` the largest <= i, or NONE. Both end in one more NONE, so that a
    search may start just after the last value (`later[size]`) or just before the first (`earlier[-1]`).
    """

    __slots__ = ("earlier", "first", "last", "later")

    def __init__(self, members: frozenset[int], size: int) -> None:
        later, found = [NONE] * (size + 1), NONE
        for n in range(size - 1, -1, -1):
            found = n if n in members else found
            later[n] = found
        earlier, found = [NONE] * size, NONE
        for n in range(size):
            found = n if n in members else found
            earlier[n] = found
        self.later = tuple(later)
        self.earlier = (*earlier, NONE)
        self.first = later[0]
        self.last = earlier[-1]


@lru_cache(maxsize=1024)
def steps(members: frozenset[int], size: int) -> Steps:
    """Shared tables: ten thousand jobs at `0 0 * * *` hold one."""
    return Steps(members, size)


def _nearest_workday(day: int, first: int, length: int) -> int:
    """The weekday nearest to `day` inside the month; `first` is the weekday (Sunday = 0) of the 1st."""
    weekday = (first + day - 1) % 7
    if weekday == 6:
        return day - 1 if day > 1 else day + 2
    if weekday == 0:
        return day + 1 if day < length else day - 2
    return day


def _by_date(fields: Fields, first: int, length: int) -> set[int]:
    days = {day for day in fields.day if day <= length}
    days.update(_nearest_workday(day, first, length) for day in fields.near if day <= length)
    if fields.last_day:
        days.add(length)
    if fields.last_workday:
        days.add(_nearest_workday(length, first, length))
    return days


def _by_weekday(fields: Fields, first: int, length: int) -> set[int]:
    days = {day for day in range(1, length + 1) if (first + day - 1) % 7 in fields.weekday}
    for weekday, count in fields.nth:
        day = 1 + (weekday - first) % 7 + 7 * (count - 1)
        if day <= length:
            days.add(day)
    for weekday in fields.last_weekdays:
        days.add(length - (first + length - 1 - weekday) % 7)
    return days


def matching_days(fields: Fields, first: int, length: int) -> frozenset[int]:
    """Days (1-based) that match in a month of `length` days that begins on weekday `first` (Sunday = 0)."""
    by_date, by_weekday = _by_date(fields, first, length), _by_weekday(fields, first, length)
    return frozenset(by_date | by_weekday if fields.either else by_date & by_weekday)


def ever_matches(fields: Fields) -> bool:
    """Whether any day of the calendar matches. Exact: each month meets every first weekday within 400 years, February
    with either length."""
    lengths = {_LENGTHS[month] for month in fields.month} | ({29} if 2 in fields.month else set())
    return any(matching_days(fields, first, length) for length in lengths for first in range(7))
