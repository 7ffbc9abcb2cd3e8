"""How long to wait before the next attempt. Seconds; attempts count from 1, the wait before the first retry."""

from __future__ import annotations

from dataclasses import dataclass

PM2_CAP_MS = 15000
PM2_FACTOR = 1.5


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


def pm2_next(previous_ms: int) -> int:
    """PM2's exp_backoff_restart_delay: the wait after one of `previous_ms` is floor(min(15000, previous * 1.5)) milliseconds."""
    return int(min(PM2_CAP_MS, previous_ms * PM2_FACTOR))
