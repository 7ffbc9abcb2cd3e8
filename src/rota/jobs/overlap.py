"""A job is due while earlier runs of it still go: start, skip, queue or replace, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota.jobs.spec import JobSpec


class Act(Enum):
    """What to do with the run that is due."""

    START = "start"
    SKIP = "skip"
    """Record it as skipped."""
    QUEUE = "queue"
    """Start it when a running one ends."""
    REPLACE = "replace"
    """End `victims`, then start it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and a reason for the ledger.

    Args:
        act: what.
        reason: one line for people; "" for a plain start.
        victims: ids of runs to end first, oldest first.
        superseded: ids of waiting runs whose place this one takes; they are recorded as skipped.
    """

    act: Act
    reason: str = ""
    victims: tuple[int, ...] = ()
    superseded: tuple[int, ...] = ()


def room(job: JobSpec) -> float:
    """How many runs may go at once before the overlap rule is asked; `inf` for no limit."""
    if job.concurrency:
        return job.concurrency
    return float("inf") if job.overlap == "allow" else 1


def decide(job: JobSpec, running: Sequence[int], waiting: Sequence[int] = ()) -> Decision:
    """What becomes of a run that is due now.

    Args:
        job: its rule and its limit.
        running: ids of runs under way, oldest first; a stuck run has given its slot back and is not among them.
        waiting: ids of runs already queued behind them.
    """
    limit = room(job)
    if len(running) < limit and (not waiting or job.overlap == "allow"):
        return Decision(Act.START)
    still = _still(len(running), limit)
    match job.overlap:
        case "queue" if not waiting:
            return Decision(Act.QUEUE, still)
        case "queue":
            return Decision(Act.SKIP, f"{still} and one is waiting already")
        case "replace":
            ending = max(0, len(running) - int(limit) + 1)
            return Decision(Act.REPLACE, still, tuple(running[:ending]), tuple(waiting))
        case _:
            return Decision(Act.SKIP, still)


def _still(running: int, limit: float) -> str:
    if running < limit:
        return "an earlier run has not started yet"
    return (
        "the previous run is still going" if limit == 1 else f"{running} runs are still going, the limit is {limit:g}"
    )


def admit(job: JobSpec, running: Sequence[int], waiting: Sequence[int]) -> tuple[int, ...]:
    """Ids of waiting runs, in order, that may start now that there is room."""
    free = room(job) - len(running)
    return tuple(waiting[: int(min(free, len(waiting)))]) if free > 0 else ()
