"""Jobs and what becomes of their due times: a row for each, claimed before anything starts.

State that matters lives in the store (`runs`, `jobs`). `JobRecord`s are kept here as read last, because lists ask for them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from rota.daemon.jobs import recall
from rota.daemon.jobs.followers import Followers
from rota.daemon.jobs.runner import Runner
from rota.errors import NotPermitted, SpecError, StoreUnavailable, TargetNotFound
from rota.jobs import overlap
from rota.jobs.plan import Cursor, resume, schedule_of
from rota.jobs.run import Ending as RunEnding
from rota.jobs.run import Outcome, RunState
from rota.jobs.spec import JobSpec
from rota.process.record import RunSummary
from rota.stores.records import Claim, Claimed, JobRecord, Worker
from rota.timing.lease import default_late_grace, expected_by
from rota.wire.messages import ProcessEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.daemon.entry import Entry
    from rota.daemon.jobs.activity import Active
    from rota.daemon.world import World
    from rota.jobs.plan import Absence, Plan, Schedule
    from rota.jobs.run import TriggerKind
    from rota.process.spec import AppSpec
    from rota.stores.sqlite import SqliteStore

log = logging.getLogger("rota.jobs")

APP = ""
"""The daemon's own jobs belong to no app's process."""
_COUNTED = 1000
"""Due times of an absence that are counted one by one; more are estimated."""


class RunBook:
    """The daemon's jobs and all their runs."""

    def __init__(self, world: World, store: SqliteStore) -> None:
        self._world, self.store = world, store
        host = socket.gethostname()
        self._worker = Worker(f"{host}:daemon:{world.home_id}", host, os.getpid())
        self._jobs: dict[str, JobRecord] = {record.name: record for record in store.jobs(APP)}
        self._specs: dict[str, JobSpec] = {}
        self._followers = Followers(world.ledger, store, APP)
        self.runner = Runner(world, store, self)
        self.became_idle = self.runner.became_idle
        self.find, self.cancel = self.runner.find, self.runner.cancel
        self.pause_changed: Callable[[str], None] = lambda name: None
        """The crontab is told when a job was paused or resumed."""

    @property
    def suspended(self) -> bool:
        """The daemon leaves: runs that end now are left to the next daemon."""
        return self.runner.suspended

    @suspended.setter
    def suspended(self, leaving: bool) -> None:
        self.runner.suspended = leaving

    # --- known jobs ------------------------------------------------------------------------------------------------

    def register(self, name: str, job: JobSpec, schedule: Schedule | None, zone: str) -> Cursor:
        """Make a job known to the store, and learn how far its due times are dealt with."""
        now = self._world.clock.now()
        self._specs[name] = job
        self._followers.register(name, job, now)
        record = self._record(name, job, schedule, zone)
        before = self._jobs.get(name)
        if before is not None and _same(before, record):
            return Cursor(before.last_due, before.horizon, before.relived)
        try:
            return self._register(record, before, job, now)
        except StoreUnavailable as error:
            log.error("%s cannot be registered: %s", name, error.message)
            known = self._jobs.setdefault(name, before or record)
            return Cursor(known.last_due, known.horizon, known.relived)

    def _register(self, record: JobRecord, before: JobRecord | None, job: JobSpec, now: float) -> Cursor:
        name = record.name
        known = self._jobs[name] = self.store.register(record)
        if before is None or (before.cron, before.every, before.tz) != (record.cron, record.every, record.tz):
            # Another schedule owes nothing for the time of the former one, and a new one nothing at all. Written down at
            # once: what falls due while no daemon runs must be known to have been expected.
            self._close_former(before, now)
            self.store.set_cursor(APP, name, now, known.horizon, known.relived)
            self._jobs[name] = replace(known, last_due=now)
        if job.paused != (before is not None and _paused_by_spec(before)):
            self.store.set_paused(APP, name, job.paused)
            self._note(name)
        known = self._jobs[name]
        return Cursor(known.last_due, known.horizon, known.relived)

    def _record(self, name: str, job: JobSpec, schedule: Schedule | None, zone: str) -> JobRecord:
        words = f"every {job.every:g} s" if job.every else f"{job.cron} {job.tz or zone}".strip()
        policy = {"overlap": job.overlap, "timeout": job.timeout, "retries": job.retries, "missed": job.missed}
        return JobRecord(
            app=APP,
            name=name,
            source="daemon",
            schedule=words if schedule is not None else "",
            cron=job.cron,
            every=job.every,
            tz=job.tz or zone,
            policy=json.dumps(policy | {"paused": job.paused}),
            host=self._worker.host,
            pid=self._worker.pid,
            registered_at=self._world.clock.now(),
        )

    def _close_former(self, before: JobRecord | None, now: float) -> None:
        """Due times of a schedule that was replaced while nobody looked get their row too."""
        if before is None or before.last_due is None or before.paused:
            return
        try:
            former = schedule_of(JobSpec(cron=before.cron, every=before.every, tz=before.tz), before.name, "")
        except SpecError:
            return
        if former is not None:
            absence = resume(former, Cursor(before.last_due), now).absence
            self.note_absence(
                before.name, former, absence, Outcome.MISSED, "passed unattended under its former schedule"
            )

    def forget(self, name: str) -> None:
        """The job is no more; its runs stay in the ledger."""
        self._specs.pop(name, None)
        self._followers.forget(name)
        if self._jobs.pop(name, None) is not None:
            self.runner.cancel_idle(name, "its job was deleted")
            with contextlib.suppress(StoreUnavailable):  # then the next daemon's start forgets it
                self.store.forget(APP, name)

    def forget_others(self, names: set[str]) -> None:
        """At the start: jobs of the store that the ledger has no app for were deleted when nobody could write it down."""
        for name in [name for name in self._jobs if name not in names]:
            self.forget(name)

    def is_paused(self, name: str) -> bool:
        """Whether due times pass without a run."""
        known = self._jobs.get(name)
        return known is not None and known.paused

    def pause(self, name: str, paused: bool) -> None:
        """Pause or resume.

        Raises:
            TargetNotFound: no such job.
        """
        if name not in self._jobs or not self.store.set_paused(APP, name, paused):
            raise TargetNotFound(f"there is no job {name}", "`rota list` shows the jobs")
        self._note(name)
        self.tell(name, "job paused" if paused else "job resumed", "")
        self.pause_changed(name)
        self.changed(name)

    def _note(self, name: str) -> None:
        known = self.store.job(APP, name)
        if known is not None:
            self._jobs[name] = known

    def changed(self, name: str, *, read: bool = True) -> None:
        """A run started or ended, or another due time is next: what is expected of the job follows. `read`: its row may
        have changed."""
        try:
            if read:
                self._note(name)
            self._expect(name)
        except StoreUnavailable as error:
            log.error("%s: what is expected of it cannot be written: %s", name, error.message)

    def _expect(self, name: str) -> None:
        known = self._jobs.get(name)
        if known is None:
            return
        wake = self._world.next_due(name)
        expected = self._expected_by(known, wake)
        if (known.next_due, known.expected_by) != (wake, expected):
            self.store.set_next(APP, name, wake, expected)
            self._jobs[name] = replace(known, next_due=wake, expected_by=expected)

    def _expected_by(self, known: JobRecord, wake: float | None) -> float | None:
        if known.paused:
            return None
        if known.failures and known.expected_by is not None:
            return known.expected_by  # a success has been expected since then; a failed run is not one
        job = self._specs.get(known.name, JobSpec())
        started = [active.started for active in self.runner.of(known.name) if active.instance is not None]
        grace = default_late_grace(known.last_duration or job.timeout)
        return expected_by(wake, min(started, default=None), grace)

    def summary(self, entry: Entry) -> RunSummary:
        """A job in a list."""
        name = entry.name
        known = self._jobs.get(name)
        started = None
        if known is not None and known.last_finished is not None and known.last_duration is not None:
            started = known.last_finished - known.last_duration
        return RunSummary(
            outcome=known.last_outcome.value if known is not None and known.last_outcome else "",
            finished=known.last_finished if known is not None else None,
            started=started,
            running=len(self.runner.of(name)),
            next_due=self._world.next_due(name),
            paused=self.is_paused(name),
            runs=known.run_count if known is not None else 0,
        )

    # --- falling due -----------------------------------------------------------------------------------------------

    def due(self, name: str, spec: AppSpec, job: JobSpec, schedule: Schedule, decided: Plan) -> None:
        """What the planner decided about a job's due times: rows for all of them, a start for at most one.

        Raises:
            StoreUnavailable: nothing was started that is not written down; ask again.
        """
        now = self._world.clock.now()
        if decided.stepped_back:
            cursor = decided.cursor
            self.store.set_cursor(APP, name, cursor.last or now, cursor.horizon, cursor.relived)
        self.note_absence(name, schedule, decided.absence, Outcome.MISSED, "passed unattended")
        passed = [
            missed
            for missed in decided.missed
            if self.store.note_unrun(APP, name, missed.due, Outcome.MISSED, now, missed.reason, keep=job.keep_runs)
        ]
        if passed:
            self.tell(name, "run missed", f"{len(passed)} due: {passed[-1].reason}")
        if decided.due is not None:
            late = f"{decided.due.lateness:.0f} s late" if decided.due.lateness >= 1 else ""
            trigger: TriggerKind = "catch-up" if decided.due.caught_up else "cron"
            self._fall_due(name, spec, job, decided.due.due, trigger, late)
        happened = decided.due or decided.missed or decided.absence or decided.stepped_back
        self.changed(name, read=bool(happened))

    def note_absence(self, name: str, schedule: Schedule, absence: Absence | None, outcome: Outcome, why: str) -> None:
        """One row for many due times: the latest of them stands for all."""
        if absence is None:
            return
        count = _count(schedule, absence)
        note = f"{why}; this row stands for {count} due times" if count > 1 else why
        now = self._world.clock.now()
        keep = self._specs.get(name, JobSpec()).keep_runs
        if self.store.note_unrun(APP, name, absence.last, outcome, now, note, count, keep):
            self.tell(name, f"run {outcome.value}", note)

    def _fall_due(
        self,
        name: str,
        spec: AppSpec,
        job: JobSpec,
        due: float | None,
        trigger: TriggerKind,
        note: str = "",
        parent: int | None = None,
    ) -> Active | None:
        now = self._world.clock.now()
        going = [active.run for active in self.runner.of(name) if active.counts]
        waiting = [active.run for active in self.runner.of(name) if active.waits]
        decision = overlap.decide(job, going, waiting)
        if decision.act is overlap.Act.SKIP:
            if due is None or self.store.note_unrun(
                APP, name, due, Outcome.SKIPPED, now, decision.reason, keep=job.keep_runs
            ):
                self.tell(name, "run skipped", decision.reason)
            return None
        starts = decision.act is overlap.Act.START
        claimed = self.store.claim(
            Claim(
                app=APP, job=name, worker=self._worker, now=now, lease_until=None, due=due, trigger=trigger,
                parent=parent, state=RunState.CLAIMED if starts else RunState.WAITING,
                note="; ".join(text for text in (note, decision.reason) if text), next_due=self._world.next_due(name),
            )
        )  # fmt: skip
        if not isinstance(claimed, Claimed):
            return None  # decided before: by a daemon before this one, or on the other side of a clock step
        active = self.runner.track(name, spec, job, claimed.id, claimed.fence, due)
        active.waits = not starts
        for run in decision.superseded:
            superseded = self.runner.find(run)
            if superseded is not None:
                self.runner.conclude(superseded, RunEnding(Outcome.SKIPPED, "a newer run took its place"))
        for run in decision.victims:
            self.runner.cancel(run, "replaced by a newer run")
        if starts:
            self.runner.start(active)
        return active

    def run_now(
        self, name: str, *, trigger: TriggerKind = "manual", parent: int | None = None, note: str = ""
    ) -> Active:
        """A run that somebody asked for, paused or not.

        Raises:
            TargetNotFound: no such job.
            NotPermitted: it runs already and may not overlap.
        """
        entries = self._world.supervisor.named(name)
        spec = entries[0].spec if entries else None
        if spec is None or spec.job is None:
            raise TargetNotFound(f"there is no job {name}", "`rota list` shows the jobs")
        active = self._fall_due(name, spec, spec.job, None, trigger, note, parent)
        if active is None:
            running = ", ".join(str(active.run) for active in self.runner.of(name))
            raise NotPermitted(f"{name} is running already (run {running})", f"wait for it, or `rota stop {name}`")
        return active

    def ensure_run(self, name: str, note: str = "") -> None:
        """A run, unless one is under way: what starting a job's instances means, however many it has."""
        if not self.runner.of(name):
            self.run_now(name, note=note)

    def stopping(self, entry: Entry, why: str) -> None:
        """Somebody stops the job's instance by name: that cancels its run, and those in line."""
        active = self.runner.at(entry)
        if not self.runner.is_extra(entry):
            self.runner.cancel_idle(entry.name, why)
        if active is not None and not active.cancelled:
            active.cancelled = why

    # --- what the runner tells -------------------------------------------------------------------------------------

    def concluded(self, active: Active, outcome: Outcome, reason: str) -> None:
        """A run has its outcome."""
        self.changed(active.name)
        self.tell(active.name, f"run {outcome.value}", f"run {active.run}{f': {reason}' if reason else ''}")
        if outcome is Outcome.OK:
            with contextlib.suppress(StoreUnavailable):  # then the next success, or the next start, looks again
                for follower, at in self._followers.released_by(active.name):
                    self._release(follower, at)

    def _release(self, follower: str, at: float) -> None:
        entries = self._world.supervisor.named(follower)
        spec = entries[0].spec if entries else None
        if spec is None or spec.job is None or self.is_paused(follower):
            return
        self._fall_due(follower, spec, spec.job, None, "after", f"after {', '.join(spec.job.after)}")
        self._followers.mark(follower, at)

    def tell(self, name: str, kind: str, detail: str) -> None:
        """An event for the story of the job, the log, and whoever listens."""
        self._world.ledger.event(None, name, kind, detail)
        log.info("Job [%s] %s%s", name, kind, f" ({detail})" * bool(detail))
        self._world.bus.publish(ProcessEvent(self._world.clock.now(), kind, -1, name, detail))

    # --- after a crash, at the end ---------------------------------------------------------------------------------

    def recover(self) -> list[Active]:
        """Before adoption: see `recall.recover`."""
        return recall.recover(self._world, self.store, self.runner, APP)

    def resume(self, found: list[Active]) -> None:
        """After adoption: see `recall.resume`. Then releases of followers that were cut short."""
        recall.resume(self._world, self.runner, found)
        for follower, at in self._followers.left_over():
            self._release(follower, at)

    async def close(self) -> None:
        """Let go of the store; what waits in memory is in its rows."""
        await self.runner.close()
        self.store.close()


def _same(before: JobRecord, record: JobRecord) -> bool:
    """Whether nothing of the job's definition changed; who registered it when is not worth a write per job and start."""
    names = ("source", "schedule", "cron", "every", "tz", "policy", "host")
    return all(getattr(before, name) == getattr(record, name) for name in names) and before.last_due is not None


def _paused_by_spec(before: JobRecord) -> bool:
    return bool(json.loads(before.policy).get("paused", False))


def _count(schedule: Schedule, absence: Absence) -> int:
    """How many due times an absence stands for; of very many, about how many."""
    count, slot = 0, absence.first
    while slot <= absence.last and count < _COUNTED:
        count += 1
        following = schedule.trigger.first_after(slot)
        if following is None:
            break
        slot = following
    if slot > absence.last or count < _COUNTED:
        return count
    return 1 + round(count * (absence.last - absence.first) / max(slot - absence.first, 1.0))
