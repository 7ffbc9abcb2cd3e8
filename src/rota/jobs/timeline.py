"""The coming hours as rows of runs, with what will collide. Pure; the picture's data, for terminal and document alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota.jobs.simulate import Simulated, simulate
from rota.timing.duration import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota.jobs.simulate import Replay, Span
    from rota.timing.meter import BudgetRule

MINUTE = 60
FREQUENT = 300
"""Seconds. A job due more often than that collides with everything, which tells nobody anything."""


@dataclass(frozen=True, slots=True)
class Collision:
    """Several jobs that start in one minute."""

    at: float
    """The minute, seconds since the epoch."""
    jobs: tuple[str, ...]
    budgets: tuple[str, ...] = ()
    """Budgets that more than one of them takes from."""
    sharing: tuple[str, ...] = ()
    """Those that do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One job's runs."""

    name: str
    schedule: str
    spans: tuple[Span, ...]
    usual: float
    """Seconds a run usually takes; 0 when nobody knows."""
    overlaps: int = 0
    """Due times at which the run before is still going."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """From `since` to `until`, seconds since the epoch."""

    since: float
    until: float
    rows: tuple[Row, ...]
    collisions: tuple[Collision, ...]
    unplanned: tuple[str, ...] = ()
    """Jobs that only people or other jobs start."""


def words(job: Simulated) -> str:
    """The schedule as it was written."""
    spec = job.job
    if job.own:
        return f"its own calls, every {format_duration(spec.every)}"
    if spec.cron:
        return f"{spec.cron} {spec.tz}".rstrip()
    return (
        f"every {format_duration(spec.every)}"
        if spec.every
        else f"after {', '.join(spec.after)}"
        if spec.after
        else "by hand"
    )


def timeline(
    jobs: Sequence[Simulated],
    since: float,
    until: float,
    *,
    budgets: Mapping[str, BudgetRule] | None = None,
    zone: str = "UTC",
    host: str = "",
) -> Timeline:
    """What is planned; in the order of the first start, and those that never start last.

    Raises:
        SpecError: a schedule is not valid.
    """
    replay = simulate(jobs, since, until, budgets=budgets, zone=zone, host=host)
    planned = [job for job in jobs if (job.job.cron or job.job.every) and not job.own]
    rows = [
        Row(job.name, words(job), tuple(replay.spans[job.name]), job.duration, replay.count("overlap", job.name))
        for job in planned
    ]
    rows.sort(key=lambda row: (row.spans[0].start if row.spans else float("inf"), row.name))
    unplanned = tuple(job.name for job in jobs if job not in planned and not job.own)
    return Timeline(since, until, tuple(rows), collisions(replay, jobs), unplanned)


def collisions(replay: Replay, jobs: Sequence[Simulated]) -> tuple[Collision, ...]:
    """Minutes in which more than one job starts, in order of time. What is due every few minutes meets everything and is
    left out, unless it shares a budget."""
    costs = {job.name: set(job.job.budget) for job in jobs}
    length = replay.until - replay.since
    frequent = {name for name, spans in replay.spans.items() if len(spans) > 1 and length / len(spans) < FREQUENT}
    minutes: dict[int, dict[str, None]] = {}
    for name, spans in replay.spans.items():
        for span in spans:
            minutes.setdefault(int(span.due // MINUTE), {})[name] = None
    found = []
    for minute, names in sorted(minutes.items()):
        taken = [budget for name in names for budget in costs[name]]
        shared = {budget for budget in taken if taken.count(budget) > 1}
        sharing = tuple(name for name in names if costs[name] & shared)
        met = tuple(name for name in names if name not in frequent or name in sharing)
        if len(met) > 1:
            found.append(Collision(minute * MINUTE, met, tuple(sorted(shared)), sharing))
    return tuple(found)
