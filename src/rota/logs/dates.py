"""PURE. Dates written with day.js tokens (`YYYY-MM-DD HH:mm:ss.SSS Z`), the language of `log_date_format` and `dateFormat`.

A format is compiled once; formatting an instant then costs about a microsecond, because all that changes slower than a
second is remembered. Month and day names are English whatever the locale, as in day.js. Text in [brackets] is taken as it
stands. Token tables: https://day.js.org/docs/en/display/format and, for `extended`, https://momentjs.com/docs/#/displaying.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from rota.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

TIME_FORMAT: Final = "YYYY-MM-DDTHH:mm:ss"
"""What `time: true` means."""

MONTHS: Final = tuple(
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
DAYS: Final = tuple("Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split())  # noqa: SIM905

_CORE: Final = r"\[([^\]]*)\]|YYYY|YY|MMMM|MMM|MM|M|DD|D|dddd|ddd|dd|d|HH|H|hh|h|a|A|mm|m|SSS|ss|s|ZZ|Z"
_EXTENDED: Final = r"\[([^\]]*)\]|DDDD|DDD|Do|Q|kk|k|X|x|WW|W|E|S{1,9}|" + _CORE.partition("|")[2]


def _weekday(at: datetime) -> int:
    return at.isoweekday() % 7


def _offset(at: datetime, colon: str) -> str:
    seconds = int((at.utcoffset() or UTC.utcoffset(None)).total_seconds())
    minutes = abs(seconds) // 60
    return f"{'-' if seconds < 0 else '+'}{minutes // 60:02}{colon}{minutes % 60:02}"


def _ordinal(day: int) -> str:
    ending = "th" if 10 < day % 100 < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


_TOKENS: Final[dict[str, Callable[[datetime], str]]] = {
    "YYYY": lambda at: f"{at.year:04}",
    "YY": lambda at: f"{at.year % 100:02}",
    "MMMM": lambda at: MONTHS[at.month - 1],
    "MMM": lambda at: MONTHS[at.month - 1][:3],
    "MM": lambda at: f"{at.month:02}",
    "M": lambda at: str(at.month),
    "DD": lambda at: f"{at.day:02}",
    "D": lambda at: str(at.day),
    "dddd": lambda at: DAYS[_weekday(at)],
    "ddd": lambda at: DAYS[_weekday(at)][:3],
    "dd": lambda at: DAYS[_weekday(at)][:2],
    "d": lambda at: str(_weekday(at)),
    "HH": lambda at: f"{at.hour:02}",
    "H": lambda at: str(at.hour),
    "hh": lambda at: f"{at.hour % 12 or 12:02}",
    "h": lambda at: str(at.hour % 12 or 12),
    "a": lambda at: "am" if at.hour < 12 else "pm",
    "A": lambda at: "AM" if at.hour < 12 else "PM",
    "mm": lambda at: f"{at.minute:02}",
    "m": lambda at: str(at.minute),
    "ss": lambda at: f"{at.second:02}",
    "s": lambda at: str(at.second),
    "Z": lambda at: _offset(at, ":"),
    "ZZ": lambda at: _offset(at, ""),
    "DDDD": lambda at: f"{at.timetuple().tm_yday:03}",
    "DDD": lambda at: str(at.timetuple().tm_yday),
    "Do": lambda at: _ordinal(at.day),
    "Q": lambda at: str((at.month + 2) // 3),
    "kk": lambda at: f"{at.hour or 24:02}",
    "k": lambda at: str(at.hour or 24),
    "X": lambda at: str(int(at.timestamp())),
    "WW": lambda at: f"{at.isocalendar().week:02}",
    "W": lambda at: str(at.isocalendar().week),
    "E": lambda at: str(at.isoweekday()),
}
"""Tokens that stay the same for a whole second."""


class DateFormat:
    """One compiled format: call it with seconds since the epoch, get the text.

    Args:
        text: the format, in day.js tokens.
        zone: the time zone; None is the machine's.
        extended: also moment.js's `Do DDD DDDD Q k kk W WW E X x S...`, which pm2-logrotate's `dateFormat` may use.
    """

    __slots__ = ("_parts", "_pieces", "_second", "_zone", "text")

    def __init__(self, text: str, zone: tzinfo | None = None, *, extended: bool = False) -> None:
        self.text = text
        self._zone = zone
        self._pieces = _pieces(text, extended)
        self._second: int | None = None
        self._parts: list[str] = []

    def __call__(self, epoch: float) -> str:
        second = int(epoch // 1)
        if second != self._second:
            self._parts = self._render(second)
            self._second = second
        if len(self._parts) == 1:
            return self._parts[0]
        # A float carries the microseconds of today exactly enough, not more: round there, then cut to what is asked.
        micros = f"{min(int((epoch - second) * 1e6 + 0.5), 999_999):06}000"
        return "".join(
            part if index % 2 == 0 else (micros[: len(part)] if part[0] == "S" else f"{second}{micros[:3]}")
            for index, part in enumerate(self._parts)
        )

    def __repr__(self) -> str:
        return f"DateFormat({self.text!r})"

    def _render(self, second: int) -> list[str]:
        """The pieces at this second: even places are text, odd ones still wait for the fraction."""
        at = datetime.fromtimestamp(second, self._zone or UTC)
        if self._zone is None:
            at = at.astimezone()
        parts = [""]
        for token, literal in self._pieces:
            if token in _TOKENS:
                parts[-1] += _TOKENS[token](at)
            elif token:
                parts += [token, ""]
            else:
                parts[-1] += literal
        return parts


def _pieces(text: str, extended: bool) -> list[tuple[str, str]]:
    """Cut a format into (token, "") and ("", literal text)."""
    pieces: list[tuple[str, str]] = []
    end = 0
    for found in re.finditer(_EXTENDED if extended else _CORE, text):
        pieces.append(("", text[end : found.start()]))
        pieces.append(("", found[1]) if found[1] is not None else (found[0], ""))
        end = found.end()
    return [*pieces, ("", text[end:])]


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """The time zone of that name. Raises SpecError when there is none."""
    from zoneinfo import ZoneInfo  # the daemon rotates by the machine's own time, if nothing else is said

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:  # KeyError: ZoneInfoNotFoundError
        raise SpecError(f"unknown time zone {name!r}", "use a name such as Europe/Paris or UTC") from error


def iso_utc(epoch: float) -> str:
    """`2026-01-31T20:24:07.704Z`, as JavaScript's toISOString writes it."""
    return _ISO(epoch)


_ISO: Final = DateFormat("YYYY-MM-DDTHH:mm:ss.SSS[Z]", UTC)
