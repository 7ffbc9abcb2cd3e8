"""What was asked of a job: its trigger and policies. Standard library only: the in-process scheduler imports it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from rota.errors import SpecError

if TYPE_CHECKING:
    from rota.timing.trigger import Trigger

Overlap = Literal["skip", "queue", "replace", "allow"]
Missed = Literal["one", "none", "auto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """Schedule and policies of a job. Durations are seconds. At most one of `cron` and `every` is set; with neither it
    runs by hand, or after others."""

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
    """After downtime: run the last missed due time, or not. auto = one for fixed times and where misfire_grace is given,
    none for intervals."""
    misfire_grace: float = 0.0
    """How late a start may be; 0 = the rule of docs (half the period, at most 1 h for intervals and 12 h for fixed times)."""
    spread: float = 0.0
    """Stable offset by hash of the job's name, below this many seconds and below the gap to the next due time."""
    verify: tuple[str, ...] = ()
    """Argv that must succeed after the run, or the run failed."""
    after: tuple[str, ...] = ()
    """Names of jobs whose success triggers this one, beside any schedule of its own: when each has succeeded anew."""
    run_on_start: bool = False
    keep_runs: int = 100
    concurrency: int = 0
    """Runs at once, over all instances, before `overlap` decides; 0 = one, or with overlap=allow as many as come."""
    budget: dict[str, float] = field(default_factory=dict)
    """Tokens of shared budgets a run takes before it starts, by budget name."""
    paused: bool = False


def trigger_of(job: JobSpec, default_tz: str = "UTC") -> Trigger | None:
    """When the job is due; None when only people or other jobs start it.

    Raises:
        SpecError: the expression, the zone or the interval is not valid.
    """
    if not job.cron and not job.every:
        return None
    return _trigger(job.cron, job.every, job.tz or default_tz, job.dst)


@lru_cache(maxsize=4096)
def _trigger(cron: str, every: float, tz: str, dst: Literal["debian", "real"]) -> Trigger:
    # Imported here: specs are read by programs that never ask when a job is due.
    if cron:
        from rota.timing.cron import Cron

        return Cron(cron, tz, dst)
    from rota.timing.interval import Every

    return Every(every)


def check(job: JobSpec, name: str = "") -> None:
    """Refuse what contradicts itself.

    Raises:
        SpecError: with the key that is wrong.
    """
    if job.cron and job.every:
        raise SpecError("cron and every are both set", "keep one of them", key="every")
    for key in ("every", "timeout", "retry_backoff", "misfire_grace", "spread", "retries", "keep_runs", "concurrency"):
        if not getattr(job, key) >= 0:  # also refuses nan
            raise SpecError(f"{getattr(job, key)} is below zero", "use zero or more", key=key)
    if name and name in job.after:
        raise SpecError(f"{name} cannot run after itself", "name another job", key="after")
    for budget, cost in job.budget.items():
        if not cost > 0:
            raise SpecError(f"a run cannot take {cost} tokens", "use a number above zero", key=f"budget.{budget}")
    trigger_of(job)
