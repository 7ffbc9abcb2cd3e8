"""Heartbeats, checkpoints and leases in SQLite."""

from __future__ import annotations

from dataclasses import astuple, fields
from typing import TYPE_CHECKING

from rota.stores.records import CheckpointRecord, Heartbeat, Held

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rota.stores.connection import Database

_BEAT = (
    "INSERT INTO heartbeats(name, at, expected_by, started, app, host, pid, detail)"
    " VALUES (?1, ?2, ?3, CASE WHEN ?4 > 0 THEN ?4 ELSE ?2 END, ?5, ?6, ?7, ?8)"
    " ON CONFLICT(name) DO UPDATE SET at = ?2, expected_by = ?3,"
    " started = CASE WHEN ?4 > 0 THEN ?4 ELSE started END, app = ?5, host = ?6, pid = ?7, detail = ?8"
)
_BEATS = "SELECT name, at, expected_by, started, app, host, pid, detail FROM heartbeats"
_SAVE = (
    "INSERT INTO checkpoints(source, chain, app, last_block, records_total, updated_at, stale_after, data)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    " ON CONFLICT(source, chain) DO UPDATE SET app = ?3, last_block = coalesce(?4, last_block),"
    " records_total = coalesce(?5, records_total), updated_at = max(updated_at, ?6),"
    " stale_after = CASE WHEN ?7 > 0 THEN ?7 ELSE stale_after END, data = json_patch(data, ?8)"
)
_POINTS = "SELECT source, chain, app, last_block, records_total, updated_at, stale_after, data FROM checkpoints"
_ACQUIRE = (
    "INSERT INTO leases(name, holder, fence, until) VALUES (?1, ?2, 1, ?4)"
    " ON CONFLICT(name) DO UPDATE SET fence = CASE WHEN holder = ?2 AND until > ?3 THEN fence ELSE fence + 1 END,"
    " until = CASE WHEN holder = ?2 AND until > ?3 THEN max(until, ?4) ELSE ?4 END, holder = ?2"
    " WHERE until <= ?3 OR holder = ?2 RETURNING fence, until"
)
_EXTEND = (
    "UPDATE leases SET until = max(until, ?5) WHERE name = ?1 AND holder = ?2 AND fence = ?3 AND until > ?4"
    " RETURNING until"
)


class SqliteSigns:
    """`SignStore` over a database."""

    _db: Database

    def beat(self, heartbeat: Heartbeat) -> None:
        """See `SignStore.beat`."""
        h = heartbeat
        self._db.run(_BEAT, (h.name, h.at, h.expected_by, h.started, h.app, h.host, h.pid, h.detail))

    def heartbeats(self, app: str | None = None) -> list[Heartbeat]:
        """See `SignStore.heartbeats`."""
        rows = self._db.read(f"{_BEATS} WHERE ?1 IS NULL OR app = ?1 ORDER BY name", (app,))
        return [Heartbeat(**dict(row)) for row in rows]

    def drop_heartbeats(self, *, names: Iterable[str] = (), before: float | None = None) -> int:
        """See `SignStore.drop_heartbeats`."""
        gone = 0
        for name in names:
            gone += self._db.run("DELETE FROM heartbeats WHERE name = ?", (name,))
        if before is not None:
            gone += self._db.run("DELETE FROM heartbeats WHERE expected_by < ?", (before,))
        return gone

    def save_checkpoint(self, checkpoint: CheckpointRecord) -> None:
        """See `SignStore.save_checkpoint`."""
        assert [field.name for field in fields(checkpoint)][:2] == ["source", "chain"], "astuple follows the statement"
        self._db.run(_SAVE, astuple(checkpoint))

    def checkpoints(self, source: str | None = None, chain: str | None = None) -> list[CheckpointRecord]:
        """See `SignStore.checkpoints`."""
        where = "(?1 IS NULL OR source = ?1) AND (?2 IS NULL OR chain = ?2)"
        rows = self._db.read(f"{_POINTS} WHERE {where} ORDER BY source, chain", (source, chain))
        return [CheckpointRecord(**dict(row)) for row in rows]

    def drop_checkpoint(self, source: str, chain: str) -> bool:
        """See `SignStore.drop_checkpoint`."""
        return self._db.run("DELETE FROM checkpoints WHERE source = ? AND chain = ?", (source, chain)) > 0

    def acquire(self, name: str, holder: str, now: float, until: float) -> Held | None:
        """See `SignStore.acquire`."""
        with self._db.write() as connection:
            rows = connection.execute(_ACQUIRE, (name, holder, now, until)).fetchall()
        return Held(name, holder, rows[0][0], rows[0][1]) if rows else None

    def extend(self, name: str, holder: str, fence: int, now: float, until: float) -> Held | None:
        """See `SignStore.extend`."""
        with self._db.write() as connection:
            rows = connection.execute(_EXTEND, (name, holder, fence, now, until)).fetchall()
        return Held(name, holder, fence, rows[0][0]) if rows else None

    def release(self, name: str, holder: str, fence: int) -> bool:
        """See `SignStore.release`."""
        sql = "UPDATE leases SET until = 0 WHERE name = ? AND holder = ? AND fence = ? AND until > 0"
        return self._db.run(sql, (name, holder, fence)) > 0
