"""What happens when a job is due, asked for, or released by others: claim, then start, queue, replace or skip."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from rota.jobs import retry
from rota.jobs.after import released
from rota.jobs.overlap import Act, decide, room
from rota.jobs.plan import Cursor
from rota.jobs.run import Outcome, RunState
from rota.jobs.run import Run as PureRun
from rota.schedule.agenda import Agenda, count_between
from rota.schedule.execution import Execution
from rota.stores.records import Claimed, JobRecord, Refused, RunRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota.clock import Clock
    from rota.jobs.plan import Firing, Plan
    from rota.jobs.run import TriggerKind
    from rota.schedule.executions import Executions
    from rota.schedule.job import Job
    from rota.schedule.ledger import Ledger
    from rota.schedule.logs import EventLog
    from rota.schedule.timers import Timer, Timers

_RACES = 3
"""Times to look again when room that was there is gone."""


class Firings:
    """Turns due times, requests and successes into claimed runs."""

    def __init__(
        self, ledger: Ledger, agenda: Agenda, executions: Executions, timers: Timers, clock: Clock, log: EventLog
    ) -> None:
        self._ledger, self._agenda, self._executions, self._timers = ledger, agenda, executions, timers
        self._clock, self._log = clock, log
        self._records: dict[Job, JobRecord] = {}
        self._followers: dict[str, list[Job]] = {}
        """Jobs that run after the success of another, by its name."""
        self._wishes = False
        """Whether a request waits for room."""
        self._alarm: Timer | None = None
        """When the next request has its time."""
        self._asked: set[Job] = set()
        """Jobs whose run at the start was asked for."""
        self._asking: set[Job] = set()
        """The same, but perhaps not yet written."""

    def knows(self, job: Job) -> bool:
        """Whether the job could be registered."""
        return job in self._records

    def register(self, job: Job) -> None:
        """Write the job down and begin where the ledger says it stands."""
        record = self._ledger.register(job)
        self._records[job] = record
        for name in job.spec.after:
            followers = self._followers.setdefault(name, [])
            if job not in followers:
                followers.append(job)
        now = self._clock.now()
        if job.schedule is not None:
            if record.last_due is None:
                # New: it owes nothing from before. Written down, so that it owes what falls due from now on.
                self._ledger.store.set_cursor(self._ledger.app, job.name, now, 0.0, 0)
                record = replace(record, last_due=now)
            self._agenda.add(job, Cursor(record.last_due, record.horizon, record.relived), now)
            next_start = job.schedule.next_start(now)
            expected = None if next_start is None else next_start + self._ledger.grace(job)
            self._ledger.store.set_next(self._ledger.app, job.name, next_start, expected)
            self._log.registered(job, next_start)
        else:
            self._log.registered(job, None)
        if job.trouble:
            self._log.job(logging.WARNING, "override", job.name, job.trouble)
        if job.spec.run_on_start and not record.paused:
            self._run_on_start(job, now)

    def settled(self) -> None:
        """What was asked for is in the ledger."""
        self._asked |= self._asking
        self._asking.clear()

    def discard(self) -> None:
        """It is not."""
        self._asking.clear()

    def fire(self, job: Job) -> None:
        """Look at a job that may be due."""
        now = self._clock.now()
        if self._records[job].paused:
            return
        plan = self._agenda.plan(job, now)
        if plan.stepped_back and plan.cursor.relived != self._agenda.cursor(job).relived:
            cursor, last = plan.cursor, now if plan.cursor.last is None else plan.cursor.last
            self._ledger.store.set_cursor(self._ledger.app, job.name, last, cursor.horizon, cursor.relived)
        self._note_missed(job, plan)
        if plan.due is not None:
            trigger: TriggerKind = "catch-up" if plan.due.caught_up else "cron"
            self._claim_due(job, plan.due, trigger, plan.wake)
        # Only now: a store that failed above leaves the due time to be tried again.
        self._agenda.keep(job, plan)

    def slot_free(self, job: Job, outcome: Outcome, jobs: Mapping[str, Job]) -> None:
        """A run ended: start who waits for its place, and release who waits for its success."""
        self._executions.start_queued(job)
        if self._wishes:
            self._serve_requests(jobs)
        if outcome is Outcome.OK and job.name in self._followers:
            self._release(jobs)

    def learn(self, jobs: Mapping[str, Job]) -> None:
        """Look at what others wrote: pauses, due times decided, failures, requests, successes, room."""
        for record in self._ledger.store.jobs(self._ledger.app):
            job = jobs.get(record.name)
            if job is None or job not in self._records:
                continue
            self._agenda.learn(job, record.last_due)
            self._ledger.learn_failures(job, record.failures)
            self._remember(job, record)
        for job in self._executions.queued_jobs():
            self._executions.start_queued(job)
        self._serve_requests(jobs)
        if self._followers:
            self._release(jobs)

    def abandoned(self, run: RunRecord, jobs: Mapping[str, Job]) -> None:
        """A worker died with this run; its policy says whether it is tried again."""
        job = jobs.get(run.job)
        self._log.job(
            logging.ERROR, "abandoned", run.job, f"run {run.id}: {run.error}", run=run.id, worker=run.claimed_by
        )
        if job is None:
            return
        now = self._clock.now()
        next_start = None if job.schedule is None else job.schedule.next_start(now)
        attempt = PureRun(job=job.name, attempt=run.attempt)
        decision = retry.decide(job.spec, attempt, Outcome.ABANDONED, now, next_start)
        if isinstance(decision, retry.Again):
            store, app = self._ledger.store, self._ledger.app
            note = f"after run {run.id}"
            store.request(app, job.name, decision.at, "retry", parent=run.id, attempt=decision.attempt, note=note)
            self._serve_requests(jobs)

    # -- due times

    def _run_on_start(self, job: Job, now: float) -> None:
        slot = None if job.schedule is None else job.schedule.trigger.last_at(now)
        if slot is None:
            if job in self._asked:
                return  # registered anew, after the store had failed
            self._asking.add(job)
            self._ledger.store.request(self._ledger.app, job.name, now, note="at the start")
            self._serve_requests({job.name: job}, only=True)
        else:
            self._claim(job, slot, "catch-up", None, "at the start")

    def _note_missed(self, job: Job, plan: Plan) -> None:
        if plan.absence is not None:
            self._note_absence(job, plan.absence.first, plan.absence.last, "passed unattended")
        for missed in plan.missed:
            if self._ledger.unrun(job, missed.due, Outcome.MISSED, missed.reason):
                self._log.unrun(job, Outcome.MISSED, missed.due, missed.reason)

    def _note_absence(self, job: Job, first: float, last: float, reason: str) -> None:
        count = count_between(job, first, last)
        if self._ledger.unrun(job, last, Outcome.MISSED, f"{count} due times {reason}", count):
            self._log.unrun(job, Outcome.MISSED, last, reason, count)

    def _claim_due(self, job: Job, firing: Firing, trigger: TriggerKind, next_start: float | None) -> None:
        note = f"{firing.lateness:.0f} s late" if firing.caught_up else ""
        refused = self._claim(job, firing.due, trigger, next_start, note)
        if refused is not None and refused.reason == "held":
            self._note_held(job, firing.due)

    def _note_held(self, job: Job, due: float) -> None:
        record = self._ledger.store.job(self._ledger.app, job.name)
        if record is None:
            return
        self._remember(job, record)
        if record.hold == "breaker" and not record.paused:
            reason = "the circuit breaker is open"
            if self._ledger.unrun(job, due, Outcome.SKIPPED, reason):
                self._log.unrun(job, Outcome.SKIPPED, due, reason)

    def _claim(
        self, job: Job, due: float, trigger: TriggerKind, next_start: float | None, note: str = ""
    ) -> Refused | None:
        """Claim and act on what the claim, and the overlap rule, say. Returns a refusal that decided nothing."""
        limit = room(job.spec)
        free = None if limit == float("inf") else int(limit)
        state = RunState.CLAIMED if job.budgets else RunState.RUNNING
        for _ in range(_RACES):
            result = self._ledger.claim(
                job, due=due, trigger=trigger, room=free, state=state, note=note, next_start=next_start
            )
            if isinstance(result, Claimed):
                self._launch(job, result, due, trigger)
                return None
            if result.reason != "busy":
                return result
            if self._overlap(job, due, trigger, next_start, self._ledger.live(job)):
                return None
        return Refused("busy")

    def _overlap(
        self, job: Job, due: float, trigger: TriggerKind, next_start: float | None, live: Sequence[RunRecord]
    ) -> bool:
        """There is no room. True when the due time is decided, False when room came meanwhile."""
        queued = [run.id for run in live if run.state is RunState.WAITING and run.started is None]
        running = [run.id for run in live if run.id not in queued]
        decision = decide(job.spec, running, queued)
        if decision.act is Act.START:
            return False
        if decision.act is Act.SKIP:
            held_up = job.budgets and all(run.state is RunState.CLAIMED for run in live)
            reason = "the previous run still waits for its budget" if held_up else decision.reason
            if self._ledger.unrun(job, due, Outcome.SKIPPED, reason):
                self._log.unrun(job, Outcome.SKIPPED, due, reason)
            return True
        result = self._ledger.claim(
            job, due=due, trigger=trigger, state=RunState.WAITING, note=decision.reason, next_start=next_start
        )
        if isinstance(result, Claimed):
            execution = Execution(job, result.id, result.fence, due, trigger)
            self._executions.enqueue(execution)
            for run in decision.superseded:
                self._end(run, "a newer run took its place", Outcome.SKIPPED)
            for run in decision.victims:
                self._end(run, f"replaced by run {result.id}")
        return True

    def _end(self, run: int, reason: str, outcome: Outcome = Outcome.CANCELLED) -> None:
        execution = self._executions.live.get(run)
        if execution is None:
            self._ledger.store.request_cancel(run)  # it is another worker's, who looks when it renews its leases
        else:
            self._executions.cancel(execution, reason, outcome)

    def _launch(self, job: Job, claimed: Claimed, due: float | None, trigger: TriggerKind, attempt: int = 1) -> None:
        started = None if job.budgets else self._clock.now()
        self._executions.launch(Execution(job, claimed.id, claimed.fence, due, trigger, attempt, started))

    # -- requests and chains

    def _serve_requests(self, jobs: Mapping[str, Job], *, only: bool = False) -> None:
        """`only`: these are not all jobs, and whoever looks at all of them sets the alarm."""
        wishes = self._ledger.store.requested(self._ledger.app)
        self._wishes = only and self._wishes
        for wish in wishes:
            job = jobs.get(wish.job)
            if job is None:
                continue
            early = (wish.requested or 0.0) - self._clock.now()
            if early > 0:  # a retry that has its time
                if not only:
                    self._look_again(self._clock.monotonic() + early, jobs)
                continue
            limit = room(job.spec)
            free = None if limit == float("inf") else int(limit)
            state = RunState.CLAIMED if job.budgets else RunState.RUNNING
            result = self._ledger.claim(
                job, trigger=wish.trigger, run=wish.id, attempt=wish.attempt, room=free, state=state
            )
            if isinstance(result, Claimed):
                self._launch(job, result, None, wish.trigger, wish.attempt)
            elif result.reason == "busy":
                self._wishes = True

    def _look_again(self, at: float, jobs: Mapping[str, Job]) -> None:
        """One timer for all: requests are looked at whenever anything changes, and may have their time hours from now."""
        if self._alarm is not None and self._alarm.act is not None:
            if self._alarm.at <= at:
                return
            self._timers.cancel(self._alarm)
        self._alarm = self._timers.at(at, lambda: self._serve_requests(jobs))

    def _release(self, jobs: Mapping[str, Job]) -> None:
        records = {record.name: record for record in self._ledger.store.jobs(self._ledger.app)}
        successes = {name: record.last_success for name, record in records.items() if record.last_success is not None}
        for job in [job for job in jobs.values() if job.spec.after]:
            record = records.get(job.name)
            instant = released(job.spec, successes, self._last_release(job, record))
            if instant is not None and record is not None and not record.paused:
                self._claim(job, instant, "after", None)

    def _last_release(self, job: Job, record: JobRecord | None) -> float | None:
        if record is None or job.schedule is None:
            return record.last_due if record else None
        runs = self._ledger.store.runs(self._ledger.app, job.name, limit=job.spec.keep_runs)
        return max((run.due for run in runs if run.trigger == "after" and run.due is not None), default=None)

    # -- pause

    def _remember(self, job: Job, record: JobRecord) -> None:
        before, self._records[job] = self._records[job], record
        if before.paused != record.paused:
            self._pause_changed(job, record.paused)

    def _pause_changed(self, job: Job, paused: bool) -> None:
        self._log.job(logging.INFO, "paused" if paused else "resumed", job.name, "")
        if job.schedule is None:
            return
        now = self._clock.now()
        if paused:
            self._ledger.store.set_next(self._ledger.app, job.name, None, None)
            return
        plan = self._agenda.plan_resume(job, now)
        if plan.absence is not None:
            self._note_absence(job, plan.absence.first, plan.absence.last, "passed while the job was paused")
        self._agenda.keep(job, plan)
        self._ledger.store.set_next(self._ledger.app, job.name, plan.wake, None)
