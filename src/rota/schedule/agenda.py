"""When which job is looked at next: a heap of wake-up instants over the pure planner."""

from __future__ import annotations

from dataclasses import replace
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from rota.jobs import plan as planner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rota.jobs.plan import Cursor, Plan
    from rota.schedule.job import Job

_COUNT_UP_TO = 10_000
"""Missed due times are counted one by one up to here; beyond, the number is a lower bound."""


class Agenda:
    """Cursors and wake-ups of jobs that have a schedule. Wall clock, seconds since the epoch."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Job]] = []
        self._cursors: dict[Job, Cursor] = {}
        self._wakes: dict[Job, float] = {}
        self._order = 0

    def add(self, job: Job, cursor: Cursor, now: float) -> None:
        """Begin with what the ledger says of the job."""
        self._cursors[job] = cursor
        self.look_at(job, now)

    def remove(self, job: Job) -> None:
        """Forget the job; its place in the heap is skipped when it comes up."""
        self._cursors.pop(job, None)
        self._wakes.pop(job, None)

    def cursor(self, job: Job) -> Cursor:
        """How far the job's due times are dealt with."""
        return self._cursors[job]

    def look_at(self, job: Job, at: float | None) -> None:
        """Look at the job at this instant, instead of the one planned; None = not any more."""
        if at is None:
            self._wakes.pop(job, None)
            return
        self._wakes[job] = at
        self._order += 1
        heappush(self._heap, (at, self._order, job))

    def look_at_all(self, now: float) -> None:
        """The clock was moved: every plan is void."""
        for job in self._cursors:
            self.look_at(job, now)

    def next_wake(self) -> float | None:
        """The earliest instant at which there is something to look at."""
        while self._heap and self._wakes.get(self._heap[0][2]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def ripe(self, now: float) -> Iterator[Job]:
        """Jobs to look at now. Each is off the heap until it is looked at again or kept."""
        while (wake := self.next_wake()) is not None and wake <= now:
            job = heappop(self._heap)[2]
            del self._wakes[job]
            yield job

    def plan(self, job: Job, now: float) -> Plan:
        """What is due; nothing changes until the plan is kept."""
        assert job.schedule is not None, "only jobs with a schedule are on the agenda"
        return planner.plan(job.schedule, self._cursors[job], now)

    def plan_resume(self, job: Job, now: float) -> Plan:
        """What to record for a job that was paused."""
        assert job.schedule is not None, "only jobs with a schedule are on the agenda"
        return planner.resume(job.schedule, self._cursors[job], now)

    def keep(self, job: Job, plan: Plan) -> None:
        """The plan is in the ledger: move on."""
        self._cursors[job] = plan.cursor
        self.look_at(job, plan.wake)

    def learn(self, job: Job, last_due: float | None) -> None:
        """Another process decided due times up to here."""
        cursor = self._cursors.get(job)
        if cursor is not None and last_due is not None and (cursor.last is None or last_due > cursor.last):
            self._cursors[job] = replace(cursor, last=last_due)


def count_between(job: Job, first: float, last: float) -> int:
    """How many due times there are from `first` to `last`, both included."""
    assert job.schedule is not None, "only jobs with a schedule have due times"
    if job.spec.every:
        return round((last - first) / job.spec.every) + 1
    count, slot = 1, job.schedule.trigger.first_after(first)
    while slot is not None and slot <= last and count < _COUNT_UP_TO:
        count, slot = count + 1, job.schedule.trigger.first_after(slot)
    return count
