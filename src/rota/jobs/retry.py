"""Another attempt, or not: how often, how soon, and never into the next due time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota.jobs.run import Outcome
from rota.timing.backoff import Exponential

if TYPE_CHECKING:
    from rota.jobs.run import Run
    from rota.jobs.spec import JobSpec

CAP = 3600.0
"""The longest wait between attempts, seconds."""

RETRIED = frozenset({Outcome.FAILED, Outcome.TIMEOUT, Outcome.ABANDONED})
"""Not cancelled (someone wanted it to end), and not stuck (it may still be running)."""


@dataclass(frozen=True, slots=True)
class Again:
    """Try again."""

    at: float
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Leave it at this outcome."""

    reason: str


def decide(job: JobSpec, run: Run, outcome: Outcome, now: float, next_start: float | None) -> Again | GiveUp:
    """What follows an attempt that ended `now`.

    Args:
        job: its `retries` and `retry_backoff`.
        run: with the number of the attempt that ended.
        outcome: how it ended.
        next_start: when the job's next due time starts, None if it has none. A retry that would come at or after it is
            dropped, unless runs may overlap: the next run is the better retry.
    """
    if outcome not in RETRIED:
        return GiveUp(f"{outcome.value} is not retried")
    if run.attempt > job.retries:
        return GiveUp("no retries are asked for" if not job.retries else f"all {job.retries} retries are used")
    delay = pause(job, run.attempt)
    if next_start is not None and now + delay >= next_start and job.overlap != "allow":
        return GiveUp("the next due time comes before the retry would")
    return Again(
        now + delay, run.attempt + 1, f"retry {run.attempt} of {job.retries}, {delay:g} s after {outcome.value}"
    )


def pause(job: JobSpec, attempt: int) -> float:
    """Seconds between the end of an attempt, counted from 1, and the next one."""
    return Exponential(job.retry_backoff, cap=max(CAP, job.retry_backoff)).delay(max(attempt, 1))
