"""Opens rota.db, the one SQLite file of daemon and library, and brings its schema up to date.

Safe when several processes open a new or old file at once: each migration and its version number are one transaction.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from typing import TYPE_CHECKING

from rota.errors import StoreDamaged, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION_ID = 0x726F7461
"""Marks the file as rota's ("rota" in ASCII), so that another program's database is never migrated by mistake."""
ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What a connection raises. Of a damaged schema SQLite's own message may be no text, which Python then cannot decode."""
_DAMAGED = ("not a database", "malformed", "unsupported file format", "already exists", "duplicate column")
"""What SQLite says of a broken file. The last two: it has more than the version in its header says."""
BUSY_TIMEOUT = 10.0
"""Seconds to wait for another process's write before giving up."""


def open_database(path: str | os.PathLike[str], *, readonly: bool = False, threads: bool = False) -> sqlite3.Connection:
    """Open the database, creating and migrating it where needed.

    Args:
        path: the file; its directory is created (0700) when missing, the file with mode 0600.
        readonly: neither create nor migrate.
        threads: allow use from several threads; the caller serialises.

    The connection is in autocommit mode (`isolation_level=None`): transactions are written out as BEGIN IMMEDIATE.

    Raises:
        StoreUnavailable: not readable or writable, no database, another program's, damaged, or of a newer rota.
    """
    file = os.path.abspath(os.fspath(path))
    try:
        if not readonly:
            _prepare_file(file)
        connection = _connect(file, readonly=readonly, threads=threads)
    except (OSError, sqlite3.Error) as error:
        raise _unavailable(file, error) from error
    try:
        _configure(connection, readonly=readonly)
        _bring_up_to_date(connection, file, readonly=readonly)
    except ERRORS as error:
        connection.close()
        raise _unavailable(file, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def damage(connection: sqlite3.Connection) -> list[str]:
    """What SQLite's own check finds wrong with the file; empty when sound. Reads the whole file."""
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(20)")]
    except ERRORS as error:
        return [str(error)]
    return [] if found == ["ok"] else found


def latest_version() -> int:
    """The schema version this rota writes."""
    return max(version for version, _ in _migrations())


def _prepare_file(file: str) -> None:
    os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
    # SQLite gives -wal and -shm the mode of the main file, so creating it first closes all three to others. Only creating: to
    # close a descriptor of a file drops all of the process's POSIX locks on it, those of its other connections included, and
    # then the next process that closes the database deletes the write-ahead log under them.
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if not os.access(file, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


def _connect(file: str, *, readonly: bool, threads: bool) -> sqlite3.Connection:
    target = file
    if readonly:
        from urllib.parse import quote  # a daemon never opens a file this way, and need not pay for it

        target = f"file:{quote(file)}?mode=ro"
    return sqlite3.connect(
        target, uri=readonly, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=not threads
    )


def _configure(connection: sqlite3.Connection, *, readonly: bool) -> None:
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
    if readonly:
        return
    _use_wal(connection)
    # NORMAL in WAL mode: a power cut may undo the last commits, never damage the file; a killed process loses nothing.
    connection.execute("PRAGMA synchronous = NORMAL")


def _use_wal(connection: sqlite3.Connection) -> None:
    # Changing the mode takes an exclusive lock for which SQLite does not call its busy handler, hence the loop.
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _bring_up_to_date(connection: sqlite3.Connection, file: str, *, readonly: bool) -> None:
    latest = latest_version()
    current = _version(connection)
    _refuse_foreign(connection, file, current, latest)
    if current == latest:
        return
    if readonly:
        raise StoreUnavailable(
            f"{file} has schema version {current}, this rota reads {latest}",
            "start rota once (rota ping), it brings the file up to date",
        )
    for version, script in _migrations():
        if version > current:
            _apply(connection, version, script)


def _refuse_foreign(connection: sqlite3.Connection, file: str, current: int, latest: int) -> None:
    mark = int(connection.execute("PRAGMA application_id").fetchone()[0])
    fresh = current == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if mark != APPLICATION_ID and not fresh and not _finished_meanwhile(connection):
        raise StoreUnavailable(f"{file} is another program's database", "give rota a file of its own")
    if current > latest:
        raise StoreUnavailable(
            f"{file} was written by a newer rota (schema version {current}, this one knows {latest})",
            "upgrade this rota, or use another ROTA_HOME",
        )


def _finished_meanwhile(connection: sqlite3.Connection) -> bool:
    """Whether another process has put its mark on the file since the first look."""
    return int(connection.execute("PRAGMA application_id").fetchone()[0]) == APPLICATION_ID


def _apply(connection: sqlite3.Connection, version: int, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection) < version:
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    # executescript would commit the transaction first.
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _migrations() -> list[tuple[int, str]]:
    # Plain files beside this one: importlib.resources would load a dozen modules into every process that opens a store.
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "migrations")
    names = sorted(name for name in os.listdir(folder) if name.endswith(".sql"))
    return [(int(name.split("_", 1)[0]), _text(os.path.join(folder, name))) for name in names]


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _unavailable(file: str, error: Exception) -> StoreUnavailable:
    text = str(error)
    if isinstance(error, UnicodeDecodeError) or any(words in text for words in _DAMAGED):
        return StoreDamaged(
            f"{file} is damaged or not a database ({text})",
            "move it aside (with its -wal and -shm) and start rota again, or put a backup in its place",
        )
    if "locked" in text:
        return StoreUnavailable(f"{file} is locked by another process", "end the process that holds it (fuser FILE)")
    if isinstance(error, OSError):
        text = error.strerror or text
    return StoreUnavailable(f"cannot open {file}: {text}", "check that the directory exists and belongs to you")
