"""What was asked of a job: its trigger and policies. Standard library only: the in-process scheduler imports it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Overlap = Literal["skip", "queue", "replace", "allow"]
Missed = Literal["one", "none", "auto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """Schedule and policies of a job. Durations are seconds. Exactly one of `cron` and `every` is set (neither: manual only)."""

    cron: str = ""
    every: float = 0.0
    tz: str = ""
    """IANA zone; "" = the host's, resolved once and shown."""
    dst: Literal["debian", "real"] = "debian"
    timeout: float = 0.0
    """Run limit: then the whole tree is ended and the outcome is `timeout`; 0 = none."""
    overlap: Overlap = "skip"
    retries: int = 0
    retry_backoff: float = 30.0
    """Delay before the first retry; doubles each time, up to an hour."""
    missed: Missed = "auto"
    """After downtime: run the last missed due time, or not. auto = one for fixed times, none for intervals."""
    misfire_grace: float = 0.0
    """How late a start may be; 0 = the rule of docs (half the period, at most 1 h for intervals and 12 h for fixed times)."""
    spread: float = 0.0
    """Stable offset by hash of the job's name, below this many seconds and below the gap to the next due time."""
    verify: tuple[str, ...] = ()
    """Argv that must succeed after the run, or the run failed."""
    after: tuple[str, ...] = ()
    """Names of jobs whose success triggers this one."""
    run_on_start: bool = False
    keep_runs: int = 100
    concurrency: int = 1
    """With overlap=allow: at most this many at once; 0 = no limit."""
    budget: dict[str, float] = field(default_factory=dict)
    """Tokens of shared budgets a run takes before it starts, by budget name."""
    paused: bool = False
