"""Runs of jobs: claimed in the ledger before they start, started through the supervisor, concluded from how they ended.

State that matters lives in the store (`runs`, `jobs`); `Active` is what the daemon needs while a run is under way, and is
rebuilt from the store and the instances after any crash.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from typing import TYPE_CHECKING

from rota.daemon.activity import Active, verify
from rota.errors import NotPermitted, RotaError, TargetNotFound
from rota.jobs import after, overlap, retry
from rota.jobs.plan import Cursor
from rota.jobs.run import Ending as RunEnding
from rota.jobs.run import Outcome, Run, RunState, conclude
from rota.process.record import RunSummary
from rota.process.restart import signal_name
from rota.process.state import Backoff, Failed, process_of
from rota.stores.records import Claim, Claimed, Ending, JobRecord, Worker
from rota.wire.messages import ProcessEvent

if TYPE_CHECKING:
    from rota.daemon.entry import Entry
    from rota.daemon.world import World
    from rota.jobs.plan import Plan, Schedule
    from rota.jobs.run import TriggerKind
    from rota.jobs.spec import JobSpec
    from rota.process.spec import AppSpec
    from rota.stores.records import RunRecord
    from rota.stores.sqlite import SqliteStore

log = logging.getLogger("rota.jobs")

APP = ""
"""The daemon's own jobs belong to no app's process."""


class RunBook:
    """All runs of the daemon's jobs."""

    def __init__(self, world: World, store: SqliteStore) -> None:
        self._world, self.store = world, store
        host = socket.gethostname()
        self._worker = Worker(f"{host}:daemon:{world.home_id}", host, os.getpid())
        self._jobs: dict[str, JobRecord] = {}
        self._active: dict[str, dict[int, Active]] = {}
        self._by_instance: dict[int, Active] = {}
        self._released: dict[str, float | None] = {}
        self.suspended = False
        """The daemon leaves: runs that are ended now are not concluded; the next daemon finds them abandoned."""

    # --- known jobs ------------------------------------------------------------------------------------------------

    def register(self, name: str, spec: AppSpec, schedule: Schedule | None, zone: str) -> Cursor:
        """Make a job known to the store, and learn how far its due times are dealt with."""
        job = spec.job
        assert job is not None
        words = f"every {job.every:g} s" if job.every else f"{job.cron} {job.tz or zone}".strip()
        policy = {"overlap": job.overlap, "timeout": job.timeout, "retries": job.retries, "missed": job.missed}
        record = JobRecord(
            app=APP,
            name=name,
            source="daemon",
            schedule=words if schedule is not None else "",
            cron=job.cron,
            every=job.every,
            tz=job.tz or zone,
            policy=json.dumps(policy),
            host=self._worker.host,
            pid=self._worker.pid,
            registered_at=self._world.clock.now(),
        )
        before = self.store.job(APP, name)
        known = self._jobs[name] = self.store.register(record)
        if job.paused and before is None:
            self.store.set_paused(APP, name, True)
            self._note(name)
        if before is not None and (before.cron, before.every, before.tz) != (record.cron, record.every, record.tz):
            return Cursor()  # another schedule owes nothing for the time of the former one
        return Cursor(known.last_due, known.horizon, known.relived)

    def forget(self, name: str) -> None:
        """The job is no more; its runs stay in the ledger."""
        if self._jobs.pop(name, None) is not None:
            self.store.forget(APP, name)

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

    def _note(self, name: str) -> None:
        known = self.store.job(APP, name)
        if known is not None:
            self._jobs[name] = known

    def summary(self, entry: Entry) -> RunSummary:
        """A job in a list."""
        name = entry.name
        known = self._jobs.get(name)
        running = self._active.get(name, {})
        started = None
        if known is not None and known.last_finished is not None and known.last_duration is not None:
            started = known.last_finished - known.last_duration
        return RunSummary(
            outcome=known.last_outcome.value if known is not None and known.last_outcome else "",
            finished=known.last_finished if known is not None else None,
            started=started,
            running=len(running),
            next_due=self._world.next_due(name),
            paused=self.is_paused(name),
            runs=known.run_count if known is not None else 0,
        )

    # --- falling due -----------------------------------------------------------------------------------------------

    def due(self, name: str, spec: AppSpec, job: JobSpec, decided: Plan) -> None:
        """What the planner decided about a job's due times: rows for all of them, a start for at most one."""
        now = self._world.clock.now()
        if decided.stepped_back:
            cursor = decided.cursor
            log.warning("%s: the clock went back by %.0f s", name, decided.stepped_back)
            self.store.set_cursor(APP, name, cursor.last or now, cursor.horizon, cursor.relived)
        if decided.absence is not None:
            note = "passed unattended; this row stands for all since the first of them"
            self.store.note_unrun(APP, name, decided.absence.last, Outcome.MISSED, now, note)
        for missed in decided.missed:
            self.store.note_unrun(APP, name, missed.due, Outcome.MISSED, now, missed.reason)
        if decided.missed or decided.absence:
            self._tell(name, "run missed", f"{len(decided.missed) or 1} due times passed unattended")
        if decided.due is not None:
            late = f"{decided.due.lateness:.0f} s late" if decided.due.lateness >= 1 else ""
            trigger: TriggerKind = "catch-up" if decided.due.caught_up else "cron"
            self._fall_due(name, spec, job, decided.due.due, trigger, late)
        self.store.set_next(APP, name, decided.wake, None)
        self._note(name)

    def _fall_due(
        self, name: str, spec: AppSpec, job: JobSpec, due: float | None, trigger: TriggerKind, note: str = ""
    ) -> Active | None:
        now = self._world.clock.now()
        if due is not None and self.is_paused(name):
            self.store.note_unrun(APP, name, due, Outcome.SKIPPED, now, "the job is paused")
            return None
        going = [active.run for active in self._of(name) if active.counts]
        waiting = [active.run for active in self._of(name) if active.waits]
        decision = overlap.decide(job, going, waiting)
        if decision.act is overlap.Act.SKIP:
            if due is not None:
                self.store.note_unrun(APP, name, due, Outcome.SKIPPED, now, decision.reason)
            self._tell(name, "run skipped", decision.reason)
            return None
        starts = decision.act is overlap.Act.START
        state = RunState.CLAIMED if starts else RunState.WAITING
        claimed = self.store.claim(
            Claim(
                app=APP, job=name, worker=self._worker, now=now, lease_until=None, due=due, trigger=trigger,
                state=state, note="; ".join(text for text in (note, decision.reason) if text),
                next_due=self._world.next_due(name),
            )
        )  # fmt: skip
        if not isinstance(claimed, Claimed):
            return None  # decided before: by a daemon before this one, or on the other side of a clock step
        active = self._track(name, spec, job, claimed.id, claimed.fence, due)
        active.waits = not starts
        for run in decision.superseded:
            self._conclude(self._active[name][run], RunEnding(Outcome.SKIPPED, "a newer run took its place"))
        for run in decision.victims:
            self.cancel(run, "replaced by a newer run")
        if starts:
            self._start(active)
        return active

    def run_now(
        self, name: str, *, trigger: TriggerKind = "manual", parent: int | None = None, note: str = ""
    ) -> Active:
        """A run that somebody asked for.

        Raises:
            TargetNotFound: no such job.
            NotPermitted: it runs already and may not overlap.
        """
        entries = self._world.supervisor.named(name)
        spec = entries[0].spec if entries else None
        if spec is None or spec.job is None:
            raise TargetNotFound(f"there is no job {name}", "`rota list` shows the jobs")
        active = self._fall_due(name, spec, spec.job, None, trigger, note)
        if active is None:
            running = ", ".join(str(active.run) for active in self._of(name))
            raise NotPermitted(f"{name} is running already (run {running})", f"wait for it, or `rota stop {name}`")
        return active

    # --- one run ---------------------------------------------------------------------------------------------------

    def _of(self, name: str) -> list[Active]:
        return [active for _, active in sorted(self._active.get(name, {}).items())]

    def find(self, run: int) -> Active | None:
        """A run under way."""
        return next((found[run] for found in self._active.values() if run in found), None)

    def _track(self, name: str, spec: AppSpec, job: JobSpec, run: int, fence: int, due: float | None) -> Active:
        active = Active(name=name, spec=spec, job=job, run=run, fence=fence, due=due)
        self._active.setdefault(name, {})[run] = active
        return active

    def _start(self, active: Active) -> None:
        """Start an attempt, once its budgets allow."""
        active.waits = False
        if active.job.budget:
            active.task = self._world.loop.create_task(self._after_budget(active))
        else:
            self._spawn(active)

    async def _after_budget(self, active: Active) -> None:
        try:
            await self._world.budgets.take(self.store, active)
        except RotaError as error:
            self._conclude(active, RunEnding(Outcome.FAILED, error.message))
            return
        if active.cancelled:
            self._conclude(active, RunEnding(Outcome.CANCELLED, active.cancelled))
            return
        self._spawn(active)

    def _spawn(self, active: Active) -> None:
        now = self._world.clock.now()
        entry = self._free_instance(active)
        active.instance, active.started, active.timed_out = entry.id, now, False
        self._by_instance[entry.id] = active
        entry.run_log = active.output = self._output_path(active)
        self.store.place(active.run, active.fence, instance=entry.id, pid=None, output=active.output)
        self.store.advance(active.run, active.fence, RunState.RUNNING, now, attempt=active.attempt)
        self._note(active.name)
        self._world.supervisor.want([entry.id], "up", f"run {active.run}{_of_due(active.due)}")
        if active.job.timeout and active.instance is not None:
            active.timer = self._world.loop.call_later(active.job.timeout, self._timed_out, active)

    def _free_instance(self, active: Active) -> Entry:
        """An instance of the job that is idle; one more where all are busy (it goes when the run is over)."""
        supervisor = self._world.supervisor
        for entry in supervisor.named(active.name):
            if entry.id not in self._by_instance and process_of(entry.instance.actual) is None:
                return entry
        (extra,) = supervisor.create([active.spec])
        active.extra = True
        return extra

    def _output_path(self, active: Active) -> str:
        from rota.process.paths import safe_name

        return f"{self._world.home.logs}/runs/{safe_name(active.name)}/{active.run}.log"

    def _timed_out(self, active: Active) -> None:
        active.timed_out = True
        if active.instance is not None:
            self._tell(active.name, "run timeout", f"run {active.run} exceeded {active.job.timeout:g} s")
            self._world.supervisor.want([active.instance], "down", f"it ran longer than {active.job.timeout:g} s")

    def cancel(self, run: int, why: str) -> None:
        """End a run.

        Raises:
            TargetNotFound: it is not under way.
        """
        active = self.find(run)
        if active is None:
            raise TargetNotFound(f"run {run} is not under way", "`rota runs` shows what is")
        active.cancelled = why
        if active.instance is not None:
            self._world.supervisor.want([active.instance], "down", why)
        elif active.task is None or active.task.done():
            self._conclude(active, RunEnding(Outcome.CANCELLED, why))

    def stopping(self, entry: Entry, why: str) -> None:
        """Somebody stops the job's instance by name: that cancels its run."""
        active = self._by_instance.get(entry.id)
        if active is not None and not active.cancelled:
            active.cancelled = why

    # --- it ended --------------------------------------------------------------------------------------------------

    def became_idle(self, entry: Entry) -> None:
        """Nothing of an instance runs any more: its run, if it had one, has ended."""
        active = self._by_instance.get(entry.id)
        if active is None or isinstance(entry.instance.actual, Backoff) or self.suspended:
            return
        del self._by_instance[entry.id]
        if active.timer is not None:
            active.timer.cancel()
        ending = self._ending(entry, active)
        entry.run_log = ""
        if active.extra:
            self._world.loop.call_soon(self._world.supervisor.want, [entry.id], "forget", "its run is over")
        active.instance, active.extra = None, False
        if ending.outcome is Outcome.OK and active.job.verify:
            active.task = self._world.loop.create_task(self._verify(active, ending))
        else:
            self._attempt_over(active, ending)

    def _ending(self, entry: Entry, active: Active) -> RunEnding:
        actual, last = entry.instance.actual, entry.instance.last_exit
        if isinstance(actual, Failed):
            stuck = actual.reason.startswith("still alive")
            return RunEnding(Outcome.STUCK if stuck else Outcome.FAILED, actual.reason)
        if active.abandoned or last is None or not last.known:
            return RunEnding(
                Outcome.ABANDONED, active.abandoned or "it ended while nobody was looking; exit code unknown"
            )
        return conclude(
            last.code,
            signal_name(last.signal) if last.signal is not None else None,
            cancelled=active.cancelled,
            timed_out=active.job.timeout if active.timed_out else 0.0,
        )

    async def _verify(self, active: Active, ending: RunEnding) -> None:
        code = await verify(self._world, active)
        self._attempt_over(active, conclude(ending.exit_code, ending.signal, verify_code=code))

    def _attempt_over(self, active: Active, ending: RunEnding) -> None:
        now = self._world.clock.now()
        run = Run(job=active.name, id=active.run, attempt=active.attempt)
        verdict = retry.decide(active.job, run, ending.outcome, now, self._world.next_due(active.name))
        if isinstance(verdict, retry.Again) and not self.is_paused(active.name):
            self.store.amend(active.run, f"attempt {active.attempt}: {ending.reason}")
            self.store.advance(active.run, active.fence, RunState.WAITING, now, attempt=verdict.attempt)
            active.attempt, active.retrying = verdict.attempt, True
            self._tell(active.name, "run retry", verdict.reason)
            active.timer = self._world.loop.call_later(max(verdict.at - now, 0.0), self._try_again, active)
        else:
            self._conclude(active, ending)

    def _try_again(self, active: Active) -> None:
        active.retrying = False
        self._start(active)

    def _conclude(self, active: Active, ending: RunEnding) -> None:
        now = self._world.clock.now()
        outcome = ending.outcome
        size = _size(active.output)
        self.store.finish(
            active.run,
            active.fence,
            Ending(
                outcome=outcome, finished=now, error=ending.reason if outcome.bad else "",
                note=None if outcome.bad or not ending.reason else ending.reason,
                exit_code=ending.exit_code, signal=ending.signal, keep=active.job.keep_runs, output_end=size,
            ),
        )  # fmt: skip
        self._active.get(active.name, {}).pop(active.run, None)
        self._note(active.name)
        self._tell(
            active.name, f"run {outcome.value}", f"run {active.run}{f': {ending.reason}' if ending.reason else ''}"
        )
        active.over(outcome, ending)
        self._world.loop.call_soon(self._prune_output, active)
        self._admit(active.name)
        if outcome is Outcome.OK:
            self._release_followers(active.name)

    def _admit(self, name: str) -> None:
        """There is room: start what waited."""
        actives = self._of(name)
        going = [active.run for active in actives if active.counts]
        waiting = [active.run for active in actives if active.waits]
        if waiting:
            for run in overlap.admit(actives[0].job, going, waiting):
                self._start(self._active[name][run])

    def _release_followers(self, name: str) -> None:
        """Jobs that follow this one's success, when all they wait for has succeeded anew."""
        for follower in list(self._world.supervisor.by_name):
            spec = self._world.supervisor.named(follower)[0].spec
            if spec.job is None or name not in spec.job.after:
                continue
            records = [self.store.job(APP, other) for other in spec.job.after]
            successes = {
                found.name: found.last_success for found in records if found and found.last_success is not None
            }
            at = after.released(spec.job, successes, self._released.get(follower))
            if at is not None and not self.is_paused(follower):
                self._released[follower] = at
                self._fall_due(follower, spec, spec.job, None, "after", f"after {', '.join(spec.job.after)}")

    def _prune_output(self, active: Active) -> None:
        """Output files of runs whose rows are gone go too."""
        directory = os.path.dirname(active.output) if active.output else ""
        if not directory or (active.run % 10 and active.job.keep_runs > 10):
            return
        rows = self.store.runs(APP, active.name, limit=1_000_000)
        kept = {str(row.id) for row in rows}
        for file in os.scandir(directory):
            run = file.name.lstrip(".").partition(".")[0].partition("__")[0]
            if run.isdigit() and run not in kept:
                os.unlink(file.path)

    def _tell(self, name: str, kind: str, detail: str) -> None:
        self._world.ledger.event(None, name, kind, detail)
        log.info("Job [%s] %s (%s)", name, kind, detail)
        self._world.bus.publish(ProcessEvent(self._world.clock.now(), kind, -1, name, detail))

    # --- after a crash ---------------------------------------------------------------------------------------------

    def recover(self) -> list[Active]:
        """Before adoption: tie unfinished runs to their instances, so that what adoption finds concludes them."""
        found: list[Active] = []
        for record in reversed(self.store.runs(APP, unfinished=True, limit=100_000)):
            entries = self._world.supervisor.named(record.job)
            spec = entries[0].spec if entries else None
            if spec is None or spec.job is None:
                ending = Ending(outcome=Outcome.ABANDONED, finished=self._world.clock.now(), error="its job is no more")
                self.store.finish(record.id, record.fence, ending)
                continue
            active = self._track(record.job, spec, spec.job, record.id, record.fence, record.due)
            active.attempt, active.output = record.attempt, record.output
            active.waits = record.state is RunState.WAITING
            found.append(active)
            if record.state is RunState.RUNNING and record.instance is not None:
                self._tie(active, record)
        return found

    def _tie(self, active: Active, record: RunRecord) -> None:
        entry = self._world.supervisor.entries.get(record.instance if record.instance is not None else -1)
        active.started = record.started or 0.0
        if entry is None or entry.name != active.name:
            active.lost = True
            return
        active.instance = entry.id
        active.extra = entry is not self._world.supervisor.named(active.name)[0] and entry.instance.number > 0
        self._by_instance[entry.id] = active
        entry.run_log = record.output

    def resume(self, found: list[Active]) -> None:
        """After adoption: conclude what ended unseen, start what was claimed and never started, arm what runs."""
        for active in found:
            if active.run not in self._active.get(active.name, {}):
                continue
            entry = self._world.supervisor.entries.get(active.instance) if active.instance is not None else None
            if active.lost:
                self._attempt_over(active, RunEnding(Outcome.ABANDONED, "it was lost with the machine or the daemon"))
            elif entry is None:
                self._resume_unstarted(active)
            elif process_of(entry.instance.actual) is None and not isinstance(entry.instance.actual, Backoff):
                if entry.instance.desired == "up":
                    active.abandoned = "rota was shut down while it ran"
                    self._world.supervisor.want([entry.id], "down", "its run is over")
                self.became_idle(entry)
            elif active.job.timeout:
                left = active.started + active.job.timeout - self._world.clock.now()
                active.timer = self._world.loop.call_later(max(left, 0.0), self._timed_out, active)

    def _resume_unstarted(self, active: Active) -> None:
        """Claimed, and the daemon died before the start: it certainly did not run, so it runs now."""
        if active.waits and any(other.counts for other in self._of(active.name) if other is not active):
            return  # it still waits for its turn
        self._start(active)

    async def close(self) -> None:
        """Cancel what waits in memory; the rows say the rest."""
        tasks = [active.task for found in self._active.values() for active in found.values() if active.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.store.close()


def _of_due(due: float | None) -> str:
    if due is None:
        return ""
    from datetime import UTC, datetime

    return f", due {datetime.fromtimestamp(due, UTC).strftime('%Y-%m-%d %H:%M:%S')} UTC"


def _size(path: str) -> int | None:
    try:
        return os.path.getsize(path) if path else None
    except OSError:
        return None
