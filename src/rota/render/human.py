"""Sizes, percents, spans of time and instants as people read them, in PM2's notation where PM2 has one."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime, tzinfo

MINUTE = 60
HOUR = 3600
DAY = 86400

# PM2's units: the largest whose count is above one is shown, so 119s and then 2m.
_UPTIME = ((365 * DAY, "Y"), (30 * DAY, "M"), (DAY, "D"), (HOUR, "h"), (MINUTE, "m"))
_BYTES = ((1 << 40, "tb"), (1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb"))
_SPANS = ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "m"), (MINUTE, "m", 1, "s"))


def uptime_word(seconds: float) -> str:
    """PM2's uptime: `59s`, `119s`, `2m`, `2h`, `2D`, `2M`, `2Y`. Negative (a clock that was set back) is `0s`."""
    whole = max(int(seconds), 0)
    for unit, letter in _UPTIME:
        count = whole // unit
        if count > 1:
            return f"{count}{letter}"
    return f"{whole}s"


def bytes_word(size: int) -> str:
    """PM2's size: `0b`, `512b`, `1.0kb`, `51.3mb`, `1.5gb`; binary units, one decimal, halves rounded up."""
    for unit, name in _BYTES:
        if size >= unit:
            tenths = (20 * size + unit) // (2 * unit)
            return f"{tenths // 10}.{tenths % 10}{name}"
    return f"{size}b"


def percent(value: float) -> str:
    """`0%`, `0.3%`, `100%`: one decimal at most."""
    rounded = round(value, 1)
    whole = int(rounded)
    return f"{whole}%" if whole == rounded else f"{rounded}%"


def duration(seconds: float) -> str:
    """A span for people, two units at most: `120ms`, `4.2s`, `42s`, `1m 20s`, `3h 5m`, `2d 4h`."""
    seconds = max(seconds, 0.0)
    if seconds < 0.9995:
        return f"{round(seconds * 1000)}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s".replace(".0s", "s")
    whole = int(seconds + 0.5)
    for big, big_name, small, small_name in _SPANS:
        if whole >= big:
            rest = whole % big // small
            return f"{whole // big}{big_name} {rest}{small_name}" if rest else f"{whole // big}{big_name}"
    return f"{whole}s"


def span(seconds: float) -> str:
    """A span in its largest unit: `42s`, `5m`, `18h`, `3d`."""
    whole = max(int(seconds), 0)
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        if whole >= 2 * unit or (whole >= unit and whole % unit == 0):
            return f"{whole // unit}{name}"
    return f"{whole}s"


def age(seconds: float) -> str:
    """How long ago: `now` within a second, else `5h ago`."""
    return "now" if seconds < 1 else f"{span(seconds)} ago"


def ahead(seconds: float) -> str:
    """How far ahead: `now` when due, else `in 18h`."""
    return "now" if seconds < 1 else f"in {span(seconds)}"


def instant(at: float, zone: tzinfo | None = None) -> datetime:
    """The wall time of an instant; `zone` None means the zone of this machine."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).astimezone(zone)


def clock_time(at: float, now: float, zone: tzinfo | None = None) -> str:
    """An instant as short as it is unambiguous from `now`: `02:00`, `Thu 02:00`, `12 Mar 02:00`, `12 Mar 2027 02:00`."""
    then, today = instant(at, zone), _day(now, zone)
    clock = f"{then.hour:02d}:{then.minute:02d}"
    days = then.toordinal() - today.toordinal()
    if not days:
        return clock
    if abs(days) < 7:
        return f"{then:%a} {clock}"
    return f"{then.day} {then:%b} {clock}" if then.year == today.year else f"{then.day} {then:%b %Y} {clock}"


@lru_cache(maxsize=4)
def _day(now: float, zone: tzinfo | None) -> date:
    # The same for every row of a long list.
    return instant(now, zone).date()


def stamp(at: float, zone: tzinfo | None = None) -> str:
    """An instant in full, with its offset: `2026-01-31 20:24:07 +01:00`."""
    then = instant(at, zone)
    offset = f"{then:%z}"
    return f"{then:%Y-%m-%d %H:%M:%S} {offset[:3]}:{offset[3:5]}"


def iso_ms(at: float) -> str:
    """JavaScript's ISO form in UTC: `2026-01-31T20:24:07.704Z`."""
    from datetime import UTC, datetime, timedelta

    then = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis(at))
    return f"{then:%Y-%m-%dT%H:%M:%S}.{then.microsecond // 1000:03d}Z"


def millis(seconds: float) -> int:
    """Seconds as whole milliseconds, as PM2's records have them."""
    return int(seconds * 1000 + 0.5)


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 app`, `3 apps`; `many` for nouns that do not just take an s."""
    return f"{count} {noun if count == 1 else many or noun + 's'}"
