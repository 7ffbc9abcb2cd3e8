"""Sizes and durations as people write them. Sizes become bytes (binary units: 1K = 1024), durations seconds."""

from __future__ import annotations

import re
from typing import Any

from rota.ecosystem.problems import Wrong

_SIZE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([KMGT]?)(?:I?B)?", re.IGNORECASE)
_SIZE_FACTOR = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_NUMBER = re.compile(r"\d+(?:\.\d+)?|\.\d+")
_TERM = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|m|h|d|w)\s*", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

_SIZE_HINT = 'write bytes as a number, or a size such as "512K", "300M" or "1.5G"'
_MS_HINT = 'write milliseconds as a number, or a time such as "500ms", "3s", "2m" or "1h"'
_TIME_HINT = 'write a time such as "500ms", "30s", "10m", "2h" or "1d"'

# Nothing that is awaited or counted in rota is longer than a century; a larger number is a slip of units.
_LONGEST = 100 * 365 * 86400.0


def shown(value: Any) -> str:
    """A value for an error text: its kind, and itself when it is short and plain."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f'the text "{value}"' if len(value) <= 40 else "a long text"
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
    return type(value).__name__


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def size(value: Any) -> int:
    """Bytes from a number or a text such as `300M`. Raises Wrong."""
    if is_number(value) and 0 <= value < float("inf"):
        return int(value)
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return round(float(match[1]) * _SIZE_FACTOR[match[2].upper()])
    raise Wrong(f"must be a size, not {shown(value)}", _SIZE_HINT)


def _terms(text: str) -> float | None:
    """Seconds of `1h30m`, None when the text is not of that form."""
    position, total = 0, 0.0
    while match := _TERM.match(text, position):
        total += float(match[1]) * _SECONDS[match[2].lower()]
        position = match.end()
    return total if position and position == len(text) else None


def _bounded(seconds: float, value: Any) -> float:
    if not 0 <= seconds <= _LONGEST:
        raise Wrong(f"must be a time between 0 and 100 years, not {shown(value)}")
    return seconds


def milliseconds(value: Any) -> float:
    """Seconds from PM2's form: a number, or a numeric text, of milliseconds; a text with a unit is taken too. Raises Wrong."""
    if is_number(value):
        return _bounded(value / 1000, value)
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text):
            return _bounded(float(text) / 1000, value)
        if (seconds := _terms(text)) is not None:
            return _bounded(seconds, value)
    raise Wrong(f"must be a time in milliseconds, not {shown(value)}", _MS_HINT)


def seconds(value: Any) -> float:
    """Seconds from PM2's `--watch-delay`: a bare number is seconds there. Raises Wrong."""
    if is_number(value):
        return _bounded(float(value), value)
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text):
            return _bounded(float(text), value)
        if (total := _terms(text)) is not None:
            return _bounded(total, value)
    raise Wrong(f"must be a time in seconds, not {shown(value)}", _TIME_HINT)


def duration(value: Any) -> float:
    """Seconds from the native form: a text with its unit. A bare number is refused, as it may mean either. Raises Wrong."""
    if is_number(value):
        if value == 0:
            return 0.0
        raise Wrong(f"needs a unit: {value} may be seconds or milliseconds", f'write "{value}s" or "{value}ms"')
    if isinstance(value, str):
        text = value.strip()
        if text == "0":
            return 0.0
        if (total := _terms(text)) is not None:
            return _bounded(total, value)
    raise Wrong(f"must be a time, not {shown(value)}", _TIME_HINT)


def format_duration(seconds: float) -> str:
    """The shortest native text for a duration: `duration(format_duration(x)) == x` to the millisecond."""
    rest = round(seconds * 1000)
    if rest == 0:
        return "0s"
    parts = []
    for unit, factor in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, factor)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def format_size(count: int) -> str:
    """The shortest exact text for a size: `size(format_size(n)) == n`."""
    for unit, factor in (("G", 1024**3), ("M", 1024**2), ("K", 1024)):
        if count and count % factor == 0:
            return f"{count // factor}{unit}"
    return str(count)
