"""Jobs that live inside apps, as they stand in the store: shown beside the daemon's own, asked for here, run by the apps."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rota.errors import RotaError, TargetNotFound
from rota.jobs.spec import JobSpec
from rota.process.record import Record, RunSummary
from rota.process.spec import AppSpec
from rota.process.state import Instance

if TYPE_CHECKING:
    from rota.daemon.world import World
    from rota.stores.records import JobRecord

log = logging.getLogger("rota.jobs")

FORGOTTEN_AFTER = 300.0
"""A job of an app that rota does not run is shown until its next due time lies this far back, seconds."""
NOBODY = -1
"""The id of what is no instance of ours."""


def guest_jobs(world: World) -> list[Record]:
    """One record per job that an app registered through the library, for lists."""
    if not world.ledger.has_guests():
        return []  # without loading and opening what jobs need, in a daemon that has none
    try:
        jobs = [job for job in world.runbook.store.guests() if job.source == "library"]
        if not jobs:
            return []
        unfinished = world.runbook.store.runs(unfinished=True, limit=1000)
    except RotaError as error:
        log.warning("jobs inside apps cannot be read: %s", error.message)
        return []
    running: dict[tuple[str, str], int] = {}
    for run in unfinished:
        running[run.app, run.job] = running.get((run.app, run.job), 0) + 1
    now = world.clock.now()
    return [_record(job, running.get((job.app, job.name), 0), now) for job in jobs if _is_current(world, job, now)]


def find(world: World, name: str) -> JobRecord | None:
    """The job inside an app that a name means: `app/job` as lists show it, or just `job`. The daemon's own go first.

    Raises:
        TargetNotFound: several apps have a job of this name.
    """
    if name in world.supervisor.by_name:
        return None
    jobs = [job for job in world.runbook.store.guests() if name in (job.name, f"{job.app}/{job.name}")]
    if len(jobs) > 1:
        names = " and ".join(f"{job.app}/{job.name}" for job in jobs)
        raise TargetNotFound(f"several apps have a job {name}", f"name one of {names}")
    return jobs[0] if jobs else None


def is_no_app(world: World, target: str) -> TargetNotFound | None:
    """What to say to somebody who treats a job inside an app as an app of its own."""
    job = find(world, target)
    if job is None:
        return None
    name = f"{job.app}/{job.name}"
    hint = f"`rota health {name}` describes it; rota runs, run, pause and resume know it, too"
    return TargetNotFound(f"{name} is a job inside the app {job.app}", hint)


def pause(world: World, job: JobRecord, paused: bool) -> None:
    """Tell the app's scheduler, which looks every second, that due times pass without a run, or no longer. Resuming also closes
    the job's circuit breaker."""
    store = world.runbook.store
    store.set_paused(job.app, job.name, paused)
    if not paused:
        store.set_hold(job.app, job.name, 0.0, "")


def ask(world: World, job: JobRecord, parent: int | None = None) -> int:
    """Ask the app for a run; its id."""
    note = f"again run {parent}" if parent else ""
    return world.runbook.store.request(job.app, job.name, world.clock.now(), parent=parent, note=note)


def is_attended(world: World, job: JobRecord) -> bool:
    """Whether a scheduler of the app gives signs of life: one that could serve a request."""
    now = world.clock.now()
    beats = world.runbook.store.heartbeats(job.app)
    return any(beat.name.startswith("scheduler ") and beat.expected_by >= now for beat in beats)


def _is_current(world: World, job: JobRecord, now: float) -> bool:
    """Whether somebody still runs it: an app of ours, or one elsewhere that keeps its due times moving."""
    return job.app in world.supervisor.by_name or (job.next_due or 0.0) > now - FORGOTTEN_AFTER


def _record(job: JobRecord, running: int, now: float) -> Record:
    started = None
    if job.last_finished is not None and job.last_duration is not None:
        started = job.last_finished - job.last_duration
    return Record(
        instance=Instance(id=NOBODY, app=job.app, number=0, unique_id="", created=job.registered_at),
        spec=AppSpec(name=f"{job.app}/{job.name}", job=JobSpec(cron=job.cron, every=job.every, tz=job.tz)),
        run=RunSummary(
            outcome=job.last_outcome.value if job.last_outcome else "",
            finished=job.last_finished,
            started=started,
            running=running,
            next_due=job.next_due,
            paused=job.paused,
            runs=job.run_count,
        ),
        now=now,
    )
