"""Who may hold something until when, and when silence means trouble. Seconds on the caller's clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

TTL = 30.0
"""Life of a lease; renewed at half of it."""
KILL_WINDOW = 10.0
"""After a run's time-out: what it has left to end before it counts as stuck."""
LONGEST_SLEEP = 30.0
"""A scheduler looks at the clock at least this often."""
LONGEST_SLEEP_IN_PROCESS = 5.0
_STALL_FLOOR = 10.0
_LATE_FLOOR = 60.0


@dataclass(frozen=True, slots=True)
class Lease:
    """An exclusive right for a time.

    Args:
        holder: who has it; "" after a release.
        token: grows by one with each change of holder. What is written under a lease carries it, and a store refuses a
            token lower than one it has seen (fencing): a holder that slept through its lease cannot do harm.
        until: the instant it ends by itself.
    """

    holder: str
    token: int
    until: float

    def held(self, now: float) -> bool:
        """Whether somebody holds it now."""
        return bool(self.holder) and now < self.until

    def held_by(self, holder: str, token: int, now: float) -> bool:
        """Whether this holder, under this token, still may act."""
        return self.holder == holder and self.token == token and now < self.until

    def renew_at(self, ttl: float = TTL) -> float:
        """When to extend it: with half its life left, so that one failed attempt costs nothing."""
        return self.until - ttl / 2


def acquire(lease: Lease | None, holder: str, now: float, ttl: float = TTL) -> Lease | None:
    """The lease as `holder` gets it, or None while another holds it. Asking again while holding it extends it."""
    if lease is None:
        return Lease(holder, 1, now + ttl)
    if lease.held(now):
        return replace(lease, until=max(lease.until, now + ttl)) if lease.holder == holder else None
    return Lease(holder, lease.token + 1, now + ttl)


def extend(lease: Lease | None, holder: str, token: int, now: float, ttl: float = TTL) -> Lease | None:
    """The lease with a new end, or None when it is lost: expired, released, or taken over. A lapsed lease is never
    extended, even if nobody took it: its holder may already have been declared abandoned."""
    if lease is None or not lease.held_by(holder, token, now):
        return None
    return replace(lease, until=max(lease.until, now + ttl))


def release(lease: Lease, holder: str, token: int) -> Lease:
    """The lease, free if this holder had it. The token stays, so that it never repeats."""
    return replace(lease, holder="", until=float("-inf")) if (lease.holder, lease.token) == (holder, token) else lease


class Pulse(Enum):
    """What a job's history says at some instant."""

    NEVER_RUN = "never run"
    HEALTHY = "healthy"
    LATE = "late"
    """Past the due time plus grace."""
    STALLED = "stalled"
    """Silent for twice the interval."""


def pulse(last: float | None, interval: float, due: float | None, grace: float, now: float) -> Pulse:
    """What silence means.

    Args:
        last: the last sign of life, None = none yet.
        interval: seconds normally between two signs of life.
        due: when the next run is or was due, None = not scheduled.
        grace: seconds it may be late.
    """
    if last is not None and now - last > 2 * interval:
        return Pulse.STALLED
    if due is not None and now > due + grace:
        return Pulse.LATE
    return Pulse.NEVER_RUN if last is None else Pulse.HEALTHY


def scheduler_stalled(last_tick: float, now: float, longest_sleep: float = LONGEST_SLEEP) -> bool:
    """Whether the scheduling loop hangs. `last_tick` is monotonic, stamped before the first tick and after each."""
    return now - last_tick > max(2 * longest_sleep, _STALL_FLOOR)


def default_late_grace(median_run: float) -> float:
    """Seconds a job may be late before people hear of it: twice its usual run, at least a minute."""
    return max(2 * median_run, _LATE_FLOOR)


def expected_by(next_due: float | None, last_start: float | None, grace: float) -> float | None:
    """When a success must have been seen (the rule of Healthchecks): the due time after the last success, or the start
    of the run under way, whichever is earlier, plus grace. None: nothing is expected."""
    known = [instant for instant in (next_due, last_start) if instant is not None]
    return min(known) + grace if known else None


class RunPhase(Enum):
    """How a run stands against its time-out."""

    WITHIN = "within"
    OVERDUE = "overdue"
    """Past the time-out: it is being ended."""
    STUCK = "stuck"
    """Past the kill window too: the slot is given back and the run marked."""


def run_phase(started: float, timeout: float, now: float, kill_window: float = KILL_WINDOW) -> RunPhase:
    """Where a run stands; `timeout` 0 means no limit."""
    elapsed = now - started
    if timeout <= 0 or elapsed < timeout:
        return RunPhase.WITHIN
    return RunPhase.OVERDUE if elapsed < timeout + kill_window else RunPhase.STUCK
