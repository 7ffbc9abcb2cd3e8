"""The ledger of instances: what is wanted and what was last known to be true, written before the world is touched.

Owner: the supervisor. When the database cannot be written (full disk, read-only), rows stay dirty in memory and are
written as soon as it can be: supervision goes on, and `degraded` says why the ledger lags.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from rota.daemon import second_copy
from rota.daemon.lost_database import file_identity, move_aside
from rota.daemon.spec_rows import SpecRows
from rota.process.spec import AppSpec
from rota.process.state import Instance
from rota.stores.database import ERRORS, open_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rota.clock import Clock
    from rota.daemon.second_copy import Snapshot
    from rota.daemon.spec_rows import Row
    from rota.home import Home

log = logging.getLogger("rota.ledger")

DAMAGED = 70
"""Exit code of a daemon whose database was damaged under it; the keeper starts the next one."""
KEEP_EVENTS = 20_000
_PRUNE_EVERY = 1_000
_TURN = "turn"

_instance_json = msgspec.json.Encoder()
_read_instance = msgspec.json.Decoder(Instance)
_read_spec = msgspec.json.Decoder(AppSpec)


class Ledger:
    """Instances, their specs and their events in rota.db."""

    def __init__(self, home: Home, clock: Clock) -> None:
        self._home = home
        self._clock = clock
        self._specs = SpecRows()
        self._dirty: dict[int, tuple[Instance, AppSpec] | None] = {}
        self._events: list[tuple[float, int | None, str, str, str]] = []
        self._since_prune = 0
        self._rows: dict[int, tuple[Instance, AppSpec]] = {}
        self._snapshot_due = False
        self._batches = 0
        self.turn = self._written_turn = 0
        """Counts changes of what is wanted. In the database, too: one that is behind its second copy has lost commits."""
        self.rebuilt = False
        """The rows are those of the second copy: what happened to the processes since is not in them."""
        self.degraded = ""
        self.connection = open_database(home.db)
        self._file = file_identity(home.db)
        # The loop must not stand still behind another process's write: what cannot be written now is written later.
        self.connection.execute("PRAGMA busy_timeout = 250")

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self.write_snapshot()
        self.connection.close()

    # --- reading ---------------------------------------------------------------------------------------------------

    def load(self) -> list[tuple[Instance, AppSpec]]:
        """All instances with their specs, by id.

        Raises:
            sqlite3.DatabaseError, ValueError: the file is damaged.
        """
        rows = self.connection.execute(
            "SELECT i.id, i.state, i.spec_id, s.body FROM instances i JOIN specs s ON s.id = i.spec_id ORDER BY i.id"
        ).fetchall()
        specs: dict[int, AppSpec] = {}
        found: list[tuple[Instance, AppSpec]] = []
        for id, state, spec_id, body in rows:
            if spec_id not in specs:
                specs[spec_id] = _read_spec.decode(body)
            found.append((_read_instance.decode(state), specs[spec_id]))
            self._rows[id] = found[-1]
        self._specs.commit({row[0]: (row[2], specs[row[2]]) for row in rows})
        turn = self.setting(_TURN)
        self.turn = self._written_turn = int(turn) if turn.isdecimal() else 0
        self._snapshot_due = bool(found)  # nobody knows what became of the second copy meanwhile
        return found

    def check_writable(self) -> None:
        """A file whose header claims to be of a later format opens for reading only, whatever its mode.

        Raises:
            sqlite3.DatabaseError: this one does.
        """
        try:
            self.connection.execute("DELETE FROM settings WHERE key = ''")
        except sqlite3.OperationalError as error:
            if "readonly" in str(error):
                raise

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from the second copy: rows that are not in it are forgotten."""
        for id in self._rows.keys() - {instance.id for instance, _ in snapshot.rows}:
            self._dirty[id] = None
            self._rows.pop(id)
        self.turn, self.rebuilt = snapshot.turn, True
        self.save_many(snapshot.rows)

    def events(self, app: str, limit: int) -> list[tuple[float, int | None, str, str]]:
        """The newest events of an app, oldest first: (wall time, instance, kind, detail)."""
        self.flush()
        rows = self.connection.execute(
            "SELECT at, instance, kind, detail FROM events WHERE app = ? ORDER BY id DESC LIMIT ?", (app, limit)
        ).fetchall()
        return rows[::-1]

    def setting(self, key: str) -> str:
        """A stored value, "" when there is none."""
        row = self.connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row is not None else ""

    def has_settings(self, prefix: str) -> bool:
        """Whether a setting is stored whose key begins so."""
        sql = "SELECT 1 FROM settings WHERE key >= ? AND key < ? AND value <> '' LIMIT 1"
        return self.connection.execute(sql, (prefix, prefix + "\uffff")).fetchone() is not None

    def has_unfinished_runs(self) -> bool:
        """Whether a run of a job of ours has no outcome yet."""
        sql = "SELECT 1 FROM runs WHERE app = '' AND state <> 'finished' LIMIT 1"
        return self.connection.execute(sql).fetchone() is not None

    def has_guests(self) -> bool:
        """Whether a job inside an app is registered; True as well when that cannot be read: who reads them says why."""
        try:
            return self.connection.execute("SELECT 1 FROM jobs WHERE app > '' LIMIT 1").fetchone() is not None
        except ERRORS:
            return True

    def set_setting(self, key: str, value: str) -> None:
        """Store a value; on a disk that refuses it is lost, and the log says so."""
        try:
            self.connection.execute("INSERT OR REPLACE INTO settings(key, value) VALUES (?, ?)", (key, value))
        except ERRORS as error:
            self.note_degraded(f"{type(error).__name__}: {error}")

    # --- writing ---------------------------------------------------------------------------------------------------

    def save(self, instance: Instance, spec: AppSpec) -> None:
        """Write one row now. A changed spec is what the user asked for: it is synced to the disk."""
        known = self._specs.of(instance.id)
        changed = known is None or known[1] is not spec
        self._note(instance, spec)
        self.flush(sync=changed)

    def save_many(self, rows: list[tuple[Instance, AppSpec]]) -> None:
        """Write several rows in one transaction, synced."""
        for instance, spec in rows:
            self._note(instance, spec)
        self.flush(sync=True)

    def _note(self, instance: Instance, spec: AppSpec) -> None:
        former = self._rows.get(instance.id)
        # What is wanted of a job is its specification; that its instance is up for the time of a run is no wish.
        wish = spec.job is None and former is not None and former[0].desired != instance.desired
        if former is None or former[1] is not spec or wish:
            self._wanted_changed()
        self._dirty[instance.id] = self._rows[instance.id] = (instance, spec)

    def delete(self, id: int) -> None:
        """Forget an instance."""
        self._dirty[id] = None
        self._rows.pop(id, None)
        self._wanted_changed()
        self.flush(sync=False)

    def _wanted_changed(self) -> None:
        self._snapshot_due = True
        self.turn += 1

    def event(self, instance: int | None, app: str, kind: str, detail: str = "") -> None:
        """Note what happened; written with the next row, or by the next flush."""
        self._events.append((self._clock.now(), instance, app, kind, detail))

    @contextmanager
    def batch(self) -> Iterator[None]:
        """One transaction, at the end of the block, for what changes in it. Only where nothing in the block relies on what
        it has just written: not around a spawn."""
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1
            self.flush()

    def flush(self, *, sync: bool = False) -> bool:
        """Write what is dirty. False when the database refused; nothing is lost, it stays dirty."""
        if self._batches or (not self._dirty and not self._events):
            return True
        try:
            self._write(sync=sync)
        except ERRORS as error:
            self.note_degraded(f"{type(error).__name__}: {error}")
            if is_damage(error):
                self._start_over(error)
            return False
        if self.degraded and not self.is_lost():
            log.warning("the ledger can be written again")
            self.degraded = ""
        return True

    def _write(self, *, sync: bool) -> None:
        connection = self.connection
        if sync:
            connection.execute("PRAGMA synchronous=FULL")
        try:
            connection.execute("BEGIN IMMEDIATE")
            fresh: dict[int, Row] = {}
            written = {key: self._write_row(key, row, fresh) for key, row in self._dirty.items()}
            unused = [(row,) for row in self._specs.unused(written)]
            connection.executemany("DELETE FROM specs WHERE id = ?", unused)
            if self._events:
                connection.executemany(
                    "INSERT INTO events(at, instance, app, kind, detail) VALUES (?, ?, ?, ?, ?)", self._events
                )
                self._prune(len(self._events))
            if self.turn != self._written_turn:
                connection.execute("INSERT OR REPLACE INTO settings(key, value) VALUES (?, ?)", (_TURN, str(self.turn)))
            connection.execute("COMMIT")
            self._written_turn = self.turn
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            if sync:
                connection.execute("PRAGMA synchronous=NORMAL")
        self._specs.commit(written)
        self._dirty.clear()
        self._events.clear()

    def _write_row(self, id: int, row: tuple[Instance, AppSpec] | None, fresh: dict[int, Row]) -> Row | None:
        execute = self.connection.execute
        if row is None:
            execute("DELETE FROM instances WHERE id = ?", (id,))
            return None
        instance, spec = row
        known = self._specs.of(id)
        if known is None or known[1] is not spec:
            known = self._specs.put(self.connection, spec, self._clock.now(), fresh)
        execute(
            "INSERT INTO instances(id, app, namespace, state, spec_id) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT(id) DO UPDATE SET app=excluded.app, namespace=excluded.namespace, state=excluded.state,"
            " spec_id=excluded.spec_id",
            (id, spec.name, spec.namespace, _instance_json.encode(instance), known[0]),
        )
        return known

    def _prune(self, added: int) -> None:
        self._since_prune += added
        if self._since_prune >= _PRUNE_EVERY:
            self._since_prune = 0
            self.connection.execute("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?", (KEEP_EVENTS,))

    def note_degraded(self, reason: str) -> None:
        """Say so once: what is written may be lost with this process."""
        if len(self._events) > KEEP_EVENTS:
            del self._events[:-KEEP_EVENTS]
        if not self.degraded:
            log.error("the ledger cannot be written (%s); supervision goes on and it will be tried again", reason)
        self.degraded = reason

    def _start_over(self, error: Exception) -> None:
        """The file is damaged under us. What we know goes to the second copy, from which the next daemon rebuilds it."""
        self._snapshot_due = False
        for _ in self._write_copy():
            pass
        if not self._snapshot_due:
            log.critical("the ledger is damaged (%s); starting over from the second copy, nothing restarts", error)
            move_aside(self._home, self._clock)  # what can still be read of it must not be believed again
            raise SystemExit(DAMAGED)

    def is_lost(self) -> bool:
        """Whether the file was deleted, or another one put in its place: what is written goes nowhere."""
        return self._file != file_identity(self._home.db, self._file)

    # --- the second copy -------------------------------------------------------------------------------------------

    def write_snapshot(self) -> None:
        """Write state.json, if what is wanted has changed since the last time."""
        for _ in self.snapshot_steps():
            pass

    def snapshot_steps(self) -> Iterator[None]:
        """The same in steps of a few milliseconds, for a loop that has other things to do. Begun again, it starts anew."""
        missing = not self._snapshot_due and self._rows and not os.path.exists(second_copy.snapshot_path(self._home))
        if (self._snapshot_due or missing) and not self.degraded:
            self._snapshot_due = False
            yield from self._write_copy()

    def _write_copy(self) -> Iterator[None]:
        try:
            yield from second_copy.write(self._home, self.turn, list(self._rows.values()))
        except OSError as error:
            log.warning("cannot write %s: %s", second_copy.snapshot_path(self._home), error.strerror)
            self._snapshot_due = True


def is_damage(error: Exception) -> bool:
    """Whether the file itself is broken, as opposed to a disk that is full or a lock that is held."""
    return isinstance(error, UnicodeDecodeError) or any(
        word in str(error) for word in ("malformed", "not a database", "disk image")
    )
