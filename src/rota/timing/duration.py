"""Durations as people write them, and back: "120s", "15m", "1h30m", "500ms", a plain number."""

from __future__ import annotations

from datetime import timedelta

from rota.errors import SpecError

# Seconds per unit, largest first: the order in which they may be written.
UNITS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_HINT = 'write it as "500ms", "90s", "15m", "1h30m" or "2d"'


class DurationError(SpecError, ValueError):
    """A text that is no length of time."""

    code = "duration"


def parse_duration(given: str | float | timedelta, unit: str = "s") -> float:
    """Seconds.

    Args:
        given: numbers with units, largest unit first (`1h30m`, blanks allowed between), a timedelta, or a plain number.
        unit: what a plain number counts: "s", or "ms" where PM2's files do.

    Raises:
        DurationError: anything else, negative numbers and infinities included.
    """
    if isinstance(given, timedelta):
        return _checked(given.total_seconds(), given)
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return _checked(given * UNITS[unit], given)
    if not isinstance(given, str):
        raise DurationError(f"{given!r} is not a duration", _HINT)
    text = given.strip().lower()
    number, rest = _number(text)
    if number is not None and not rest:
        return _checked(number * UNITS[unit], given)
    return _checked(_sum_of_parts(text, given), given)


def _sum_of_parts(text: str, given: str) -> float:
    total, allowed = 0.0, list(UNITS)
    if not text:
        raise DurationError("an empty text is not a duration", _HINT)
    while text:
        number, text = _number(text)
        length = next((n for n in (2, 1) if text[:n] in UNITS and not text[n : n + 1].isalpha()), 0)
        name = text[:length]
        if number is None or not name:
            raise DurationError(f"{given!r} is not a duration", _HINT)
        if name not in allowed:
            raise DurationError(f"{given!r}: units run from large to small, each once", _HINT)
        total += number * UNITS[name]
        allowed = allowed[allowed.index(name) + 1 :]
        text = text[length:].lstrip()
    return total


def _number(text: str) -> tuple[float | None, str]:
    """A leading decimal number and what follows it."""
    end = 0
    while end < len(text) and (text[end] in "0123456789" or (text[end] == "." and "." not in text[:end])):
        end += 1
    digits = text[:end]
    if not digits.strip("."):
        return None, text
    return float(digits), text[end:].lstrip()


def _checked(seconds: float, given: object) -> float:
    if not 0 <= seconds < 1e11:  # three thousand years; also refuses nan
        raise DurationError(f"{given!r} is not a duration: it must be zero or more, and finite", _HINT)
    return round(seconds, 9)  # 3 x 0.1 ms is 0.3 ms, not 0.30000000000000004


def format_duration(seconds: float) -> str:
    """The shortest exact form down to milliseconds, as `parse_duration` reads it: 5400 -> "1h30m"."""
    left = round(seconds * 1000)
    if left <= 0:
        return "0s"
    parts = []
    for name, size in UNITS.items():
        count, left = divmod(left, round(size * 1000))
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts)


def spell_duration(seconds: float) -> str:
    """For sentences: 900 -> "15 minutes", 86400 -> "day", 5400 -> "1 hour 30 minutes"."""
    words = {"w": "week", "d": "day", "h": "hour", "m": "minute", "s": "second", "ms": "millisecond"}
    parts = []
    left = round(seconds * 1000)
    for name, size in UNITS.items():
        count, left = divmod(left, round(size * 1000))
        if count:
            parts.append(f"{count} {words[name]}{'' if count == 1 else 's'}")
    if len(parts) == 1 and parts[0].startswith("1 "):
        return parts[0][2:]
    return " ".join(parts) if parts else "0 seconds"
