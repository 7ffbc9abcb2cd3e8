"""Runs on their way: budgets, starts, timeouts, retries, endings. Everything happens in the engine's thread."""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from rota.errors import StoreUnavailable
from rota.jobs import retry
from rota.jobs.overlap import room
from rota.jobs.run import Outcome, RunState
from rota.jobs.run import Run as PureRun
from rota.schedule.holds import NO_HOLD, Hold
from rota.schedule.reporter import LocalReporter
from rota.schedule.run import Run
from rota.stores.records import Ticket
from rota.timing.duration import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rota.clock import Clock
    from rota.schedule.execution import Execution, Result, Runner
    from rota.schedule.job import Job
    from rota.schedule.ledger import Ledger
    from rota.schedule.logs import EventLog
    from rota.schedule.terminal import Bar
    from rota.schedule.timers import Timers

_RETRY_WRITE = 1.0
"""Seconds before a run whose start could not be written is tried again."""


class Executions:
    """The runs this worker has claimed. `slot_free` is called when one of a job is over."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        timers: Timers,
        log: EventLog,
        runner_of: Callable[[Job], Runner],
        post: Callable[[Callable[[], object]], None],
        slot_free: Callable[[Job, Outcome], None],
    ) -> None:
        self._ledger, self._clock, self._timers, self._log = ledger, clock, timers, log
        self._runner_of, self._post, self._slot_free = runner_of, post, slot_free
        self.live: dict[int, Execution] = {}
        self._queued: dict[Job, deque[Execution]] = {}
        self._later: deque[Callable[[], object]] = deque()
        """What waits for the ledger to be written."""
        self._fresh: list[Execution] = []
        """Claimed, but perhaps not yet written."""
        self._bar: Bar | None = None
        self._unreported: dict[int, tuple[Execution, int, int | None, int]] = {}

    def of(self, job: Job) -> list[Execution]:
        """The job's runs here, oldest first."""
        return [execution for execution in self.live.values() if execution.job is job]

    def launch(self, execution: Execution) -> None:
        """A claimed run goes on its way, once the claim is settled: first its budgets, then its start."""
        self.live[execution.id] = execution
        self._fresh.append(execution)
        execution.pending_budgets = list(execution.job.budgets)
        grace = execution.job.spec.misfire_grace
        execution.give_up_at = execution.due + grace if grace and execution.due is not None else None
        execution.gate = gate = object()
        self._later.append(lambda: self._proceed(execution, gate))

    def show_progress(self, bar: Bar) -> None:
        """Draw the progress of runs too."""
        self._bar = bar

    def settled(self) -> Iterator[Callable[[], object]]:
        """The ledger has it: what is to be done now, as to start what was launched. None of it may happen in a batch."""
        self._fresh.clear()
        while self._later:
            yield self._later.popleft()

    def discard(self) -> None:
        """The ledger does not have it: what was claimed since the last `settled` never was, what was queued still is."""
        for execution in self._fresh:
            execution.gate, queue = None, self._queued.setdefault(execution.job, deque())
            if execution.was_queued:
                execution.was_queued, execution.started = False, None
                queue.appendleft(execution)
                continue
            execution.over = True
            self.live.pop(execution.id, None)
            if execution in queue:
                queue.remove(execution)

    def enqueue(self, execution: Execution) -> None:
        """A claimed run waits for its place behind others."""
        self.live[execution.id] = execution
        self._fresh.append(execution)
        self._queued.setdefault(execution.job, deque()).append(execution)

    def start_queued(self, job: Job) -> None:
        """Start what waits, as far as there is room."""
        queue = self._queued.get(job)
        while queue:
            execution, limit = queue[0], room(job.spec)
            free = None if limit == float("inf") else int(limit)
            now = self._clock.now()
            if not self._ledger.store.advance(execution.id, execution.fence, RunState.RUNNING, now, room=free):
                return
            execution.was_queued = True
            queue.popleft()
            execution.started = now
            self.launch(execution)

    def queued_jobs(self) -> list[Job]:
        """Jobs with runs that wait for their place."""
        return [job for job, queue in self._queued.items() if queue]

    def cancel(self, execution: Execution, reason: str, outcome: Outcome = Outcome.CANCELLED) -> None:
        """End a run, wherever it stands. A running one is told, and given up after the job's `kill_after`."""
        if execution.over or execution.cancel_reason:
            return
        if execution.run is None:
            self._finish(execution, outcome, reason)
            return
        execution.cancel_reason = reason
        self._end_attempt(execution, execution.run, reason)

    def lose(self, execution: Execution) -> None:
        """Our lease lapsed and the run was declared abandoned: it may be running elsewhere. It is told to end."""
        self._log.job(
            logging.ERROR,
            "lease-lost",
            execution.job.name,
            f"run {execution.id} was given up for dead by another worker",
        )
        execution.lost = True
        if execution.run is None:
            self._drop(execution, Outcome.ABANDONED)
        else:
            execution.run.end("its lease was lost", lost=True)
            self._end_attempt(execution, execution.run, "its lease was lost")

    def report(self, execution: Execution, done: int, total: int | None, resumed_from: int) -> None:
        """Progress, from any thread; the newest is written in the engine's."""
        first = not self._unreported
        self._unreported[execution.id] = (execution, done, total, resumed_from)
        if first:
            self._post(self.write_progress)

    def write_progress(self) -> None:
        """Write what was reported."""
        while self._unreported:
            execution, done, total, resumed_from = self._unreported.pop(next(iter(self._unreported)))
            if not execution.over:
                now = self._clock.now()
                self._ledger.store.progress(execution.id, execution.fence, done, total, now, resumed_from)
                if self._bar is not None and execution.run is not None:
                    self._bar.show(execution.id, execution.job.name, execution.run.pace)

    # -- towards the start

    def _proceed(self, execution: Execution, gate: object) -> None:
        # The gate keeps a wake-up meant for an earlier wait from starting a run twice, or a retry too soon.
        if execution.over or execution.gate is not gate:
            return
        try:
            wait = self._take_budgets(execution, gate)
        except StoreUnavailable:
            self._timers.at(self._clock.monotonic() + _RETRY_WRITE, lambda: self._proceed(execution, gate))
            raise
        if wait == 0.0:
            execution.gate = None
            self._start(execution)
        elif wait is not None:
            self._wait_on(execution, gate, wait)

    def _resume(self, execution: Execution, gate: object) -> None:
        """Somebody before us in the line is gone. Told in a message, which may be handled inside a batch."""
        self._later.append(lambda: self._proceed(execution, gate))

    def _wait_on(self, execution: Execution, gate: object, wait: float) -> None:
        if execution.give_up_at is not None:
            left = execution.give_up_at - self._clock.now()
            if left <= 0:
                name = execution.pending_budgets[0][0].name
                self.cancel(execution, f"budget {name} had no tokens within the misfire grace", Outcome.SKIPPED)
                return
            wait = min(wait, left)
        if wait != float("inf"):
            self._timers.at(self._clock.monotonic() + wait, lambda: self._proceed(execution, gate))

    def _take_budgets(self, execution: Execution, gate: object) -> float | None:
        """0.0 = all taken; else seconds until asked again; None = the run is over."""
        while execution.pending_budgets:
            budget, cost = execution.pending_budgets[0]
            if execution.turn is None:
                turn = budget.turn(cost, lambda: self._post(lambda: self._resume(execution, gate)))
                execution.turn = turn
            now = budget.now()
            wait = execution.turn.step(now)
            if wait == 0.0:
                execution.taken.append((budget, cost, now))
            else:
                if execution.turn.hopeless:
                    self._finish(execution, Outcome.FAILED, budget.too_much(cost).message)
                    return None
                return wait
            execution.turn = None
            execution.pending_budgets.pop(0)
        return 0.0

    def _start(self, execution: Execution) -> None:
        job, now = execution.job, self._clock.now()
        if execution.started is None or execution.attempt > 1:
            try:
                ours = self._ledger.store.advance(
                    execution.id, execution.fence, RunState.RUNNING, now, attempt=execution.attempt
                )
            except StoreUnavailable:
                self._timers.at(self._clock.monotonic() + _RETRY_WRITE, lambda: self._start(execution))
                raise
            if not ours:
                self.lose(execution)
                return
            execution.started = execution.started or now
        run = Run(
            id=execution.id,
            job=job.name,
            due=execution.due,
            attempt=execution.attempt,
            trigger=execution.trigger,
            fence=execution.fence,
            reporter=LocalReporter(self.report, self._ledger, self._clock, execution),
            timeout=job.spec.timeout,
        )
        execution.run = run
        self._log.started(execution, None if execution.due is None else now - execution.due)
        if job.spec.timeout:
            limit = self._clock.monotonic() + job.spec.timeout
            execution.alarm = self._timers.at(limit, lambda: self._time_out(execution, run))
        self._runner_of(job).start(
            execution, run, lambda result: self._post(lambda: self._ended(execution, run, result))
        )

    # -- towards the end

    def _time_out(self, execution: Execution, run: Run) -> None:
        if execution.over or execution.run is not run or execution.cancel_reason:
            return
        execution.timed_out = True
        self._end_attempt(execution, run, f"it exceeded its timeout of {format_duration(execution.job.spec.timeout)}")

    def _end_attempt(self, execution: Execution, run: Run, reason: str) -> None:
        run.end(reason)
        self._runner_of(execution.job).cancel(execution, reason)
        self._silence(execution)
        limit = self._clock.monotonic() + execution.job.kill_after
        execution.alarm = self._timers.at(limit, lambda: self._force(execution, run))

    def _force(self, execution: Execution, run: Run) -> None:
        if execution.over or execution.run is not run or self._runner_of(execution.job).kill(execution):
            return
        execution.stuck = True
        kind = "a task that ignores its cancellation" if execution.job.kind == "async" else "a thread"
        if execution.lost:
            self._drop(execution, Outcome.STUCK)
        else:
            self._finish(execution, Outcome.STUCK, f"{kind} cannot be ended from outside; told to end, it goes on")

    def _ended(self, execution: Execution, run: Run, result: Result) -> None:
        if execution.over or execution.run is not run:
            if execution.stuck:
                self._say_it_returned(execution, result)
            return
        execution.run = None
        self._silence(execution)
        self._restamp(execution)
        execution.exit_code, execution.signal = result.exit_code, result.signal
        if execution.lost:
            self._drop(execution, Outcome.ABANDONED)
            return
        outcome, error = _meaning(execution, result)
        if outcome in retry.RETRIED and not execution.cancel_reason and self._retry(execution, outcome, error, result):
            return
        self._finish(execution, outcome, error, result)

    def _restamp(self, execution: Execution) -> None:
        """The requests that the tokens were for were made at any time until now: they come back `per` from now."""
        taken, execution.taken = execution.taken, []
        for budget, cost, at in taken:
            self._later.append(partial(budget.restamp, cost, at))

    def _retry(self, execution: Execution, outcome: Outcome, error: str, result: Result) -> bool:
        job, now = execution.job, self._clock.now()
        attempt = PureRun(job=job.name, attempt=execution.attempt)
        next_start = None if job.schedule is None else job.schedule.next_start(now)
        decision = retry.decide(job.spec, attempt, outcome, now, next_start)
        if isinstance(decision, retry.GiveUp):
            return False
        self._log.retrying(execution, outcome, error, result.traceback, decision.at - now)
        execution.attempt, execution.timed_out = decision.attempt, False
        try:
            self._ledger.store.advance(execution.id, execution.fence, RunState.WAITING, now, attempt=decision.attempt)
        except StoreUnavailable as unavailable:
            # The row still says "running", which is true enough; the retry itself will be written.
            self._log.scheduler(logging.ERROR, "store", unavailable.message)
        execution.pending_budgets = list(job.budgets)
        execution.give_up_at = None
        execution.gate = gate = object()
        self._timers.at(self._clock.monotonic() + decision.at - now, lambda: self._proceed(execution, gate))
        return True

    def _finish(self, execution: Execution, outcome: Outcome, error: str, result: Result | None = None) -> None:
        """Write the ending and make room."""
        job, now = execution.job, self._clock.now()
        seconds = result.seconds if result else now - (execution.started or now)
        if execution.id in self._unreported:
            self.write_progress()
        next_start = None if job.schedule is None else job.schedule.next_start(now)
        hold = self._hold(job, outcome, execution.due) if outcome.ran else NO_HOLD
        try:
            ours = self._ledger.finish(execution, outcome, error, next_start, hold)
        except StoreUnavailable as unavailable:
            ours = True
            self._log.scheduler(logging.ERROR, "store", unavailable.message)
        if ours:
            self._log.ended(execution, outcome, seconds, error, result.traceback if result and outcome.bad else "")
            if hold.text:
                self._log.held(job, hold)
        else:
            name = job.name
            self._log.job(
                logging.ERROR, "lease-lost", name, f"run {execution.id} had been given up for dead before it ended"
            )
        self._drop(execution, outcome)

    def _drop(self, execution: Execution, outcome: Outcome) -> None:
        execution.over = True
        self._silence(execution)
        if self._bar is not None:
            self._bar.clear(execution.id)
        if execution.turn is not None:
            self._later.append(execution.turn.leave)
            execution.turn = None
        if execution.run is None:  # the attempt that the tokens were for has not begun
            for budget, cost, at in execution.taken:
                self._later.append(partial(budget.unreserve, Ticket(0, 0.0, at), cost))
            execution.taken = []
        queue = self._queued.get(execution.job)
        if queue and execution in queue:
            queue.remove(execution)
        self.live.pop(execution.id, None)
        self._slot_free(execution.job, outcome)

    def _silence(self, execution: Execution) -> None:
        if execution.alarm is not None:
            self._timers.cancel(execution.alarm)
            execution.alarm = None

    def _hold(self, job: Job, outcome: Outcome, due: float | None) -> Hold:
        failures, now = self._ledger.failures(job, outcome), self._clock.now()
        pause = job.breaker.pause(failures) if job.breaker and outcome.bad else 0.0
        if pause:
            return Hold.by_breaker(now, failures, pause)
        if job.adaptive is not None:
            filled = [budget.tokens / budget.capacity for budget, _ in job.budgets]
            factor = job.adaptive.factor(failures, filled)
            if factor > 1:
                return Hold.by_adaptation(due or now, job.spec.every, factor)
        return NO_HOLD

    def _say_it_returned(self, execution: Execution, result: Result) -> None:
        note = f"the stuck function returned at last, {'with ' + result.error if result.error else 'without an error'}"
        self._log.job(logging.WARNING, "returned", execution.job.name, f"run {execution.id}: {note}")
        self._ledger.store.amend(execution.id, note)


def _meaning(execution: Execution, result: Result) -> tuple[Outcome, str]:
    if execution.timed_out:
        limit = format_duration(execution.job.spec.timeout)
        return Outcome.TIMEOUT, f"ended after its timeout of {limit}"
    if result.error is None:
        return Outcome.OK, ""
    if execution.cancel_reason:
        return Outcome.CANCELLED, execution.cancel_reason
    if result.cancelled:
        return Outcome.CANCELLED, "it cancelled itself"
    return Outcome.FAILED, result.error
