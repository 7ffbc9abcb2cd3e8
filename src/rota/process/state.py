"""What is wanted of an instance and what is true of it, each state with just the fields it has."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Desired = Literal["up", "down"]
AfterStop = Literal["down", "restart", "policy", "forget"]
"""What follows once nothing is left of a run: stay down, start at once, ask the restart policy, or be forgotten."""


class Process(msgspec.Struct, frozen=True, omit_defaults=True):
    """An OS process, identified so that a reused pid is never mistaken for it.

    Identity is (boot id, pid, start time in clock ticks since boot, pidfs inode where the kernel has one).
    """

    pid: int
    start_ticks: int
    boot_id: str
    inode: int = 0
    started: float = 0.0
    """Wall clock, seconds since the epoch."""


class Exit(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a process ended. `known` is False when nobody could learn it; then code and signal are None, never invented."""

    at: float
    code: int | None = None
    signal: int | None = None
    known: bool = True


class Down(msgspec.Struct, frozen=True, tag="down", omit_defaults=True):
    """Not running and nothing planned: stopped by a person, or ended and not to be started again."""

    reason: str = ""


class Starting(msgspec.Struct, frozen=True, tag="starting", omit_defaults=True):
    """A spawn of this generation was ordered; its process is not known yet."""

    gen: int
    since: float
    then: AfterStop | None = None
    """Somebody wants it ended already: what follows once the spawn has come out."""
    why: str = ""


class Up(msgspec.Struct, frozen=True, tag="up", omit_defaults=True):
    """Running, not yet ready."""

    gen: int
    process: Process
    since: float
    late: bool = False
    """Its readiness probe has not passed within its deadline. It may still pass, but nobody waits for it any more."""


class Ready(msgspec.Struct, frozen=True, tag="ready", omit_defaults=True):
    """Running and, as far as anyone asked, ready. `how` says by what: spawned, message, notify, probe, timeout."""

    gen: int
    process: Process
    since: float
    how: str = "spawned"


class Stopping(msgspec.Struct, frozen=True, tag="stopping", omit_defaults=True):
    """Being ended: the main process may still run (`process`) or only remnants of its tree (`process` is None)."""

    gen: int
    then: AfterStop
    since: float
    process: Process | None = None
    forced: bool = False
    """SIGKILL has been sent."""
    reason: str = ""
    lasted: float = 0.0
    """How long the run that ended by itself had lasted, seconds; the restart policy asks."""
    root: Process | None = None
    """The main process that has ended: what its remnants are known by."""


class Backoff(msgspec.Struct, frozen=True, tag="backoff", omit_defaults=True):
    """Exited, to be started again at `until` (wall clock, seconds)."""

    until: float
    delay: float
    reason: str = ""


class Failed(msgspec.Struct, frozen=True, tag="failed", omit_defaults=True):
    """Given up, with the reason."""

    reason: str


Actual: TypeAlias = Down | Starting | Up | Ready | Stopping | Backoff | Failed


class Instance(msgspec.Struct, frozen=True, omit_defaults=True):
    """One numbered copy of an app; survives restarts of its process, of rota and of the machine."""

    id: int
    app: str
    number: int
    unique_id: str
    created: float
    desired: Desired = "down"
    actual: Actual = Down()
    gen: int = 0
    """Counts spawns; names FIFOs and tells an old process's events from a new one's."""
    restarts: int = 0
    unstable: int = 0
    """Consecutive runs shorter than min_uptime."""
    delay: float = 0.0
    """The last backoff delay, seconds."""
    started: float = 0.0
    """Wall clock of the last spawn."""
    last_exit: Exit | None = None
    restart_reason: str = ""
    """Why the current run was started, for `rota why`."""
    stands_for: int | None = None
    """Set while a reload replaces the instance of this id: the row of its successor, or of the copy that is leaving."""
    leaving: bool = False
    """The copy that its successor has replaced: its connections end, then it does."""
    mark: int | None = None
    """The id its process was started under, where that is not its own: it came as a successor, or has been succeeded."""


def process_of(actual: Actual) -> Process | None:
    """The main process, while there is one."""
    match actual:
        case Up() | Ready():
            return actual.process
        case Stopping():
            return actual.process
        case _:
            return None


def public_id(instance: Instance) -> int:
    """The id that people, logs and the process itself know."""
    return instance.id if instance.stands_for is None else instance.stands_for


def mark_of(instance: Instance) -> int:
    """The id in the marker, the FIFO names and the kept descriptors of its process."""
    return instance.id if instance.mark is None else instance.mark


PM2_STATUS = {
    Down: "stopped",
    Starting: "launching",
    Up: "launching",
    Ready: "online",
    Stopping: "stopping",
    Backoff: "waiting restart",
    Failed: "errored",
}


def status_word(actual: Actual) -> str:
    """PM2's word for a state; used by renderers only."""
    return PM2_STATUS[type(actual)]
