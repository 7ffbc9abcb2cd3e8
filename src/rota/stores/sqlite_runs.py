"""The ledger of runs in SQLite. Every claim is one transaction that begins with the write lock."""

# ruff: noqa: S608 - only names and conditions written in this file are put into statements; values are always bound

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rota.jobs.run import Outcome, RunState
from rota.stores.records import LAPSED, Claim, Claimed, Ending, Refused, RunRecord

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from rota.jobs.run import TriggerKind
    from rota.stores.connection import Database

_COLUMNS = ", ".join(f'"{field.name}"' for field in fields(RunRecord))
_LIVE = (
    "app = ? AND job = ? AND state IN ('claimed', 'waiting', 'running') AND (lease_until IS NULL OR lease_until > ?)"
)
_COUNTED = {Outcome.SKIPPED: "skip_count", Outcome.MISSED: "miss_count"}

_CLAIM_FIELDS = tuple(field.name for field in fields(Claim) if field.name != "worker")
_ENDING_FIELDS = tuple(field.name for field in fields(Ending))
_DECIDED = "SELECT coalesce(claimed, finished, 0) FROM runs WHERE app = ? AND job = ? AND due = ?"
_HELD = "SELECT paused OR not_before > ?, pruned_due >= ? FROM jobs WHERE app = ? AND name = ?"
_FROM_JOB = (
    " FROM (SELECT 1) LEFT JOIN jobs j ON j.app = :app AND j.name = :job"
    " WHERE (:room IS NULL OR (SELECT count(*) FROM runs WHERE app = :app AND job = :job"
    " AND state IN ('claimed', 'waiting', 'running') AND (lease_until IS NULL OR lease_until > :now)) < :room)"
)
_NEXT_FENCE = "CASE WHEN j.name IS NULL THEN 0 ELSE j.fence + 1 END"
# One statement decides: of any number of workers exactly one gets a row back.
_TAKE = (
    'INSERT INTO runs(app, job, due, "trigger", state, attempt, parent, claimed, claimed_by, host, pid, instance, fence,'
    " lease_until, started, note) SELECT :app, :job, :due, :trigger, :state, :attempt, :parent, :now, :worker, :host,"
    f" :pid, :instance, {_NEXT_FENCE}, :lease_until, CASE WHEN :state = 'running' THEN :now END, :note{_FROM_JOB}"
    " AND (:due IS NULL OR j.name IS NULL OR NOT (j.paused OR j.not_before > :now OR j.pruned_due >= :due))"
    " ON CONFLICT(app, job, due) WHERE due IS NOT NULL DO NOTHING RETURNING id, fence"
)
_TAKE_REQUEST = (
    "UPDATE runs SET state = :state, claimed = :now, claimed_by = :worker, host = :host, pid = :pid, instance = :instance,"
    f" fence = (SELECT {_NEXT_FENCE} FROM (SELECT 1) LEFT JOIN jobs j ON j.app = :app AND j.name = :job),"
    " lease_until = :lease_until, started = CASE WHEN :state = 'running' THEN :now END"
    f" WHERE id = :run AND state = 'requested' AND EXISTS(SELECT 1{_FROM_JOB}) RETURNING id, fence"
)
_NOTE_CLAIM = (
    "UPDATE jobs SET fence = :fence, last_due = coalesce(:due, last_due), next_due = coalesce(:next_due, next_due),"
    " expected_by = coalesce(:expected_by, expected_by),"
    " last_started = CASE WHEN :state = 'running' THEN :now ELSE last_started END WHERE app = :app AND name = :job"
)
_FINISH_RUN = (
    "UPDATE runs SET state = 'finished', outcome = :outcome, finished = :finished, error = :error, exit_code = :exit_code,"
    " signal = :signal, note = coalesce(:note, note), output_end = coalesce(:output_end, output_end)"
    " WHERE id = :run AND fence = :fence AND state <> 'finished' RETURNING app, job, started"
)
_COUNT_RUN = (
    "UPDATE jobs SET run_count = run_count + 1, error_count = error_count + :bad,"
    " failures = CASE WHEN :bad THEN failures + 1 WHEN :outcome = 'ok' THEN 0 ELSE failures END,"
    " last_finished = :finished, last_outcome = :outcome, last_error = CASE WHEN :bad THEN :error ELSE last_error END,"
    " last_success = CASE WHEN :outcome = 'ok' THEN :finished ELSE last_success END,"
    " last_duration = coalesce(:finished - :started, last_duration), expected_by = coalesce(:expected_by, expected_by),"
    " not_before = :not_before, hold = :hold WHERE app = :app AND name = :job"
)
_COUNT_UNRUN = "UPDATE jobs SET {0} = {0} + 1 WHERE app = ? AND name = ?"
_PRUNE = (
    "DELETE FROM runs WHERE app = :app AND job = :job AND state = 'finished' AND id <= (SELECT id FROM runs"
    " WHERE app = :app AND job = :job AND state = 'finished' ORDER BY id DESC LIMIT 1 OFFSET :keep) RETURNING due"
)
_PRUNE_EVERY = 16
"""Runs of a job between two prunings, to spare every run the search for the oldest."""


