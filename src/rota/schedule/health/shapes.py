"""The JSON of the health endpoints, from what is in the store. Pure: records and an instant in, dictionaries out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from rota.jobs.run import Outcome, RunState
from rota.schedule.progress import Progress
from rota.timing.lease import Pulse, pulse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota.stores.records import CheckpointRecord, Heartbeat, JobRecord, Level, RunRecord

Status = Literal["HEALTHY", "STALLED", "FAILING", "NEVER_RUN", "PAUSED"]

SCHEDULER = "scheduler "
"""How the heartbeats of schedulers begin; all others are people's own."""
_LONG = 1e9
"""Seconds: an interval that is never silent for too long; for jobs whose schedule is no interval."""


@dataclass(frozen=True, slots=True)
class Service:
    """A job, or a heartbeat of something that is no job, as health sees it."""

    name: str
    status: Status
    last_run: float | None
    age: float | None

    def as_dict(self) -> dict[str, Any]:
        """The entry of `/health/cron`."""
        age = None if self.age is None else round(self.age, 3)
        return {"service": self.name, "last_run": iso(self.last_run), "age_seconds": age, "status": self.status}


def status_of(job: JobRecord, running: Sequence[RunRecord], now: float) -> Status:
    """How a job stands.

    PAUSED by a person. STALLED: no sign of life for `stale_after`, by default twice the interval; or, for jobs without an
    interval, past the instant by which a run should have ended. FAILING: the last run ended in an error. NEVER_RUN: none
    ended yet, and none is late.
    """
    if job.paused:
        return "PAUSED"
    interval = job.stale_after / 2 or job.every or _LONG
    late_after = None if job.every or job.stale_after else job.expected_by
    # A job that has never run is silent since it was registered.
    seen = last_sign(job, running)
    signs = pulse(job.registered_at if seen is None else seen, interval, late_after, 0.0, now)
    if signs in (Pulse.STALLED, Pulse.LATE):
        return "STALLED"
    if job.last_finished is None:
        return "NEVER_RUN"
    return "FAILING" if job.last_outcome is not None and job.last_outcome.bad else "HEALTHY"


def last_sign(job: JobRecord, running: Sequence[RunRecord]) -> float | None:
    """The latest sign of life: a run's end, start, or progress."""
    signs = [job.last_finished, job.last_started, *(run.progress_at for run in running)]
    return max((sign for sign in signs if sign is not None), default=None)


def services(
    jobs: Sequence[JobRecord], running: Sequence[RunRecord], beats: Sequence[Heartbeat], now: float
) -> list[Service]:
    """Every job and every heartbeat of people's own, by name."""
    names = unique_names(jobs)
    found = []
    for job in jobs:
        mine = [run for run in running if (run.app, run.job) == (job.app, job.name)]
        last = job.last_finished
        age = None if last is None else max(0.0, now - last)
        found.append(Service(names[job.app, job.name], status_of(job, mine, now), last, age))
    for beat in beats:
        if not beat.name.startswith(SCHEDULER):
            alive: Status = "HEALTHY" if now <= beat.expected_by else "STALLED"
            found.append(Service(beat.name, alive, beat.at, max(0.0, now - beat.at)))
    return sorted(found, key=lambda service: service.name)


def unique_names(jobs: Sequence[JobRecord]) -> dict[tuple[str, str], str]:
    """A name for each job: its own, or `app/name` where two apps have jobs of one name."""
    counts: dict[str, int] = {}
    for job in jobs:
        counts[job.name] = counts.get(job.name, 0) + 1
    return {
        (job.app, job.name): f"{job.app}/{job.name}" if counts[job.name] > 1 and job.app else job.name for job in jobs
    }


def cron_health(found: Sequence[Service], levels: Sequence[Level], now: float, budgets_key: str = "") -> dict[str, Any]:
    """`/health/cron`. `budgets_key` repeats the budgets under another name, as `x_api_status`."""
    budgets = {level.key: {"tokens": round(level.tokens, 3), "capacity": round(level.capacity, 3)} for level in levels}
    body: dict[str, Any] = {
        "timestamp": iso(now),
        "services": [service.as_dict() for service in found],
        "stalled_services": [service.name for service in found if service.status == "STALLED"],
        "budgets": budgets,
    }
    return body | {budgets_key: budgets} if budgets_key else body


def all_well(found: Sequence[Service]) -> bool:
    """Whether nothing is stalled or failing."""
    return all(service.status not in ("STALLED", "FAILING") for service in found)


def service_detail(job: JobRecord, name: str, runs: Sequence[RunRecord], now: float) -> dict[str, Any]:
    """`/health/cron/{service}` for a job; `runs` newest first."""
    running = [run for run in runs if run.state is not RunState.FINISHED]
    last = job.last_finished
    return {
        "service": name,
        "app": job.app,
        "status": status_of(job, running, now),
        "interval_seconds": job.every or None,
        "schedule": job.schedule,
        "last_run": iso(last),
        "age_seconds": None if last is None else round(max(0.0, now - last), 3),
        "last_duration_seconds": None if job.last_duration is None else round(job.last_duration, 6),
        "last_outcome": job.last_outcome,
        "next_run": None if job.paused else iso(job.next_due),
        "held_until": iso(job.not_before) if job.not_before > now else None,
        "held_by": job.hold if job.not_before > now else None,
        "run_count": job.run_count,
        "error_count": job.error_count,
        "skip_count": job.skip_count,
        "miss_count": job.miss_count,
        "last_error": job.last_error or None,
        "running": [run_summary(run, now) for run in running],
        "recent_runs": [run_summary(run, now) for run in runs if run.state is RunState.FINISHED],
    }


