"""Jobs that live inside apps, as they stand in the store: shown beside the daemon's own, run by nobody here."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rota.errors import RotaError
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