def run_record(row: sqlite3.Row) -> RunRecord:
    """A row of `runs`."""
    values: dict[str, Any] = dict(row)
    values["state"] = RunState(values["state"])
    values["outcome"] = None if values["outcome"] is None else Outcome(values["outcome"])
    values["cancel_requested"] = bool(values["cancel_requested"])
    return RunRecord(**values)


class SqliteRuns:
    """`RunStore` over a database."""

    _db: Database
    _asked: int

    def claim(self, claim: Claim) -> Claimed | Refused:
        """See `RunStore.claim`."""
        if claim.due is not None and (decided := self._decided(claim)) is not None:
            return Refused("taken", decided)  # the usual loser among many workers never touches the write lock
        with self._db.write() as connection:
            claimed = _take_request(connection, claim) if claim.run is not None else _take(connection, claim)
            return claimed or _refusal(connection, claim)

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
        counter = _COUNTED.get(outcome)
        with self._db.write() as connection:
            inserted = connection.execute(
                'INSERT INTO runs(app, job, due, "trigger", state, outcome, finished, note)'
                " VALUES (?, ?, ?, 'cron', 'finished', ?, ?, ?) ON CONFLICT(app, job, due) WHERE due IS NOT NULL DO NOTHING",
                (app, job, due, outcome, now, note),
            ).rowcount
            if inserted:
                count_up = f", {counter} = {counter} + {int(count)}" if counter else ""
                counted = connection.execute(
                    f"UPDATE jobs SET last_due = max(coalesce(last_due, ?), ?){count_up} WHERE app = ? AND name = ?"
                    " RETURNING skip_count + miss_count",
                    (due, due, app, job),
                ).fetchall()
                total = counted[0][0] if counted else 0
                if keep is not None and total // _PRUNE_EVERY != (total - int(count)) // _PRUNE_EVERY:
                    _prune(connection, {"app": app, "job": job, "keep": keep})
        return inserted > 0

    def advance(
        self, run: int, fence: int, state: RunState, now: float, *, attempt: int = 1, room: int | None = None
    ) -> bool:
        """See `RunStore.advance`."""
        with self._db.write() as connection:
            if room is not None and _running_beside(connection, run, now) >= room:
                return False
            changed = connection.execute(
                "UPDATE runs SET state = ?, attempt = ?, started = CASE WHEN ? THEN coalesce(started, ?) ELSE started END"
                " WHERE id = ? AND fence = ? AND state <> 'finished' RETURNING app, job",
                (state, attempt, state is RunState.RUNNING, now, run, fence),
            ).fetchall()
            if changed and state is RunState.RUNNING:
                connection.execute("UPDATE jobs SET last_started = ? WHERE app = ? AND name = ?", (now, *changed[0]))
        return bool(changed)

    def finish(self, run: int, fence: int, ending: Ending) -> bool:
        """See `RunStore.finish`."""
        with self._db.write() as connection:
            return _finish(connection, run, fence, ending)

    def amend(self, run: int, note: str) -> None:
        """See `RunStore.amend`."""
        self._db.run(
            "UPDATE runs SET note = CASE WHEN note = '' THEN ?1 ELSE note || '; ' || ?1 END WHERE id = ?2", (note, run)
        )

    def place(self, run: int, fence: int, *, instance: int, pid: int | None, output: str, gen: int = 0) -> bool:
        """See `RunStore.place`."""
        changed = self._db.run(
            "UPDATE runs SET instance = ?, pid = ?, output = ?, gen = ? WHERE id = ? AND fence = ? AND state <> 'finished'",
            (instance, pid, output, gen, run, fence),
        )
        return changed > 0

    def progress(self, run: int, fence: int, done: int, total: int | None, now: float, resumed_from: int = 0) -> bool:
        """See `RunStore.progress`."""
        changed = self._db.run(
            "UPDATE runs SET done = ?, total = ?, progress_at = ?, resumed_from = ?"
            " WHERE id = ? AND fence = ? AND state <> 'finished'",
            (done, total, now, resumed_from, run, fence),
        )
        return changed > 0

    def resume_point(self, app: str, job: str, before: int) -> int:
        """See `RunStore.resume_point`."""
        rows = self._db.read(
            "SELECT done, outcome FROM runs WHERE app = ? AND job = ? AND id < ? AND done IS NOT NULL"
            " ORDER BY id DESC LIMIT 1",
            (app, job, before),
        )
        return int(rows[0]["done"]) if rows and rows[0]["outcome"] != "ok" else 0

    def renew(self, worker: str, until: float) -> dict[int, bool]:
        """See `RunStore.renew`."""
        with self._db.write() as connection:
            rows = connection.execute(
                "UPDATE runs SET lease_until = ? WHERE claimed_by = ? AND state <> 'finished' RETURNING id, cancel_requested",
                (until, worker),
            ).fetchall()
        return {int(row[0]): bool(row[1]) for row in rows}

    def lapse(self, worker: str, now: float) -> int:
        """See `RunStore.lapse`."""
        sql = "UPDATE runs SET lease_until = ? WHERE claimed_by = ? AND state <> 'finished' AND lease_until > ?"
        return self._db.run(sql, (now, worker, now))

    def reap(self, now: float, app: str | None = None) -> list[RunRecord]:
        """See `RunStore.reap`."""
        lapsed = "state <> 'finished' AND lease_until <= ?1 AND (?2 IS NULL OR app = ?2)"
        if not self._db.read(f"SELECT 1 FROM runs WHERE {lapsed} LIMIT 1", (now, app)):
            return []
        ending = Ending(outcome=Outcome.ABANDONED, finished=now, error=LAPSED, keep=None)
        with self._db.write() as connection:
            found = connection.execute(f"SELECT id, fence FROM runs WHERE {lapsed}", (now, app)).fetchall()
            for run, fence in found:
                _finish(connection, run, fence, ending)
            reaped = [
                connection.execute(f"SELECT {_COLUMNS} FROM runs WHERE id = ?", (run,)).fetchone() for run, _ in found
            ]
        return [run_record(row) for row in reaped if row is not None]

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
        with self._db.write() as connection:
            row = connection.execute(
                'INSERT INTO runs(app, job, "trigger", state, requested, parent, note, attempt)'
                " VALUES (?, ?, ?, 'requested', ?, ?, ?, ?) RETURNING id",
                (app, job, trigger, now, parent, note, attempt),
            ).fetchall()[0]
        return int(row[0])

    def requested(self, app: str) -> list[RunRecord]:
        """See `RunStore.requested`."""
        rows = self._db.read(f"SELECT {_COLUMNS} FROM runs WHERE app = ? AND state = 'requested' ORDER BY id", (app,))
        return [run_record(row) for row in rows]

    def request_cancel(self, run: int) -> bool:
        """See `RunStore.request_cancel`."""
        self._asked += 1
        changed = self._db.run(
            "UPDATE runs SET cancel_requested = 1,"
            " outcome = CASE WHEN state = 'requested' THEN 'cancelled' END,"
            " finished = CASE WHEN state = 'requested' THEN requested END,"
            " state = CASE WHEN state = 'requested' THEN 'finished' ELSE state END"
            " WHERE id = ? AND state <> 'finished'",
            (run,),
        )
        return changed > 0

    def run(self, run: int) -> RunRecord | None:
        """See `RunStore.run`."""
        rows = self._db.read(f"SELECT {_COLUMNS} FROM runs WHERE id = ?", (run,))
        return run_record(rows[0]) if rows else None

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
        wanted = tuple(outcomes)
        conditions: list[tuple[str, tuple[Any, ...]]] = []
        if app is not None:
            conditions.append(("app = ?", (app,)))
        if job is not None:
            conditions.append(("job = ?", (job,)))
        if wanted:
            conditions.append((f"outcome IN ({', '.join('?' * len(wanted))})", wanted))
        if since is not None:
            conditions.append(("coalesce(due, requested, claimed) >= ?", (since,)))
        if unfinished:
            conditions.append(("state <> 'finished'", ()))
        if before is not None:
            conditions.append(("id < ?", (before,)))
        where = " AND ".join(text for text, _ in conditions) or "1"
        values = tuple(value for _, group in conditions for value in group)
        sql = f"SELECT {_COLUMNS} FROM runs WHERE {where} ORDER BY id DESC LIMIT ?"
        return [run_record(row) for row in self._db.read(sql, (*values, limit))]

    def _decided(self, claim: Claim) -> float | None:
        rows = self._db.read(_DECIDED, (claim.app, claim.job, claim.due))
        return float(rows[0][0]) if rows else None


