"""Find the daemon of a home, or start it. Any number of commands may do so at once: the owner lock lets one through."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from rota.client.connection import Connection
from rota.errors import DaemonUnreachable
from rota.keeper.launch import launch, take_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.home import Home

START_DEADLINE = 10.0
"""Seconds a new daemon may take until it answers."""

END_DEADLINE = 10.0
"""Seconds that the end of a daemon may take once its apps are gone."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.1
_LOG_LINES = 5


def running(home: Home) -> Connection | None:
    """A connection when a daemon answers. A socket file that nobody listens on counts as none."""
    try:
        return Connection.open(home)
    except DaemonUnreachable:
        return None


def connect(home: Home, note: Callable[[str], None], within: float = START_DEADLINE) -> Connection:
    """A connection to the daemon, started if need be.

    Args:
        note: told what is going on, when a daemon has to be started.
        within: seconds until giving up.

    Raises:
        DaemonUnreachable: it did not come up; the hint holds the end of its log.
        NotPermitted: the home may not be written.
    """
    return running(home) or _start(home, note, within)


def is_free(home: Home) -> bool:
    """Whether neither a keeper nor a daemon owns the home just now."""
    lock = take_lock(home)
    if lock is not None:
        os.close(lock)
    return lock is not None


def await_end(home: Home, within: float = END_DEADLINE) -> bool:
    """Wait until keeper and daemon, told to end, are gone and their files at rest; whether they are."""
    deadline = time.monotonic() + within
    while (lock := take_lock(home)) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_FIRST_PAUSE)
    os.close(lock)
    return True


def settled(home: Home, within: float = START_DEADLINE) -> Connection | None:
    """A connection to the daemon if there is one or one is about to be; None once nobody owns the home. Starts nothing.

    Raises:
        DaemonUnreachable: there is a keeper or a daemon, but no answer.
    """
    deadline, pause = time.monotonic() + within, _FIRST_PAUSE
    while True:
        connection = running(home)
        if connection is not None or not os.path.exists(home.path + "/owner.lock"):
            return connection
        lock = take_lock(home)
        if lock is not None:
            os.close(lock)
            return None
        if time.monotonic() > deadline:
            raise DaemonUnreachable(f"rota runs, but does not answer within {within:g} s", _last_words(home))
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def may_have_left_processes(home: Home) -> bool:
    """Whether a daemon that is gone did not end its apps: their FIFOs are still there."""
    try:
        names = os.listdir(home.runtime_dir)
    except OSError:
        return False
    return any(name.endswith((".in", ".out", ".err")) for name in names)


def _start(home: Home, note: Callable[[str], None], within: float) -> Connection:
    deadline = time.monotonic() + within
    pause, launches = _FIRST_PAUSE, 0
    while True:
        # False: keeper and daemon are just starting, or a `rota kill` is still ending. Either way the lock tells.
        if launch(home):
            launches += 1
            if launches == 1:
                note(f"Starting the rota daemon for {home.path}")
        if launches > 1:
            raise DaemonUnreachable("the daemon ended while it was starting", _last_words(home))
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
        connection = running(home)
        if connection is not None:
            return connection
        if time.monotonic() > deadline:
            raise DaemonUnreachable(f"the daemon did not answer within {within:g} s", _last_words(home))


def _last_words(home: Home) -> str:
    try:
        with open(home.log, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4096))
            lines = file.read().decode("utf-8", "replace").splitlines()[-_LOG_LINES:]
    except OSError:
        lines = []
    return "\n  ".join([f"the end of {home.log}:", *lines]) if lines else f"{home.log} says nothing about it"
