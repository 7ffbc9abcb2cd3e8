"""Jobs in SQLite."""

# ruff: noqa: S608 - only names and conditions written in this file are put into statements; values are always bound

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rota.jobs.run import Outcome
from rota.stores.records import JobRecord

if TYPE_CHECKING:
    import sqlite3

    from rota.stores.connection import Database

_COLUMNS = ", ".join(field.name for field in fields(JobRecord))
_RENEWED = ("source", "schedule", "cron", "every", "tz", "policy", "host", "pid", "registered_at", "stale_after")
_REGISTER = (
    f"INSERT INTO jobs(app, name, paused, {', '.join(_RENEWED)}) VALUES (?, ?, ?, {', '.join('?' * len(_RENEWED))})"
    f" ON CONFLICT(app, name) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _RENEWED)}"
    f" RETURNING {_COLUMNS}"
)


def job_record(row: sqlite3.Row) -> JobRecord:
    """A row of `jobs`."""
    values: dict[str, Any] = dict(row)
    values["paused"] = bool(values["paused"])
    values["last_outcome"] = None if values["last_outcome"] is None else Outcome(values["last_outcome"])
    return JobRecord(**values)


class SqliteJobs:
    """`JobStore` over a database."""

    _db: Database
    _asked: int
    """How often this process changed what others should look at: SQLite tells of other connections only."""

    def register(self, job: JobRecord) -> JobRecord:
        """See `JobStore.register`."""
        values = [getattr(job, name) for name in _RENEWED]
        with self._db.write() as connection:
            rows = connection.execute(_REGISTER, (job.app, job.name, job.paused, *values)).fetchall()
        return job_record(rows[0])

    def forget(self, app: str, name: str) -> bool:
        """See `JobStore.forget`."""
        return self._db.run("DELETE FROM jobs WHERE app = ? AND name = ?", (app, name)) > 0

    def job(self, app: str, name: str) -> JobRecord | None:
        """See `JobStore.job`."""
        rows = self._db.read(f"SELECT {_COLUMNS} FROM jobs WHERE app = ? AND name = ?", (app, name))
        return job_record(rows[0]) if rows else None

    def jobs(self, app: str | None = None) -> list[JobRecord]:
        """See `JobStore.jobs`."""
        where, values = ("", ()) if app is None else (" WHERE app = ?", (app,))
        return [
            job_record(row) for row in self._db.read(f"SELECT {_COLUMNS} FROM jobs{where} ORDER BY app, name", values)
        ]

    def guests(self) -> list[JobRecord]:
        """Jobs inside apps: all but the daemon's own, of which there may be ten thousand."""
        rows = self._db.read(f"SELECT {_COLUMNS} FROM jobs WHERE app > '' ORDER BY app, name")
        return [job_record(row) for row in rows]

    def set_paused(self, app: str, name: str, paused: bool) -> bool:
        """See `JobStore.set_paused`."""
        self._asked += 1
        return self._db.run("UPDATE jobs SET paused = ? WHERE app = ? AND name = ?", (paused, app, name)) > 0

    def set_hold(self, app: str, name: str, until: float, reason: str) -> None:
        """See `JobStore.set_hold`."""
        self._db.run("UPDATE jobs SET not_before = ?, hold = ? WHERE app = ? AND name = ?", (until, reason, app, name))

    def set_cursor(self, app: str, name: str, last: float, horizon: float, relived: int) -> None:
        """See `JobStore.set_cursor`."""
        self._db.run(
            "UPDATE jobs SET last_due = ?, horizon = max(horizon, ?), relived = max(relived, ?), pruned_due = 0"
            " WHERE app = ? AND name = ?",
            (last, horizon, relived, app, name),
        )

    def set_next(self, app: str, name: str, next_due: float | None, expected_by: float | None) -> None:
        """See `JobStore.set_next`."""
        self._db.run(
            "UPDATE jobs SET next_due = ?, expected_by = ? WHERE app = ? AND name = ?",
            (next_due, expected_by, app, name),
        )
