"""Sizes and durations as people write them. Sizes become bytes (binary units: 1K = 1024), durations seconds.

The forms of a duration are those of `rota.timing`; what a bare number means depends on the file it stands in.
"""

from __future__ import annotations

import re
from typing import Any

from rota.ecosystem.problems import Wrong

_SIZE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([KMGT]?)(?:I?B)?", re.IGNORECASE)
_SIZE_FACTOR = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_NUMBER = re.compile(r"\d+(?:\.\d+)?|\.\d+")

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


def _seconds(value: Any, unit: str, called: str, hint: str) -> float:
    from rota.timing.duration import DurationError, parse_duration

    if not (isinstance(value, str) or is_number(value)):
        raise Wrong(f"must be a time{called}, not {shown(value)}", hint)
    try:
        result = parse_duration(value, unit)
    except DurationError:
        raise Wrong(f"must be a time{called}, not {shown(value)}", hint) from None
    if result > _LONGEST:
        raise Wrong(f"must be a time below 100 years, not {shown(value)}", hint)
    return result


def milliseconds(value: Any) -> float:
    """Seconds from PM2's form: a number, or a numeric text, of milliseconds; a text with a unit is taken too. Raises Wrong."""
    return _seconds(value, "ms", " in milliseconds", _MS_HINT)


def seconds(value: Any) -> float:
    """Seconds from PM2's `--watch-delay`: a bare number is seconds there. Raises Wrong."""
    return _seconds(value, "s", " in seconds", _TIME_HINT)


def duration(value: Any) -> float:
    """Seconds from the native form: a text with its unit. A bare number is refused, as it may mean either. Raises Wrong."""
    bare = value.strip() if isinstance(value, str) else value
    plain = (
        _NUMBER.fullmatch(bare) is not None if isinstance(bare, str) else is_number(bare) and 0 <= bare < float("inf")
    )
    if plain:
        if float(bare) == 0:
            return 0.0
        raise Wrong(f"needs a unit: {bare} may be seconds or milliseconds", f'write "{bare}s" or "{bare}ms"')
    return _seconds(value, "s", "", _TIME_HINT)


def format_size(count: int) -> str:
    """The shortest exact text for a size: `size(format_size(n)) == n`."""
    for unit, factor in (("G", 1024**3), ("M", 1024**2), ("K", 1024)):
        if count and count % factor == 0:
            return f"{count // factor}{unit}"
    return str(count)
