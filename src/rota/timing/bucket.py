"""Rate limits as arithmetic: the generic cell rate algorithm (GCRA, ITU-T I.371), a token bucket kept as one instant.

`tat`, the theoretical arrival time, is the instant at which the bucket will be full again. Whoever stores it (memory,
SQLite, Redis) stores two numbers per key. Waiting in line is the caller's: here is only who may go when.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

State: TypeAlias = tuple[float, float]
"""`(tat, blocked_until)`, seconds on the caller's clock. A plain tuple: this is made a million times a second."""

FULL: State = (0.0, 0.0)
"""Every token there, nothing blocked (for clocks that do not run below zero)."""

# Sums of many intervals carry rounding errors; what is this close to its time is due. Seconds: below any clock's tick,
# above the spacing of doubles around today's epoch seconds (0.24 µs).
_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Limit:
    """`limit` tokens come back per `per` seconds, evenly; at most `burst` are there at once.

    A bucket holds the rate on average: after a quiet time `burst` go at once and others follow as they come back, so up
    to `burst + limit` fall within one period. Where a server counts, use `rota.timing.meter`, which holds the limit in
    every window, or `burst=1`, which paces evenly and cannot exceed the limit in any period.

    Args:
        limit: tokens per period.
        per: the period, seconds.
        burst: tokens that may go at once after a quiet time; 0 = all of `limit`.

    Raises:
        ValueError: a number that is not positive.
    """

    limit: float
    per: float
    burst: float = 0.0
    interval: float = field(init=False)
    """Seconds a token takes to come back."""
    depth: float = field(init=False)
    """Seconds an empty bucket takes to fill."""

    def __post_init__(self) -> None:
        if not (0 < self.limit < float("inf") and 0 < self.per < float("inf") and self.burst >= 0):
            raise ValueError("a limit has limit > 0, per > 0 and burst >= 0, all finite")
        object.__setattr__(self, "burst", self.burst or self.limit)
        object.__setattr__(self, "interval", self.per / self.limit)
        object.__setattr__(self, "depth", self.per / self.limit * self.burst)


def take(limit: Limit, state: State, n: float, now: float) -> tuple[State, float]:
    """Take `n` tokens if they are there.

    Returns:
        The new state and 0.0; or the state as it was and the seconds until it could be, `inf` when `n` is more than the
        bucket holds.
    """
    tat, blocked = state
    full_at = (tat if tat > now else now) + n * limit.interval
    wait = full_at - limit.depth - now
    if blocked > now and blocked - now > wait:
        wait = blocked - now
    if wait <= _SLACK:
        return (full_at, blocked), 0.0
    return state, wait if n <= limit.burst else float("inf")


def reserve(limit: Limit, state: State, n: float, now: float) -> tuple[State, float]:
    """Take `n` tokens now or in future, in the order of the calls.

    Returns:
        The new state and the seconds to wait before going ahead; `inf`, and the state unchanged, when `n` is more than
        the bucket holds.
    """
    if n > limit.burst:
        return state, float("inf")
    tat, blocked = state
    start = blocked if blocked > now else now
    full_at = (tat if tat > start else start) + n * limit.interval
    wait = max(start - now, full_at - limit.depth - now)
    return (full_at, blocked), wait if wait > _SLACK else 0.0


def refund(limit: Limit, state: State, n: float) -> State:
    """Give back `n` tokens that were taken or reserved and not used. A block stays."""
    tat, blocked = state
    return tat - n * limit.interval, blocked


def penalize(limit: Limit, state: State, until: float) -> State:
    """Let nothing go before `until` (a 429 with Retry-After), then one token and the rest at the usual pace: a crowd
    that was held back must not arrive in one burst."""
    tat, blocked = state
    return max(tat, until + limit.depth - limit.interval), max(blocked, until)


def tokens(limit: Limit, state: State, now: float) -> float:
    """How many could be taken at once right now; 0 while blocked or while reservations are outstanding."""
    tat, blocked = state
    if blocked > now:
        return 0.0
    return max(0.0, limit.burst - max(0.0, tat - now) / limit.interval)


def idle(state: State, now: float) -> bool:
    """Whether the state says nothing any more (full, not blocked), so that its row may be dropped."""
    return max(state) <= now


def shift(state: State, by: float) -> State:
    """The same bucket on a clock that was put forward (`by` > 0) or back: shared buckets live on wall time."""
    return state[0] + by, state[1] + by
