"""The ledger of runs in memory."""

from __future__ import annotations

from itertools import islice
from threading import RLock
from typing import TYPE_CHECKING, Any

from rota.jobs.run import Outcome, RunState
from rota.stores.records import LAPSED, Claimed, Ending, JobRecord, Refused, RunRecord, changed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rota.jobs.run import TriggerKind
    from rota.stores.records import Claim

_LIVE = (RunState.CLAIMED, RunState.WAITING, RunState.RUNNING)


class MemoryRuns:
    """`RunStore` in dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = RLock()
        self._jobs: dict[tuple[str, str], JobRecord] = {}
        self._runs: dict[tuple[str, str], dict[int, RunRecord]] = {}
        self._where: dict[int, tuple[str, str]] = {}
        self._dues: dict[tuple[str, str], dict[float, int]] = {}
        self._open: dict[tuple[str, str], set[int]] = {}
        self._pruned: dict[tuple[str, str], float] = {}
        self._last_run = 0
        self._asked = 0

    def claim(self, claim: Claim) -> Claimed | Refused:
        """See `RunStore.claim`."""
        with self._lock:
            refused = self._refusal(claim)
            return refused if refused is not None else self._claim(claim)

    def note_unrun(
        self,
        app: str,
        job: str,
        due: float,
        outcome: Outcome,
        now: float,
        note: str = "",
        count: int = 1,
        keep: int | None = None,
    ) -> bool:
        """See `RunStore.note_unrun`."""
        key = (app, job)
        with self._lock:
            if due in self._dues.get(key, {}):
                return False
            self._put(self._new(key, due=due, state=RunState.FINISHED, outcome=outcome, finished=now, note=note))
            known = self._jobs.get(key)
            if known is not None:
                counted = _count_unrun(known, outcome, count)
                self._jobs[key] = changed(counted, last_due=max(due, known.last_due or due))
            if keep is not None:
                self._prune(key, keep)
        return True

    def advance(
        self, run: int, fence: int, state: RunState, now: float, *, attempt: int = 1, room: int | None = None
    ) -> bool:
        """See `RunStore.advance`."""
        with self._lock:
            mine = self._mine(run, fence)
            if mine is None or (room is not None and self._running_beside(mine, now) >= room):
                return False
            starts = state is RunState.RUNNING
            started = now if starts and mine.started is None else mine.started
            self._put(changed(mine, state=state, attempt=attempt, started=started))
            if starts:
                self._change_job((mine.app, mine.job), last_started=now)
        return True

    def finish(self, run: int, fence: int, ending: Ending) -> bool:
        """See `RunStore.finish`."""
        with self._lock:
            mine = self._mine(run, fence)
            if mine is None:
                return False
            self._finish(mine, ending)
        return True

    def amend(self, run: int, note: str) -> None:
        """See `RunStore.amend`."""
        with self._lock:
            record = self.run(run)
            if record is not None:
                self._put(changed(record, note=f"{record.note}; {note}" if record.note else note))

    def place(self, run: int, fence: int, *, instance: int, pid: int | None, output: str, gen: int = 0) -> bool:
        """See `RunStore.place`."""
        with self._lock:
            mine = self._mine(run, fence)
            if mine is None:
                return False
            self._put(changed(mine, instance=instance, pid=pid, output=output, gen=gen))
        return True

    def progress(self, run: int, fence: int, done: int, total: int | None, now: float, resumed_from: int = 0) -> bool:
        """See `RunStore.progress`."""
        with self._lock:
            mine = self._mine(run, fence)
            if mine is None:
                return False
            self._put(changed(mine, done=done, total=total, progress_at=now, resumed_from=resumed_from))
        return True

    def resume_point(self, app: str, job: str, before: int) -> int:
        """See `RunStore.resume_point`."""
        with self._lock:
            for record in reversed(self._runs.get((app, job), {}).values()):
                if record.id < before and record.done is not None:
                    return 0 if record.outcome is Outcome.OK else record.done
        return 0

    def renew(self, worker: str, until: float) -> dict[int, bool]:
        """See `RunStore.renew`."""
        with self._lock:
            mine = [record for record in self._unfinished() if record.claimed_by == worker]
            for record in mine:
                self._put(changed(record, lease_until=until))
        return {record.id: record.cancel_requested for record in mine}

    def lapse(self, worker: str, now: float) -> int:
        """See `RunStore.lapse`."""
        with self._lock:
            held = [run for run in self._unfinished() if run.claimed_by == worker and (run.lease_until or 0.0) > now]
            for run in held:
                self._put(changed(run, lease_until=now))
        return len(held)

    def reap(self, now: float, app: str | None = None) -> list[RunRecord]:
        """See `RunStore.reap`."""
        with self._lock:
            mine = [run for run in self._unfinished() if app in (None, run.app)]
            lapsed = [run for run in mine if run.lease_until is not None and run.lease_until <= now]
            ending = Ending(outcome=Outcome.ABANDONED, finished=now, error=LAPSED, keep=None)
            return [self._finish(record, ending) for record in lapsed]

    def request(
        self,
        app: str,
        job: str,
        now: float,
        trigger: TriggerKind = "manual",
        *,
        parent: int | None = None,
        note: str = "",
        attempt: int = 1,
    ) -> int:
        """See `RunStore.request`."""
        self._asked += 1
        with self._lock:
            wish = self._new((app, job), trigger=trigger, state=RunState.REQUESTED, requested=now)
            self._put(changed(wish, parent=parent, note=note, attempt=attempt))
        return wish.id

    def requested(self, app: str) -> list[RunRecord]:
        """See `RunStore.requested`."""
        with self._lock:
            return [r for r in self._unfinished() if r.state is RunState.REQUESTED and r.app == app]

    def request_cancel(self, run: int) -> bool:
        """See `RunStore.request_cancel`."""
        self._asked += 1
        with self._lock:
            record = self.run(run)
            if record is None or record.state is RunState.FINISHED:
                return False
            record = changed(record, cancel_requested=True)
            if record.state is RunState.REQUESTED:
                record = changed(record, state=RunState.FINISHED, outcome=Outcome.CANCELLED, finished=record.requested)
            self._put(record)
        return True

    def run(self, run: int) -> RunRecord | None:
        """See `RunStore.run`."""
        with self._lock:
            key = self._where.get(run)
            return None if key is None else self._runs[key].get(run)

    def runs(
        self,
        app: str | None = None,
        job: str | None = None,
        *,
        outcomes: Iterable[Outcome] = (),
        since: float | None = None,
        unfinished: bool = False,
        before: int | None = None,
        limit: int = 100,
    ) -> list[RunRecord]:
        """See `RunStore.runs`."""
        wanted = set(outcomes)

        def matches(record: RunRecord) -> bool:
            at = next((t for t in (record.due, record.requested, record.claimed) if t is not None), 0.0)
            return (
                (not wanted or record.outcome in wanted)
                and (since is None or at >= since)
                and (not unfinished or record.state is not RunState.FINISHED)
                and (before is None or record.id < before)
            )

        with self._lock:
            keys = [key for key in self._runs if app in (None, key[0]) and job in (None, key[1])]
            found = [record for key in keys for record in self._runs[key].values() if matches(record)]
        return sorted(found, key=lambda record: record.id, reverse=True)[:limit]

    def _refusal(self, claim: Claim) -> Refused | None:
        key = (claim.app, claim.job)
        if claim.run is not None:
            wish = self.run(claim.run)
            if wish is None or wish.state is not RunState.REQUESTED:
                return Refused("taken")
        elif claim.due is not None:
            earlier = self._dues.get(key, {}).get(claim.due)
            if earlier is not None:
                row = self._runs[key][earlier]
                return Refused("taken", row.finished or 0.0 if row.claimed is None else row.claimed)
            if claim.due <= self._pruned.get(key, 0.0):
                return Refused("taken")
            known = self._jobs.get(key)
            if known is not None and (known.paused or known.not_before > claim.now):
                return Refused("held")
        live = 0 if claim.room is None else sum(1 for r in self._unfinished(key) if _alive(r, claim.now))
        return Refused("busy") if claim.room is not None and live >= claim.room else None

    def _claim(self, claim: Claim) -> Claimed:
        key, starts = (claim.app, claim.job), claim.state is RunState.RUNNING
        known = self._jobs.get(key)
        if known is not None:
            self._jobs[key] = known = changed(
                known,
                fence=known.fence + 1,
                last_due=known.last_due if claim.due is None else claim.due,
                next_due=known.next_due if claim.next_due is None else claim.next_due,
                expected_by=known.expected_by if claim.expected_by is None else claim.expected_by,
                last_started=claim.now if starts else known.last_started,
            )
        fence = 0 if known is None else known.fence
        facts: dict[str, Any] = {
            "state": claim.state,
            "claimed": claim.now,
            "claimed_by": claim.worker.id,
            "host": claim.worker.host,
            "pid": claim.worker.pid,
            "instance": claim.instance,
            "fence": fence,
            "lease_until": claim.lease_until,
            "started": claim.now if starts else None,
        }
        wish = self.run(claim.run) if claim.run is not None else None
        if wish is not None:
            record = changed(wish, **facts)
        else:
            self._last_run += 1
            facts |= {"id": self._last_run, "app": claim.app, "job": claim.job, "due": claim.due}
            facts |= {"trigger": claim.trigger, "attempt": claim.attempt, "parent": claim.parent, "note": claim.note}
            record = RunRecord(**facts)
        self._put(record)
        return Claimed(record.id, fence)

    def _running_beside(self, mine: RunRecord, now: float) -> int:
        going = (RunState.CLAIMED, RunState.RUNNING)
        others = (r for r in self._unfinished((mine.app, mine.job)) if r.id != mine.id and r.state in going)
        return sum(1 for record in others if _alive(record, now))

    def _finish(self, mine: RunRecord, ending: Ending) -> RunRecord:
        key = (mine.app, mine.job)
        record = changed(
            mine,
            state=RunState.FINISHED,
            outcome=ending.outcome,
            finished=ending.finished,
            error=ending.error,
            exit_code=ending.exit_code,
            signal=ending.signal,
            note=mine.note if ending.note is None else ending.note,
            output_end=mine.output_end if ending.output_end is None else ending.output_end,
        )
        self._put(record)
        known = self._jobs.get(key)
        if known is not None:
            counted = _count_run(known, record, ending) if ending.outcome.ran else _count_unrun(known, ending.outcome)
            self._jobs[key] = counted
        if ending.keep is not None:
            self._prune(key, ending.keep)
        return record

    def _prune(self, key: tuple[str, str], keep: int) -> None:
        runs = self._runs[key]
        surplus = len(runs) - len(self._open[key]) - keep
        if surplus <= 0:
            return
        finished = (record for record in runs.values() if record.state is RunState.FINISHED)
        for record in list(islice(finished, surplus)):
            del runs[record.id], self._where[record.id]
            if record.due is not None:
                del self._dues[key][record.due]
                self._pruned[key] = max(self._pruned.get(key, 0.0), record.due)

    def _new(
        self,
        key: tuple[str, str],
        *,
        state: RunState,
        due: float | None = None,
        trigger: TriggerKind = "cron",
        outcome: Outcome | None = None,
        requested: float | None = None,
        finished: float | None = None,
        note: str = "",
    ) -> RunRecord:
        self._last_run += 1
        return RunRecord(
            id=self._last_run,
            app=key[0],
            job=key[1],
            due=due,
            trigger=trigger,
            state=state,
            outcome=outcome,
            requested=requested,
            finished=finished,
            note=note,
        )

    def _put(self, record: RunRecord) -> None:
        key = (record.app, record.job)
        self._runs.setdefault(key, {})[record.id] = record
        self._where[record.id] = key
        if record.due is not None:
            self._dues.setdefault(key, {})[record.due] = record.id
        unfinished = self._open.setdefault(key, set())
        (unfinished.discard if record.state is RunState.FINISHED else unfinished.add)(record.id)

    def _unfinished(self, key: tuple[str, str] | None = None) -> list[RunRecord]:
        groups = self._open.values() if key is None else (self._open.get(key, ()),)
        return [self._runs[self._where[run]][run] for run in sorted(run for group in groups for run in group)]

    def _mine(self, run: int, fence: int) -> RunRecord | None:
        record = self.run(run)
        ours = record is not None and record.state is not RunState.FINISHED and record.fence == fence
        return record if ours else None

    def _change_job(self, key: tuple[str, str], *, last_started: float) -> None:
        if key in self._jobs:
            self._jobs[key] = changed(self._jobs[key], last_started=last_started)


def _alive(record: RunRecord, now: float) -> bool:
    return record.state in _LIVE and (record.lease_until is None or record.lease_until > now)


def _count_unrun(job: JobRecord, outcome: Outcome, count: int = 1) -> JobRecord:
    if outcome is Outcome.SKIPPED:
        return changed(job, skip_count=job.skip_count + count)
    return changed(job, miss_count=job.miss_count + count) if outcome is Outcome.MISSED else job


def _count_run(job: JobRecord, run: RunRecord, ending: Ending) -> JobRecord:
    bad, ok = ending.outcome.bad, ending.outcome is Outcome.OK
    return changed(
        job,
        run_count=job.run_count + 1,
        error_count=job.error_count + bad,
        failures=job.failures + 1 if bad else 0 if ok else job.failures,
        last_finished=ending.finished,
        last_outcome=ending.outcome,
        last_error=ending.error if bad else job.last_error,
        last_success=ending.finished if ok else job.last_success,
        last_duration=job.last_duration if run.duration is None else run.duration,
        expected_by=job.expected_by if ending.expected_by is None else ending.expected_by,
        not_before=ending.not_before,
        hold=ending.hold,
    )