def beat_detail(beat: Heartbeat, now: float) -> dict[str, Any]:
    """`/health/cron/{service}` for a heartbeat of something that is no job."""
    return {
        "service": beat.name,
        "app": beat.app,
        "status": "HEALTHY" if now <= beat.expected_by else "STALLED",
        "last_run": iso(beat.at),
        "age_seconds": round(max(0.0, now - beat.at), 3),
        "expected_by": iso(beat.expected_by),
        "detail": json.loads(beat.detail),
    }


def run_summary(run: RunRecord, now: float) -> dict[str, Any]:
    """One run, with its progress if it told any."""
    body: dict[str, Any] = {
        "id": run.id,
        "trigger": run.trigger,
        "due": iso(run.due),
        "started": iso(run.started),
        "finished": iso(run.finished),
        "duration_seconds": None if run.duration is None else round(run.duration, 6),
        "state": run.state,
        "outcome": run.outcome,
        "attempt": run.attempt,
        "error": run.error or None,
        "note": run.note or None,
    }
    progress = progress_of(run, now)
    return body if progress is None else body | {"progress": progress.as_dict()}


def progress_of(run: RunRecord, now: float) -> Progress | None:
    """How far a run has come; None when it told nothing."""
    if run.done is None or run.started is None:
        return None
    # The rate is that up to the last word, so that it does not sink while a long batch is under way.
    until = run.progress_at if run.progress_at and run.done > run.resumed_from else run.finished or now
    return Progress(run.done, run.total, run.resumed_from, until - run.started)


def cron_jobs(jobs: Sequence[JobRecord], running: Sequence[RunRecord], now: float) -> dict[str, Any]:
    """`/api/health/cron`."""
    names = unique_names(jobs)
    rows = []
    for job in jobs:
        mine = [run for run in running if (run.app, run.job) == (job.app, job.name)]
        rows.append(
            {
                "name": names[job.app, job.name],
                "schedule": job.schedule,
                "lastRun": iso(job.last_finished),
                "lastStatus": _last_status(job.last_outcome),
                "runCount": job.run_count,
                "errorCount": job.error_count,
                "uptime": round(max(0.0, now - job.registered_at) * 1000),
                "healthy": status_of(job, mine, now) not in ("STALLED", "FAILING"),
            }
        )
    status = "healthy" if all(row["healthy"] for row in rows) else "unhealthy"
    return {"status": status, "timestamp": iso(now), "jobs": rows}


def _last_status(outcome: Outcome | None) -> Literal["success", "error"] | None:
    if outcome is None:
        return None
    return "error" if outcome.bad else "success"


def liveness(beats: Sequence[Heartbeat], now: float, own: dict[str, Any] | None = None) -> dict[str, Any]:
    """`/api/health`: whether a scheduler lives.

    Args:
        beats: all heartbeats.
        own: what this process knows of its own scheduler: `running`, `last_tick_age_seconds`, `stalled`; None when it
            has none and only the store can tell.
    """
    workers = [_worker(beat, now) for beat in beats if beat.name.startswith(SCHEDULER)]
    alive = any(worker["alive"] for worker in workers)
    if own is not None:
        alive = bool(own["running"]) and not own["stalled"]
    body: dict[str, Any] = {"status": "healthy" if alive else "unhealthy", "timestamp": iso(now), "workers": workers}
    return body if own is None else body | {"scheduler": own}


def _worker(beat: Heartbeat, now: float) -> dict[str, Any]:
    return {
        "worker": beat.name.removeprefix(SCHEDULER),
        "app": beat.app,
        "host": beat.host,
        "pid": beat.pid,
        "alive": now <= beat.expected_by,
        "last_beat": iso(beat.at),
        "uptime_seconds": round(max(0.0, now - beat.started), 3),
        **json.loads(beat.detail),
    }


def scraper_status(points: Sequence[CheckpointRecord], now: float) -> dict[str, Any]:
    """`/api/scraper-status`."""
    stale = [point for point in points if point.stale_after and now - point.updated_at > point.stale_after]
    return {
        "states": [
            {
                **json.loads(point.data),
                "source": point.source,
                "chain": point.chain,
                "last_block": point.last_block,
                "records_total": point.records_total,
                "updated_at": iso(point.updated_at),
                "age_seconds": round(max(0.0, now - point.updated_at), 3),
                "stale_after": point.stale_after or None,
            }
            for point in points
        ],
        "healthy": not stale,
        "stale": [f"{point.source}/{point.chain}" if point.chain else point.source for point in stale],
    }


def iso(at: float | None) -> str | None:
    """RFC 3339, UTC, milliseconds."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
