"""How long to wait before the next attempt. Seconds; attempts count from 1, the wait before the first retry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

PM2_CAP_MS = 15000
PM2_FACTOR = 1.5


class Backoff(Protocol):
    """A row of waits, never shorter from one to the next."""

    def delay(self, attempt: int) -> float:
        """Seconds before retry number `attempt`, from 1."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same wait each time."""

    seconds: float

    def delay(self, attempt: int) -> float:
        """`seconds`, whatever the attempt."""
        return self.seconds


@dataclass(frozen=True, slots=True)
class Exponential:
    """`first`, then `factor` times the one before, up to `cap`."""

    first: float
    factor: float = 2.0
    cap: float = 3600.0

    def __post_init__(self) -> None:
        if self.first < 0 or self.factor < 1 or self.cap < 0:
            raise ValueError("a backoff has first >= 0, factor >= 1 and cap >= 0")

    def delay(self, attempt: int) -> float:
        """`first * factor ** (attempt - 1)`, at most `cap`."""
        try:
            return min(self.cap, self.first * self.factor ** (attempt - 1))
        except OverflowError:
            return self.cap if self.first else 0.0


@dataclass(frozen=True, slots=True)
class Pm2:
    """PM2's exp_backoff_restart_delay: the first wait as configured, each further one 1.5 times the one before, whole
    milliseconds, at most 15 s."""

    first: float

    def delay(self, attempt: int) -> float:
        """Seconds before restart number `attempt`."""
        wait = round(self.first * 1000)
        for _ in range(attempt - 1):
            longer = pm2_next(wait)
            if longer == wait:  # at the cap, or at 1 ms, which never grows
                break
            wait = longer
        return wait / 1000


def pm2_next(previous_ms: int) -> int:
    """The wait after one of `previous_ms`: floor(min(15000, previous * 1.5)) milliseconds."""
    return int(min(PM2_CAP_MS, previous_ms * PM2_FACTOR))
