"""The scheduler's side of the store: one worker's claims and endings, and what they mean for the job's next run."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rota.errors import StoreUnavailable
from rota.jobs.run import Outcome, RunState
from rota.stores.records import Claim, Ending, JobRecord
from rota.timing.lease import default_late_grace, expected_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rota.clock import Clock
    from rota.jobs.run import TriggerKind
    from rota.schedule.execution import Execution
    from rota.schedule.holds import Hold
    from rota.schedule.job import Job
    from rota.stores.base import Store
    from rota.stores.records import Claimed, Refused, RunRecord, Worker

_RECENT = 11
"""Runs whose median duration sets the grace for being late."""


@dataclass(slots=True)
class _Memory:
    """What this worker remembers of a job between runs."""

    durations: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    failures: int = 0


class Ledger:
    """Writes of one worker. Endings that cannot be written are kept and tried again; claims fail closed."""

    def __init__(self, store: Store, app: str, worker: Worker, clock: Clock, lease: float) -> None:
        self.store, self.app, self.worker = store, app, worker
        self._clock, self._lease = clock, lease
        self._memory: dict[str, _Memory] = {}
        self._unwritten: deque[Callable[[], object]] = deque()
        self._batch: list[Callable[[], object]] | None = None
        """Endings of the batch under way."""

    def register(self, job: Job) -> JobRecord:
        """Make the job known; the record says how far it has come."""
        fresh = JobRecord(
            app=self.app,
            name=job.name,
            host=self.worker.host,
            pid=self.worker.pid,
            registered_at=self._clock.now(),
            paused=job.spec.paused,
        )
        record = self.store.register(job.renewed(fresh))
        memory = self._memory[job.name] = _Memory(failures=record.failures)
        if record.last_duration is not None:
            memory.durations.append(record.last_duration)
        return record

    def claim(
        self,
        job: Job,
        *,
        due: float | None = None,
        trigger: TriggerKind = "cron",
        run: int | None = None,
        attempt: int = 1,
        room: int | None = None,
        state: RunState = RunState.RUNNING,
        note: str = "",
        next_start: float | None = None,
    ) -> Claimed | Refused:
        """Take a due time or a request."""
        now = self._clock.now()
        claim = Claim(
            app=self.app,
            job=job.name,
            worker=self.worker,
            now=now,
            lease_until=now + self._lease,
            due=due,
            trigger=trigger,
            run=run,
            attempt=attempt,
            room=room,
            state=state,
            note=note,
            next_due=next_start,
            expected_by=expected_by(None, now, self.grace(job)),
        )
        return self.store.claim(claim)

    def live(self, job: Job) -> list[RunRecord]:
        """Unfinished runs of the job anywhere, oldest first."""
        now = self._clock.now()
        runs = self.store.runs(self.app, job.name, unfinished=True, limit=1000)
        going = [run for run in runs if run.state is not RunState.REQUESTED]
        return [run for run in reversed(going) if run.lease_until is None or run.lease_until > now]

    def unrun(self, job: Job, due: float, outcome: Outcome, note: str, count: int = 1) -> bool:
        """Record a due time at which nothing starts. False: it was decided by another."""
        return self.store.note_unrun(self.app, job.name, due, outcome, self._clock.now(), note, count)

    def finish(self, execution: Execution, outcome: Outcome, error: str, next_start: float | None, hold: Hold) -> bool:
        """Write the ending. False: the run was no longer ours."""
        job, now = execution.job, self._clock.now()
        memory = self._memory[job.name]
        if execution.started is not None and outcome is not Outcome.SKIPPED:
            memory.durations.append(max(0.0, now - execution.started))
        memory.failures = memory.failures + 1 if outcome.bad else 0 if outcome is Outcome.OK else memory.failures
        ending = Ending(
            outcome=outcome,
            finished=now,
            error=error if outcome.bad else "",
            exit_code=execution.exit_code,
            signal=execution.signal,
            note=error if error and not outcome.bad else None,
            expected_by=expected_by(next_start, None, self.grace(job)) if outcome is Outcome.OK else None,
            not_before=hold.until,
            hold=hold.kind,
            keep=job.spec.keep_runs,
        )

        def write() -> bool:
            return self.store.finish(execution.id, execution.fence, ending)

        try:
            ours = write()
        except StoreUnavailable:
            self.later(write)
            raise
        if self._batch is not None:
            self._batch.append(write)
        return ours

    def failures(self, job: Job, outcome: Outcome) -> int:
        """Errors in a row, this outcome included."""
        before = self._memory[job.name].failures
        return before + 1 if outcome.bad else 0 if outcome is Outcome.OK else before

    def learn_failures(self, job: Job, failures: int) -> None:
        """What another process's runs have made of it."""
        self._memory[job.name].failures = failures

    def grace(self, job: Job) -> float:
        """Seconds a run may be late before people hear of it."""
        durations = self._memory[job.name].durations
        return default_late_grace(sorted(durations)[len(durations) // 2] if durations else 0.0)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written inside is written at once. Should that fail, endings are tried again later; claims are void."""
        endings: list[Callable[[], object]] = []
        self._batch = endings
        try:
            with self.store.batch():
                yield
        except StoreUnavailable:
            self._unwritten.extend(endings)
            raise
        finally:
            self._batch = None

    def later(self, write: Callable[[], object]) -> None:
        """Write this as soon as the store can be written again."""
        self._unwritten.append(write)

    def catch_up(self) -> None:
        """Write what could not be written.

        Raises:
            StoreUnavailable: it still cannot.
        """
        while self._unwritten:
            self._unwritten[0]()
            self._unwritten.popleft()
