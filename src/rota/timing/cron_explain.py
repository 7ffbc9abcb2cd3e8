"""A cron schedule as a sentence. Works from the parsed sets, so `1-5` and `1,2,3,4,5` read alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rota.timing.cron_parse import Fields

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_ORDER = ("", "first", "second", "third", "fourth", "fifth")

_FEW_TIMES = 6  # up to here the times of a day are listed one by one


def explain(fields: Fields, zone: str) -> str:
    """The sentence, with the zone where it makes a difference."""
    clock, listed = _clock(fields)
    days = _days(fields)
    months = _months(fields.month)
    parts = [clock]
    if days:
        parts.append(days)
    elif months:
        parts.append(f"every day in {months}" if listed else f"in {months}")
    elif listed:
        parts.append("every day")
    sentence = " ".join(parts)
    if listed or days or months or len(fields.hour) < 24:
        sentence += f" ({zone})" if zone == "UTC" else f" ({zone} time)"
    return sentence[0].upper() + sentence[1:] + "."


def _clock(fields: Fields) -> tuple[str, bool]:
    """The part about the time of day, and whether it lists plain times."""
    seconds, minutes, hours = sorted(fields.second), sorted(fields.minute), sorted(fields.hour)
    if len(seconds) * len(minutes) * len(hours) <= _FEW_TIMES:
        times = [_time(h, m, s, seconds != [0]) for h in hours for m in minutes for s in seconds]
        return f"at {_and(times)}", True
    if len(seconds) > 1:
        phrase = _rate(seconds, 60, "second", "minute")
        if len(minutes) < 60:
            phrase = phrase.removesuffix(" of every minute")
            if len(minutes) == 1 and len(hours) <= _FEW_TIMES:
                return f"{phrase} within the minute {_and([_time(hour, minutes[0]) for hour in hours])}", False
            phrase += f" in {_rate(minutes, 60, 'minute', 'hour', within=True)}"
        return phrase + _in_hours(hours), False
    second = f" and {seconds[0]} seconds" if seconds[0] else ""
    if len(minutes) > 1:
        at = f", {seconds[0]} seconds past the minute" if second else ""
        return _rate(minutes, 60, "minute", "hour") + at + _in_hours(hours), False
    return _hourly(hours, minutes[0], second)


def _hourly(hours: list[int], minute: int, second: str) -> tuple[str, bool]:
    """One minute of many hours."""
    past = "on the hour" if minute == 0 and not second else f"{minute} minutes{second} past the hour"
    step = _step(hours, 24)
    if len(hours) == 24:
        return f"every hour, {past}", False
    if step > 1 and hours[0] == 0 and 24 % step == 0:
        return f"every {step} hours, {past}", False
    if _runs(hours) == [(hours[0], hours[-1])] and not second:
        return f"every hour from {_time(hours[0], minute)} to {_time(hours[-1], minute)}", False
    if second:
        return f"{past} at {_and([f'{hour:02}h' for hour in hours])}", False
    return f"at {_and([_time(hour, minute) for hour in hours])}", True


def _in_hours(hours: list[int]) -> str:
    step = _step(hours, 24)
    if len(hours) == 24:
        return ""
    if step > 1 and hours[0] == 0 and 24 % step == 0:
        return f" in every {_ordinal(step)} hour from midnight"
    return " " + _and([f"from {first:02}:00 to {last:02}:59" for first, last in _runs(hours)])


def _rate(values: list[int], size: int, unit: str, whole: str, within: bool = False) -> str:
    """`every 15 minutes`, or the values one by one; `within` phrases it as the frame of something smaller."""
    step = _step(values, size)
    if len(values) == size:
        return f"every {unit}"
    if not step:
        listed = _listed(values)
        units = unit if len(values) == 1 else f"{unit}s"
        return f"{'' if within else 'at '}{units} {listed} of every {whole}"
    start = f", from {unit} {values[0]}" if values[0] else "" if size % step == 0 else f", anew each {whole}"
    return f"every {_ordinal(step)} {unit}{start}" if within else f"every {step} {unit}s{start}"


def _days(fields: Fields) -> str:
    """The part about dates and weekdays; empty when every day counts."""
    dates, weekdays = _dates(fields), _weekdays(fields)
    months = _months(fields.month)
    of_month = f" of {months}" if months else " of every month"
    in_month = f" in {months}" if months else ""
    if fields.either:
        if not dates or not weekdays:
            return ""
        return f"on {dates}{of_month}, and also {_on(weekdays)}{in_month}"
    if dates and weekdays:
        return f"on {dates}{of_month} if that is {_any_of(fields, weekdays)}"
    if dates:
        return f"on {dates}{of_month}"
    if not weekdays:
        return ""
    return _on(weekdays) + (of_month if "the " in weekdays else in_month)


def _dates(fields: Fields) -> str:
    days = sorted(fields.day)
    if len(days) == 31:
        return ""
    step = _step(days, 32)
    if step and len(days) > 4:
        named = [f"every {_ordinal(step)} day counted from the {_ordinal(days[0])}"]
    else:
        named = [f"the {_ordinal(a)}" if a == b else f"the {_ordinal(a)} to the {_ordinal(b)}" for a, b in _runs(days)]
    named += [f"the working day nearest the {_ordinal(day)}" for day in sorted(fields.near)]
    if fields.last_workday:
        named.append("the last working day")
    if fields.last_day:
        named.append("the last day")
    return _and(named)


def _weekdays(fields: Fields) -> str:
    if len(fields.weekday) == 7:
        return ""
    week = sorted((day or 7) for day in fields.weekday)  # a week is said from Monday on
    named = []
    for first, last in _runs(week):
        if last - first >= 2:
            named.append(f"{_weekday(first)} to {_weekday(last)}")
        else:
            named += [_weekday(day) for day in range(first, last + 1)]
    named += [f"the {_ORDER[count]} {_weekday(day)}" for day, count in sorted(fields.nth, key=lambda n: (n[1], n[0]))]
    named += [f"the last {_weekday(day)}" for day in sorted(fields.last_weekdays)]
    return _and(named)


def _on(weekdays: str) -> str:
    if weekdays.startswith("the "):
        return f"on {weekdays}"
    return f"from {weekdays}" if " to " in weekdays and " and " not in weekdays else f"every {weekdays}"


def _any_of(fields: Fields, weekdays: str) -> str:
    single = len(fields.weekday) == 1 and not fields.nth and not fields.last_weekdays
    return f"a {weekdays}" if single else weekdays.replace(" and ", " or ")


def _months(months: frozenset[int]) -> str:
    if len(months) == 12:
        return ""
    named = []
    for first, last in _runs(sorted(months)):
        if last - first >= 2:
            named.append(f"{_MONTHS[first - 1]} to {_MONTHS[last - 1]}")
        else:
            named += [_MONTHS[month - 1] for month in range(first, last + 1)]
    return _and(named)


def _weekday(day: int) -> str:
    return _WEEKDAYS[day % 7]


def _time(hour: int, minute: int, second: int = 0, seconds: bool = False) -> str:
    return f"{hour:02}:{minute:02}:{second:02}" if seconds else f"{hour:02}:{minute:02}"


def _listed(values: list[int]) -> str:
    """Numbers, with three or more neighbours as a range."""
    words = []
    for first, last in _runs(values):
        words += [f"{first} to {last}"] if last - first >= 2 else [str(n) for n in range(first, last + 1)]
    return _and(words)


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def _runs(values: Iterable[int]) -> list[tuple[int, int]]:
    """Neighbours joined: 1 2 3 7 -> (1, 3), (7, 7)."""
    runs: list[tuple[int, int]] = []
    for value in values:
        if runs and runs[-1][1] == value - 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    return runs


def _step(values: list[int], end: int) -> int:
    """The step, above 1, that the values keep up to `end`; else 0."""
    if len(values) == 2:
        return end // 2 if values == [0, end // 2] else 0  # two are a step only when they halve the whole, as 0 and 30
    if len(values) < 2:
        return 0
    step = values[1] - values[0]
    return step if step > 1 and values == list(range(values[0], end, step)) else 0


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
