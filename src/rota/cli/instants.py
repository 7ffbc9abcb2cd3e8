"""Points in time as people type them: a date, a date and time, `now`, or how long ago."""

from __future__ import annotations

import re
import time
from datetime import datetime, tzinfo

from rota.errors import UsageError

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds_since_epoch(text: str, now: float | None = None, zone: tzinfo | None = None) -> float:
    """`90s 10m 2h 3d 1w` ago (several may be joined, as 1h30m), `now`, seconds since the epoch, or ISO 8601.

    Args:
        now: the present, seconds since the epoch; the system's clock when absent.
        zone: what a time without an offset means; the host's zone when absent.

    Raises:
        UsageError: it is none of these.
    """
    present = time.time() if now is None else now
    if text == "now":
        return present
    if _AGO.fullmatch(text) or re.fullmatch(f"(?:{_AGO.pattern})+", text):
        return present - sum(float(count) * _UNITS[unit] for count, unit in _AGO.findall(text))
    if re.fullmatch(r"\d{9,11}(\.\d+)?", text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"not a time: {text}", "as 10m (ago), 2026-03-01, 2026-03-01T08:00 or 2026-03-01T08:00+01:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone) if zone else moment.astimezone()
    return moment.timestamp()