def _take(connection: sqlite3.Connection, claim: Claim) -> Claimed | None:
    return _claim(connection, _TAKE, claim)


def _take_request(connection: sqlite3.Connection, claim: Claim) -> Claimed | None:
    return _claim(connection, _TAKE_REQUEST, claim)


def _claim(connection: sqlite3.Connection, sql: str, claim: Claim) -> Claimed | None:
    values: dict[str, Any] = {name: getattr(claim, name) for name in _CLAIM_FIELDS}
    worker = claim.worker
    values |= {"worker": worker.id, "host": worker.host, "pid": worker.pid}
    rows = connection.execute(sql, values).fetchall()
    if not rows:
        return None
    run, fence = rows[0]
    values["fence"] = fence
    connection.execute(_NOTE_CLAIM, values)
    return Claimed(run, fence)


def _refusal(connection: sqlite3.Connection, claim: Claim) -> Refused:
    """Why a claim got no row, in the same transaction."""
    if claim.run is not None:
        row = connection.execute("SELECT state FROM runs WHERE id = ?", (claim.run,)).fetchone()
        return Refused("busy" if row is not None and row[0] == RunState.REQUESTED else "taken")
    if claim.due is not None:
        row = connection.execute(_DECIDED, (claim.app, claim.job, claim.due)).fetchone()
        if row is not None:
            return Refused("taken", row[0])
        row = connection.execute(_HELD, (claim.now, claim.due, claim.app, claim.job)).fetchone()
        if row is not None and (row[0] or row[1]):
            return Refused("taken" if row[1] else "held")
    return Refused("busy")


