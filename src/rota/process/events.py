"""What can happen to an instance. Times are wall-clock seconds, passed to `step` beside the event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from rota.process.state import Exit, Process

Want = Literal["up", "down", "restart", "forget"]
TimerName = Literal["kill", "ready", "backoff"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Someone asks. `why` is for people; `fresh` resets the counters (a person's, cron's or a watcher's restart does)."""

    want: Want
    why: str = ""
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Spawned:
    gen: int
    process: Process
    gated: bool
    """Whether something else must say that it is ready."""


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    gen: int
    reason: str


@dataclass(frozen=True, slots=True)
class BecameReady:
    gen: int
    how: str


@dataclass(frozen=True, slots=True)
class Unready:
    """Readiness was impossible: the probe's deadline passed. (A mere listen_timeout is BecameReady(how="timeout").)"""

    gen: int
    reason: str


@dataclass(frozen=True, slots=True)
class Exited:
    gen: int
    exit: Exit
    stable: bool
    """Whether the run had lasted min_uptime, by the monotonic clock."""


@dataclass(frozen=True, slots=True)
class TreeGone:
    """Nothing of this generation is left."""

    gen: int


@dataclass(frozen=True, slots=True)
class TimerFired:
    timer: TimerName
    gen: int


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """A liveness probe gave up on it, a watchdog expired, or a limit was exceeded: end it and apply `fresh` restart."""

    gen: int
    reason: str


Event: TypeAlias = (
    Wanted | Spawned | SpawnFailed | BecameReady | Unready | Exited | TreeGone | TimerFired | Unhealthy
)
