"""Open the ledger whatever state the file is in: a damaged one is moved aside and rebuilt from the second copy, one that has
lost its last commits (a journal cut short) is brought up to it."""

from __future__ import annotations

import logging
import os
import sqlite3
from typing import TYPE_CHECKING

from rota.daemon.ledger import Ledger
from rota.daemon.lost_database import move_aside, take_up
from rota.daemon.second_copy import read_snapshot, snapshot_turn
from rota.errors import StoreDamaged, StoreUnavailable
from rota.stores.database import damage

if TYPE_CHECKING:
    from rota.clock import Clock
    from rota.home import Home
    from rota.process.spec import AppSpec
    from rota.process.state import Instance

log = logging.getLogger("rota.ledger")


def open_ledger(home: Home, clock: Clock) -> tuple[Ledger, list[tuple[Instance, AppSpec]]]:
    """The ledger and its rows.

    Raises:
        StoreUnavailable: it cannot be opened for a reason that moving it aside would not mend.
    """
    try:
        rescued = take_up(home, clock)
        ledger = Ledger(home, clock)
    except OSError as error:
        raise StoreUnavailable(f"cannot use {home.db}: {error.strerror}", "check its directory and the disk") from error
    except StoreDamaged as error:
        return _rebuild(home, clock, error.message)
    try:
        rows = ledger.load()
        ledger.check_writable()
    except (sqlite3.DatabaseError, ValueError, RecursionError) as error:
        found = damage(ledger.connection)
        ledger.connection.close()
        return _rebuild(home, clock, "; ".join(found[:2]) or str(error))
    if snapshot_turn(home) > ledger.turn:
        rows = _catch_up(home, ledger) or rows
    if rescued:
        log.error("the ledger had been deleted or replaced: %d instances are what they were", len(rows))
        ledger.event(None, "rota", "ledger restored", "its file had been deleted or replaced")
    return ledger, rows


def _catch_up(home: Home, ledger: Ledger) -> list[tuple[Instance, AppSpec]]:
    """The database is whole, but older than its second copy, which is only ever written after it. Runs stay as they are."""
    snapshot = read_snapshot(home)
    if snapshot.turn <= ledger.turn:
        return []
    log.error("the ledger had lost its last changes: %d instances restored from state.json", len(snapshot.rows))
    ledger.restore(snapshot)
    ledger.event(None, "rota", "ledger restored", "its last changes were lost; taken from state.json")
    return snapshot.rows


def _rebuild(home: Home, clock: Clock, why: str) -> tuple[Ledger, list[tuple[Instance, AppSpec]]]:
    aside = move_aside(home, clock)
    snapshot = read_snapshot(home)
    rows = snapshot.rows
    log.error("the ledger was damaged (%s): moved to %s, %d instances restored from state.json", why, aside, len(rows))
    ledger = Ledger(home, clock)
    ledger.restore(snapshot)
    ledger.event(None, "rota", "ledger damaged", f"{why}; kept as {os.path.basename(aside)}")
    return ledger, rows
