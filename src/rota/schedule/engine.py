"""The scheduler's one owner of state: `tick` does what is due and says how long to sleep. Who calls it sleeps.

Everything that happens elsewhere (a function that ended, a person who pauses a job) arrives as a message and is handled
in the next tick, in the thread that ticks. No exception of a job, a schedule or the store stops it.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from rota.errors import StoreUnavailable
from rota.jobs.run import RunState
from rota.schedule.agenda import Agenda
from rota.schedule.executions import Executions
from rota.schedule.firing import Firings
from rota.schedule.ledger import Ledger
from rota.schedule.timers import Timers
from rota.schedule.workers import is_dead
from rota.stores.records import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.clock import Clock
    from rota.jobs.run import Outcome
    from rota.schedule.execution import Runner
    from rota.schedule.job import Job
    from rota.schedule.logs import EventLog
    from rota.stores.base import Store
    from rota.stores.records import RunRecord, Worker

LONGEST_SLEEP = 5.0
"""Seconds; the clock is looked at this often, because it may be moved and machines are suspended."""
POLL = 1.0
"""Seconds between looks at what others wrote to the store."""
BATCH = 50
"""Claims or messages handled in one transaction: other workers wait meanwhile."""
REAP = 2.0
"""Seconds between looks for runs whose worker died."""
BEAT = 5.0
"""Seconds between heartbeats."""
_STEP = 0.5
"""Seconds by which wall and monotonic clock may drift apart between ticks before the clock counts as moved."""
_FORGET_AFTER = 600.0
"""Seconds after which the heartbeat of a worker that died is no longer shown."""


class Engine:
    """Jobs, timers, runs. Not thread-safe but for `post`, `last_tick` and `finished`."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        app: str,
        worker: Worker,
        log: EventLog,
        runner_of: Callable[[Job], Runner],
        lease: float,
        wake: Callable[[], None],
    ) -> None:
        self.store, self.clock, self.app, self.worker, self.log = store, clock, app, worker, log
        self.jobs: dict[str, Job] = {}
        self.ledger = Ledger(store, app, worker, clock, lease)
        self.agenda, self.timers = Agenda(), Timers()
        self.executions = Executions(self.ledger, clock, self.timers, log, runner_of, self.post, self._slot_free)
        self.firings = Firings(self.ledger, self.agenda, self.executions, self.timers, clock, log)
        self.last_tick = clock.monotonic()
        self.finished = threading.Event()
        self.detail: dict[str, object] = {}
        """What the heartbeat tells besides; others may put facts here."""
        self.longest_sleep = LONGEST_SLEEP
        self._wake, self._lease = wake, lease
        self._mailbox: deque[Callable[[], object]] = deque()
        self._offset = clock.now() - clock.monotonic()
        self._changes = -1
        self._watchers: dict[int, Callable[[RunRecord | None], None]] = {}
        self._stopping = False
        self._said_unavailable = False

    def post(self, message: Callable[[], object]) -> None:
        """Do this in the next tick. From any thread."""
        self._mailbox.append(message)
        self._wake()

    def begin(self, jobs: dict[str, Job], *, alone: bool = False) -> None:
        """Register the jobs and start the clockwork. The first tick is stamped before anything can hang.

        `alone`: nobody else looks at the store, as in a simulation: no heartbeats, no leases to renew.
        """
        self.last_tick = now = self.clock.monotonic()
        waiting = list(jobs.values())
        for start in range(0, len(waiting), BATCH):
            self._together([partial(self.add, job) for job in waiting[start : start + BATCH]])
        for job in waiting:
            for name in set(job.spec.after) - jobs.keys():
                self.log.job(logging.WARNING, "after", job.name, f"{name}: there is no such job here, so far")
        if alone:
            self.longest_sleep = float("inf")
            return
        self._repeat(now, BEAT, self._beat)
        self._repeat(now, self._lease / 2, self._renew)
        self._repeat(now, min(self._lease / 2, REAP), self.reap)
        self._repeat(now, POLL, self._look_at_others)

    def add(self, job: Job) -> None:
        """A job is known from now on."""
        self.jobs[job.name] = job
        self._careful(lambda: self.firings.register(job), job)

    def remove(self, job: Job) -> None:
        """Forget the job; what runs goes on."""
        self.jobs.pop(job.name, None)
        self.agenda.remove(job)
        self.store.forget(self.app, job.name)

    def tick(self) -> float:
        """Do what is due. Seconds to sleep unless woken: never longer than `LONGEST_SLEEP`."""
        self.last_tick = self.clock.monotonic()
        self._read_mail()
        self._notice_steps()
        for act in self.timers.due(self.clock.monotonic()):
            self._careful(act)
        self._settle()
        if not self._stopping:
            ripe = list(self.agenda.ripe(self.clock.now()))
            for start in range(0, len(ripe), BATCH):
                self._fire(ripe[start : start + BATCH])
        self.last_tick = self.clock.monotonic()
        return self._pause()

    def stop(self, patience: float) -> None:
        """Start nothing more; let runs end for `patience` seconds, then tell them to. Sets `finished` when all is over."""
        if self._stopping:
            patience = 0.0
        self._stopping = True
        for execution in list(self.executions.live.values()):
            if execution.run is None:
                self._careful(lambda e=execution: self.executions.cancel(e, "the scheduler stopped"))  # type: ignore[misc]
        self.timers.at(self.clock.monotonic() + patience, self._end_all)
        self._finish_if_idle()

    def watch(self, run: int, tell: Callable[[RunRecord | None], None]) -> None:
        """Call back, in the engine's thread, when the run is over, whoever runs it."""
        self._watchers[run] = tell
        self._tell_watchers()

    def look(self) -> None:
        """Look at what was written to the store: pauses, requests, other workers' runs."""
        self._changes = -1
        self._look_at_others()

    # -- the parts of a tick

    def _read_mail(self) -> None:
        while self._mailbox:
            some = [self._mailbox.popleft() for _ in range(min(len(self._mailbox), BATCH))]
            self._together([partial(self._careful, message) for message in some])

    def _fire(self, jobs: list[Job]) -> None:
        self._together([partial(self._careful, partial(self.firings.fire, job), job) for job in jobs])

    def _together(self, acts: list[Callable[[], object]]) -> None:
        """What these acts claim and write is written at once, and only then anything starts."""
        try:
            with self.ledger.together():
                for act in acts:
                    act()
        except StoreUnavailable as error:
            self._say_unavailable(error)
            self.executions.discard()
            self.firings.discard()
            # Cursors and registrations went ahead of the ledger: begin again from what it says.
            self.timers.at(self.clock.monotonic() + POLL, self._begin_again)
        self._settle()

    def _begin_again(self) -> None:
        for job in list(self.jobs.values()):
            self.add(job)
        self._changes = -1

    def _settle(self) -> None:
        self.firings.settled()
        for act in self.executions.settled():
            self._careful(act)

    # -- housekeeping

    def _careful(self, act: Callable[[], object], job: Job | None = None) -> None:
        """One thing that goes wrong is logged and does not keep the others from happening."""
        try:
            act()
            self._said_unavailable = False
        except StoreUnavailable as error:
            # Fail closed: without a claim nothing starts. The job is looked at again while its due time lasts.
            self._say_unavailable(error)
            if job is not None:
                self._retry(job)
        except Exception as error:
            name = job.name if job else ""
            self.log.trouble(name, error)
            if job is not None and job.schedule is not None and job.name in self.jobs:
                self.agenda.look_at(job, self.clock.now() + 3600.0)

    def _say_unavailable(self, error: StoreUnavailable) -> None:
        if not self._said_unavailable:
            self.log.scheduler(logging.ERROR, "store", error.message, hint=error.hint)
        self._said_unavailable = True

    def _retry(self, job: Job) -> None:
        if self.firings.knows(job):
            self.agenda.look_at(job, self.clock.now() + POLL)
        else:
            self.timers.at(self.clock.monotonic() + POLL, lambda: self.add(job))

    def _repeat(self, now: float, every: float, act: Callable[[], object]) -> None:
        def again() -> None:
            self.timers.at(self.clock.monotonic() + every, again)
            act()

        self.timers.at(now, again)

    def _notice_steps(self) -> None:
        """The wall clock moved against the monotonic one: it was set, or the machine slept. Every plan is made anew."""
        offset = self.clock.now() - self.clock.monotonic()
        moved, self._offset = offset - self._offset, offset
        if abs(moved) > _STEP:
            way = "forward" if moved > 0 else "back"
            self.log.scheduler(
                logging.WARNING, "clock-step", f"the clock moved {way} by {abs(moved):.1f} s", seconds=round(moved, 3)
            )
            self.agenda.look_at_all(self.clock.now())

    def _pause(self) -> float:
        if self._mailbox:
            return 0.0
        pause = self.longest_sleep
        timer, wake = self.timers.next(), None if self._stopping else self.agenda.next_wake()
        if timer is not None:
            pause = min(pause, timer - self.clock.monotonic())
        if wake is not None:
            pause = min(pause, wake - self.clock.now())
        return max(pause, 0.0)

    def _slot_free(self, job: Job, outcome: Outcome) -> None:
        self._careful(self._tell_watchers)
        if self._stopping:
            self._finish_if_idle()
            return
        self._careful(lambda: self._again_if_unavailable(lambda: self.firings.slot_free(job, outcome, self.jobs)))

    def _again_if_unavailable(self, act: Callable[[], object]) -> None:
        """What nothing else would lead to a second time."""
        try:
            act()
        except StoreUnavailable:
            self.timers.at(self.clock.monotonic() + POLL, lambda: self._again_if_unavailable(act))
            raise

    def _tell_watchers(self) -> None:
        for run, tell in list(self._watchers.items()):
            record = self.store.run(run)
            if record is None or record.state is RunState.FINISHED:
                del self._watchers[run]
                tell(record)

    def _look_at_others(self) -> None:
        if self._watchers:
            self._tell_watchers()
        changes = self.store.changes()
        if changes != self._changes and not self._stopping:
            self.firings.learn(self.jobs)
            self._renew()  # it also tells which of our runs somebody wants to end
            self._changes = changes  # not before: what a store that failed did not tell is asked again

    def _renew(self) -> None:
        self.ledger.catch_up()
        live = self.executions.live
        if not live:
            return
        kept = self.store.renew(self.worker.id, self.clock.now() + self._lease)
        for execution in list(live.values()):
            if execution.id not in kept and not execution.lost:
                self.executions.lose(execution)
            elif kept.get(execution.id):
                self.executions.cancel(execution, "somebody asked for it")

    def reap(self, now: float | None = None) -> None:
        """End runs of this app whose worker died, and let their policy decide."""
        moment = self.clock.now() if now is None else now
        self._notice_deaths(moment)
        for run in self.store.reap(moment, self.app):
            again = partial(self.firings.abandoned, run, self.jobs)
            self._careful(partial(self._again_if_unavailable, again))

    def _notice_deaths(self, now: float) -> None:
        """A worker of this host need not be waited for until its leases end: its process is there or it is not."""
        live = self.store.runs(self.app, unfinished=True, limit=1000)
        for worker in {run.claimed_by for run in live if run.claimed_by} - {self.worker.id}:
            if is_dead(worker) and self.store.lapse(worker, now):
                self.store.drop_heartbeats(names=[f"scheduler {worker}"])

    def _beat(self) -> None:
        now = self.clock.now()
        detail = {"jobs": len(self.jobs), "running": len(self.executions.live), **self.detail}
        if not self.detail.get("since"):
            self.detail["since"] = now
            self.store.drop_heartbeats(before=now - _FORGET_AFTER)
        self.store.beat(
            Heartbeat(
                name=f"scheduler {self.worker.id}",
                at=now,
                expected_by=now + 2 * max(BEAT, LONGEST_SLEEP),
                app=self.app,
                host=self.worker.host,
                pid=self.worker.pid,
                detail=json.dumps(detail),
            )
        )

    def _end_all(self) -> None:
        for execution in list(self.executions.live.values()):
            self._careful(lambda e=execution: self.executions.cancel(e, "the scheduler stopped"))  # type: ignore[misc]
        self._finish_if_idle()

    def _finish_if_idle(self) -> None:
        if self._stopping and not self.executions.live and not self.finished.is_set():
            self._careful(self.ledger.catch_up)
            self._careful(lambda: self.store.drop_heartbeats(names=[f"scheduler {self.worker.id}"]))
            self.finished.set()
