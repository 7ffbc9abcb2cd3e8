"""What can happen to an instance. Times are wall-clock seconds, passed to `step` beside the event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from rota.process.state import Exit, Process

Want = Literal["up", "down", "restart", "forget", "suspend"]
"""suspend: end it, but it stays wanted: the daemon leaves (shutdown, reboot) and will start it again when it comes back."""
TimerName = Literal["kill", "ready", "backoff"]


class Wanted(msgspec.Struct, frozen=True):
    """Someone asks. `why` is for people; `fresh` resets the counters (a person's, cron's or a watcher's restart does)."""

    want: Want
    why: str = ""
    fresh: bool = True


class Spawned(msgspec.Struct, frozen=True):
    gen: int
    process: Process
    gated: bool
    """Whether something else must say that it is ready."""


class SpawnFailed(msgspec.Struct, frozen=True):
    """`temporary`: the machine was short of something (processes, memory, descriptors), not the app misdescribed."""

    gen: int
    reason: str
    temporary: bool = False


class NeverSpawned(msgspec.Struct, frozen=True):
    """A daemon ended between writing the order down and carrying it out: this generation has no process."""

    gen: int


class Rebooted(msgspec.Struct, frozen=True):
    """The machine was restarted: whatever ran is gone, and nobody asked for that."""

    at: float
    """When it was found out, wall-clock seconds."""


class BecameReady(msgspec.Struct, frozen=True):
    gen: int
    how: str


class Exited(msgspec.Struct, frozen=True):
    """The main process ended; `lasted` is how long it ran, seconds by the monotonic clock."""

    gen: int
    exit: Exit
    lasted: float


class TreeGone(msgspec.Struct, frozen=True):
    """Nothing of this generation is left."""

    gen: int


class TimerFired(msgspec.Struct, frozen=True):
    timer: TimerName
    gen: int


class Unhealthy(msgspec.Struct, frozen=True):
    """A liveness probe gave up on it, a watchdog expired, or a limit was exceeded: end it and apply `fresh` restart."""

    gen: int
    reason: str


Event: TypeAlias = (
    Wanted | Spawned | SpawnFailed | NeverSpawned | BecameReady | Exited | TreeGone | TimerFired | Unhealthy | Rebooted
)
