"""What can happen to an instance. Times are wall-clock seconds, passed to `step` beside the event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from rota.process.state import Exit, Process

Want = Literal["up", "down", "restart", "forget", "suspend"]
"""suspend: end it, but it stays wanted: the daemon leaves (shutdown, reboot) and will start it again when it comes back."""
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
    """`temporary`: the machine was short of something (processes, memory, descriptors), not the app misdescribed."""

    gen: int
    reason: str
    temporary: bool = False


@dataclass(frozen=True, slots=True)
class BecameReady:
    gen: int
    how: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The main process ended; `lasted` is how long it ran, seconds by the monotonic clock."""

    gen: int
    exit: Exit
    lasted: float


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


Event: TypeAlias = Wanted | Spawned | SpawnFailed | BecameReady | Exited | TreeGone | TimerFired | Unhealthy
