"""Time as a parameter: the protocol every edge is handed, and the system's own clock."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from. Wall time is for cron and display only; durations are monotonic."""

    def now(self) -> float:
        """Wall clock, seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Monotonic clock, seconds from an arbitrary start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait, cancellable. Negative or zero yields once."""
        ...


class SystemClock:
    """The machine's clocks."""

    # The functions themselves, not methods around them: a budget asks a million times a second.
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))


def local_zone() -> str:
    """The host's time zone as an IANA name; "UTC" where the host does not say.

    TZ wins, then /etc/timezone, then where /etc/localtime points. Read afresh each time: a zone may be changed.
    """
    named = os.environ.get("TZ", "").removeprefix(":")
    if named and not named.startswith("/") and _exists(named):
        return named
    try:
        with open("/etc/timezone", encoding="ascii") as file:
            named = file.read().strip()
        if named and _exists(named):
            return named
    except (OSError, UnicodeDecodeError):
        pass
    target = os.path.realpath("/etc/localtime")
    _, found, name = target.partition("/zoneinfo/")
    return name if found and _exists(name) else "UTC"


def _exists(name: str) -> bool:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
