"""One SQLite connection shared by a process's threads: a lock around each transaction, reopened after a fork."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from rota.errors import StoreUnavailable
from rota.stores.database import ERRORS, open_database

if TYPE_CHECKING:
    from collections.abc import Iterator

# A connection inherited through fork must be neither used nor closed in the child: closing it there may remove the
# parent's write-ahead log. It is kept here, out of the garbage collector's reach.
_INHERITED: list[sqlite3.Connection] = []
_OPEN: WeakSet[Database] = WeakSet()


_WHOLE = ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))
_PART = ("SAVEPOINT part", "RELEASE part", ("ROLLBACK TO part", "RELEASE part"))


class Database:
    """Opens on first use. Statements go through `read` and `write`, which serialise threads."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        _OPEN.add(self)

    def read(self, sql: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self.connection() as connection:
            return connection.execute(sql, values).fetchall()

    def run(self, sql: str, values: tuple[Any, ...] = ()) -> int:
        """One writing statement as its own transaction; how many rows it changed."""
        with self.connection() as connection:
            return connection.execute(sql, values).rowcount

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its first line: what is read in it is still true at its end.
        Inside a batch, a part of it that can fail alone."""
        with self.connection() as connection:
            begin, end, undo = _PART if connection.in_transaction else _WHOLE
            connection.execute(begin)
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:
                    for statement in undo:  # not executescript: it would commit first
                        connection.execute(statement)
                raise
            connection.execute(end)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Keep the write lock, and other threads out, until the end of the block; then all is written at once."""
        with self.write():
            yield

    def close(self) -> None:
        """Close; the next use opens again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """The connection, while no other thread uses it."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._open()
                yield self._connection
            except ERRORS as error:
                raise _unavailable(self.path, error) from error

    def forked(self) -> None:
        """Called in a child of fork: leave the parent's connection alone. The lock may be held by a thread of the parent."""
        if self._connection is not None:
            _INHERITED.append(self._connection)
        self._connection, self._lock = None, threading.RLock()

    def _open(self) -> sqlite3.Connection:
        connection = open_database(self.path, threads=True)
        connection.row_factory = sqlite3.Row
        return connection


def _leave_inherited() -> None:
    for database in list(_OPEN):
        database.forked()


os.register_at_fork(after_in_child=_leave_inherited)


def _unavailable(path: str, error: Exception) -> StoreUnavailable:
    if "locked" in str(error) or "busy" in str(error):
        return StoreUnavailable(f"{path} is locked by another process", "end the process that holds it (fuser FILE)")
    if "full" in str(error):
        return StoreUnavailable(f"cannot write {path}: the disk is full", "free some space; nothing was written")
    return StoreUnavailable(
        f"cannot use {path}: {error}", "check its owner, its directory and the disk; as a last resort move it away"
    )
