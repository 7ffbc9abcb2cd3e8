"""rota.db deleted, moved away or replaced while the daemon has it open. All of it is still there behind the open connection: it
is written out beside, the daemon ends, and the next one takes it up; nothing restarts. (Not at once, in this process: while
connections lead to the old file, SQLite would look for their journal under the name of the new one's.)
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING

from rota.errors import RotaError
from rota.stores.database import ERRORS

if TYPE_CHECKING:
    from rota.clock import Clock
    from rota.daemon.ledger import Ledger
    from rota.home import Home

log = logging.getLogger("rota.ledger")

LOST = 71
"""Exit code of a daemon whose database was taken from under it; the keeper starts the next one."""
_SUFFIXES = ("", "-wal", "-shm")


def file_identity(path: str, unknown: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """Device and inode; None when there is no such file, `unknown` when nobody can tell. The inode of an open file is given to
    no other."""
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError:
        return unknown
    return facts.st_dev, facts.st_ino


def rescued_path(home: Home) -> str:
    """Where what was in the lost database waits for the next daemon."""
    return home.db + ".rescued"


def rescue(ledger: Ledger, home: Home) -> None:
    """Write the database out and end, at once: the next daemon is prepared for that at any instant, and SQLite must not close
    the old file in its orderly way. Returns where it cannot be done: supervision goes on, and it is to be tried again."""
    try:
        home.ensure()
        ledger.flush()
        _write_out(ledger, rescued_path(home))
    except (*ERRORS, RotaError, OSError) as error:
        ledger.note_degraded(f"{home.db} was deleted or replaced, and cannot be written anew: {error}")
        return
    log.critical("%s was deleted or replaced: what was in it is written anew, nothing restarts", home.db)
    os._exit(LOST)


def take_up(home: Home, clock: Clock) -> bool:
    """Put what was rescued in its place; what lies there is kept under another name. Whether there was anything.

    Raises:
        OSError: the disk refuses.
    """
    path = rescued_path(home)
    if not os.path.exists(path):
        return False
    if os.path.exists(home.db):
        move_aside(home, clock, "replaced")
    for suffix in _SUFFIXES[1:]:  # of a database that is gone: SQLite would take them for the new one's
        with contextlib.suppress(FileNotFoundError):
            os.unlink(home.db + suffix)
    os.replace(path, home.db)
    return True


def move_aside(home: Home, clock: Clock, why: str = "damaged") -> str:
    """Rename a database that is not to be believed any more; its new name."""
    aside = f"{home.db}.{why}-{int(clock.now())}"
    for suffix in _SUFFIXES:
        if os.path.exists(home.db + suffix):
            os.replace(home.db + suffix, aside + suffix)
    return aside


def _write_out(ledger: Ledger, path: str) -> None:
    begun = path + ".new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(begun)
    os.close(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    ledger.connection.execute("VACUUM INTO ?", (begun,))
    os.replace(begun, path)


def belongs_to_another(home: Home, lock: int) -> bool:
    """Whether the home was removed as a whole, and is by now the home of another rota, which holds a lock of its own.

    Args:
        home: whose file was lost.
        lock: our descriptor of the file that says who owns the home.
    """
    import fcntl

    try:
        fd = os.open(home.path + "/owner.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.path.sameopenfile(fd, lock):
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
