"""Where an expression matches on the wall clock, zones left aside. Wall time is seconds since 1970-01-01 00:00."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import NamedTuple

from rota.timing.cron_days import NONE, Steps, matching_days, month_length, steps
from rota.timing.cron_parse import Fields, parse

DAY = 86400
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_FIRST_DAY = date.min.toordinal() - _EPOCH_ORDINAL
_LAST_DAY = date.max.toordinal() - _EPOCH_ORDINAL
_THURSDAY = 4  # 1970-01-01, counting from Sunday = 0


class _Month(NamedTuple):
    """A month and its matching days; `start` and `end` are days since 1970-01-01, `days` counts from 0 = the 1st."""

    start: int
    end: int
    days: Steps
    year: int
    month: int


class WallTimes:
    """The matches of one expression, forwards and backwards. Immutable but for what it remembers of the last month."""

    __slots__ = ("_by_shape", "_hours", "_minutes", "_month", "_months", "_seconds", "_start", "_stop", "fields")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self._seconds = steps(fields.second, 60)
        self._minutes = steps(fields.minute, 60)
        self._hours = steps(fields.hour, 24)
        self._months = steps(fields.month, 13)
        self._start = self._hours.first * 3600 + self._minutes.first * 60 + self._seconds.first
        self._stop = self._hours.last * 3600 + self._minutes.last * 60 + self._seconds.last
        self._by_shape: dict[tuple[int, int], Steps] = {}
        self._month = self._load(1970, 1)

    def next(self, wall: int) -> int | None:
        """The first match at or after `wall`; None past the year 9999."""
        day, rest = divmod(wall, DAY)
        month = self._month
        if not month[0] <= day < month[1]:
            if day > _LAST_DAY:
                return None
            if day < _FIRST_DAY:
                day, rest = _FIRST_DAY, 0
            month = self._month_of(day)
        start, _, days, _, _ = month
        later_days = days.later
        index = day - start
        if later_days[index] == index:
            found = self._later_today(rest)
            if found != NONE:
                return day * DAY + found
        index = later_days[index + 1]
        if index == NONE:
            return self._in_later_month(month)
        return (start + index) * DAY + self._start

    def _later_today(self, second_of_day: int) -> int:
        """The first matching second of a day at or after this one, or NONE."""
        hour, rest = divmod(second_of_day, 3600)
        later_hours = self._hours.later
        if later_hours[hour] == hour:
            minute, second = divmod(rest, 60)
            later_minutes = self._minutes.later
            if later_minutes[minute] == minute:
                second = self._seconds.later[second]
                if second != NONE:
                    return hour * 3600 + minute * 60 + second
            minute = later_minutes[minute + 1]
            if minute != NONE:
                return hour * 3600 + minute * 60 + self._seconds.first
        hour = later_hours[hour + 1]
        return NONE if hour == NONE else hour * 3600 + self._minutes.first * 60 + self._seconds.first

    def prev(self, wall: int) -> int | None:
        """The last match at or before `wall`; None before the year 1."""
        day, rest = divmod(wall, DAY)
        month = self._month
        if not month[0] <= day < month[1]:
            if day < _FIRST_DAY:
                return None
            if day > _LAST_DAY:
                day, rest = _LAST_DAY, DAY - 1
            month = self._month_of(day)
        start, _, days, _, _ = month
        earlier_days = days.earlier
        index = day - start
        if earlier_days[index] == index:
            found = self._earlier_today(rest)
            if found != NONE:
                return day * DAY + found
        index = earlier_days[index - 1]
        if index == NONE:
            return self._in_earlier_month(month)
        return (start + index) * DAY + self._stop

    def _earlier_today(self, second_of_day: int) -> int:
        """The last matching second of a day at or before this one, or NONE."""
        hour, rest = divmod(second_of_day, 3600)
        earlier_hours = self._hours.earlier
        if earlier_hours[hour] == hour:
            minute, second = divmod(rest, 60)
            earlier_minutes = self._minutes.earlier
            if earlier_minutes[minute] == minute:
                second = self._seconds.earlier[second]
                if second != NONE:
                    return hour * 3600 + minute * 60 + second
            minute = earlier_minutes[minute - 1]
            if minute != NONE:
                return hour * 3600 + minute * 60 + self._seconds.last
        hour = earlier_hours[hour - 1]
        return NONE if hour == NONE else hour * 3600 + self._minutes.last * 60 + self._seconds.last

    def _in_later_month(self, month: _Month) -> int | None:
        year, number = month.year, month.month
        while True:
            number = self._months.later[number + 1]
            if number == NONE:
                year, number = year + 1, self._months.first
                if year > 9999:
                    return None
            month = self._load(year, number)
            if month.days.first != NONE:
                self._month = month
                return (month.start + month.days.first) * DAY + self._start

    def _in_earlier_month(self, month: _Month) -> int | None:
        year, number = month.year, month.month
        while True:
            number = self._months.earlier[number - 1]
            if number == NONE:
                year, number = year - 1, self._months.last
                if year < 1:
                    return None
            month = self._load(year, number)
            if month.days.last != NONE:
                self._month = month
                return (month.start + month.days.last) * DAY + self._stop

    def _month_of(self, day: int) -> _Month:
        date_of_day = date.fromordinal(day + _EPOCH_ORDINAL)
        month = self._month = self._load(date_of_day.year, date_of_day.month)
        return month

    def _load(self, year: int, month: int) -> _Month:
        start = date(year, month, 1).toordinal() - _EPOCH_ORDINAL
        length = month_length(year, month)
        if self._months.later[month] != month:
            return _Month(start, start + length, steps(frozenset(), 31), year, month)
        shape = ((start + _THURSDAY) % 7, length)
        days = self._by_shape.get(shape)
        if days is None:
            matching = matching_days(self.fields, *shape)
            days = self._by_shape[shape] = steps(frozenset(day - 1 for day in matching), 31)
        return _Month(start, start + length, days, year, month)


@lru_cache(maxsize=4096)
def wall_times(expression: str) -> WallTimes:
    """Parse once per text, however many jobs use it.

    Raises:
        CronError: the text is not the dialect, or names no date that exists.
    """
    return WallTimes(parse(expression))
