"""What stores keep, as values. Instants are wall clock seconds since the epoch, durations seconds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar

from rota.jobs.run import Outcome, RunState, TriggerKind

Source = Literal["daemon", "library"]

LAPSED = "its worker died or hung: the lease ran out"
"""The error of abandoned runs."""


Record = TypeVar("Record")


def changed(record: Record, **changes: Any) -> Record:
    """As `dataclasses.replace`, for our slotted records of thirty fields several times as fast: a store in memory does
    little else."""
    kind = type(record)
    copy = object.__new__(kind)
    for get, put in _members(kind):  # type: ignore[arg-type]
        put(copy, get(record))
    for name, value in changes.items():
        object.__setattr__(copy, name, value)
    return copy


@cache
def _members(kind: type) -> tuple[tuple[Any, Any], ...]:
    slots = [getattr(kind, name) for name in kind.__slots__]  # type: ignore[attr-defined]
    return tuple((slot.__get__, slot.__set__) for slot in slots)


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that runs jobs: `id` is unique over all hosts and time."""

    id: str
    host: str = ""
    pid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A known job: what was registered, and what has become of it. Column meanings: migrations/0001_initial.sql."""

    app: str
    name: str
    source: Source = "library"
    schedule: str = ""
    cron: str = ""
    every: float = 0.0
    tz: str = ""
    policy: str = "{}"
    host: str = ""
    pid: int | None = None
    registered_at: float = 0.0
    stale_after: float = 0.0
    paused: bool = False
    not_before: float = 0.0
    hold: str = ""
    last_due: float | None = None
    horizon: float = 0.0
    relived: int = 0
    next_due: float | None = None
    expected_by: float | None = None
    last_started: float | None = None
    last_finished: float | None = None
    last_success: float | None = None
    last_outcome: Outcome | None = None
    last_error: str = ""
    last_duration: float | None = None
    run_count: int = 0
    error_count: int = 0
    skip_count: int = 0
    miss_count: int = 0
    failures: int = 0
    fence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One due time, or one request without a due time, with its chain of attempts."""

    id: int
    app: str
    job: str
    due: float | None
    trigger: TriggerKind
    state: RunState
    outcome: Outcome | None = None
    attempt: int = 1
    parent: int | None = None
    requested: float | None = None
    claimed: float | None = None
    claimed_by: str = ""
    host: str = ""
    pid: int | None = None
    instance: int | None = None
    fence: int = 0
    lease_until: float | None = None
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    signal: str | None = None
    error: str = ""
    output: str = ""
    output_start: int | None = None
    output_end: int | None = None
    done: int | None = None
    total: int | None = None
    resumed_from: int = 0
    progress_at: float | None = None
    cancel_requested: bool = False
    note: str = ""
    gen: int = 0
    """Which start of `instance` the present attempt is; 0 = unknown."""

    @property
    def duration(self) -> float | None:
        """Seconds from start to end; None while it runs or when it never started."""
        return None if self.started is None or self.finished is None else self.finished - self.started


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A wish to run: at a due time, or a request that waits in the store (`run`).

    `room` is how many unfinished runs the job may have besides; None = any number. `state` is what the run begins as.
    """

    app: str
    job: str
    worker: Worker
    now: float
    lease_until: float | None
    due: float | None = None
    trigger: TriggerKind = "cron"
    run: int | None = None
    parent: int | None = None
    attempt: int = 1
    room: int | None = None
    state: RunState = RunState.RUNNING
    note: str = ""
    next_due: float | None = None
    expected_by: float | None = None
    instance: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """The run is ours; `fence` grows with every claim of the job."""

    id: int
    fence: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The run is not ours: `taken` = decided before, by anyone; `busy` = no room; `held` = the job is paused or held."""

    reason: Literal["taken", "busy", "held"]
    since: float = 0.0
    """`taken`: when it was decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended, and what the job's row should say next."""

    outcome: Outcome
    finished: float
    error: str = ""
    exit_code: int | None = None
    signal: str | None = None
    note: str | None = None
    expected_by: float | None = None
    not_before: float = 0.0
    hold: str = ""
    keep: int | None = 100
    """Finished runs of the job to keep; None = all, for those who do not know."""
    output_end: int | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A lease: who, until when, under which fencing token."""

    name: str
    holder: str
    fence: int
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A sign of life, and by when the next must come."""

    name: str
    at: float
    expected_by: float
    started: float = 0.0
    app: str = ""
    host: str = ""
    pid: int | None = None
    detail: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRecord:
    """How far a source's collection has come. `data` is a JSON object of the other fields."""

    source: str
    chain: str = ""
    app: str = ""
    last_block: int | None = None
    records_total: int | None = None
    updated_at: float = 0.0
    stale_after: float = 0.0
    data: str = "{}"


@dataclass(frozen=True, slots=True)
class Level:
    """What a budget looks like: tokens now, capacity, how many wait, and until when a penalty stops everyone (0 = none)."""

    key: str
    tokens: float
    capacity: float
    per: float
    waiting: int = 0
    blocked_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place in a budget's line. `wait` is the estimate in seconds, 0 = served; for reservations it is a promise."""

    id: int
    wait: float
    at: float = 0.0
    """Reservations: the instant that was promised."""
