"""Time as a parameter: the protocol every edge is handed, and the system's own clock."""

from __future__ import annotations

import asyncio
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

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))