def _running_beside(connection: sqlite3.Connection, run: int, now: float) -> int:
    row = connection.execute(
        "SELECT count(*) FROM runs other JOIN runs mine ON mine.id = ? WHERE other.app = mine.app AND other.job = mine.job"
        " AND other.id <> mine.id AND other.state IN ('claimed', 'running')"
        " AND (other.lease_until IS NULL OR other.lease_until > ?)",
        (run, now),
    ).fetchone()
    return int(row[0])


def _finish(connection: sqlite3.Connection, run: int, fence: int, ending: Ending) -> bool:
    values: dict[str, Any] = {name: getattr(ending, name) for name in _ENDING_FIELDS}
    values |= {"run": run, "fence": fence, "bad": ending.outcome.bad}
    rows = connection.execute(_FINISH_RUN, values).fetchall()
    if not rows:
        return False
    values |= {"app": rows[0][0], "job": rows[0][1], "started": rows[0][2]}
    if not ending.outcome.ran:
        connection.execute(_COUNT_UNRUN.format(_COUNTED[ending.outcome]), (values["app"], values["job"]))
    else:
        connection.execute(_COUNT_RUN, values)
    # By the job's own count: the number of a row is all jobs' together, and some would never come to their turn.
    if ending.keep is not None and (fence % _PRUNE_EVERY == 0 or ending.keep < _PRUNE_EVERY):
        _prune(connection, values)
    return True


def _prune(connection: sqlite3.Connection, values: dict[str, Any]) -> None:
    gone = [row[0] for row in connection.execute(_PRUNE, values).fetchall() if row[0] is not None]
    if gone:
        connection.execute(
            "UPDATE jobs SET pruned_due = max(pruned_due, ?) WHERE app = ? AND name = ?",
            (max(gone), values["app"], values["job"]),
        )
