"""Who runs jobs: the identity of this process among all that share a store."""

from __future__ import annotations

import os
from functools import cache

from rota.stores.records import Worker


def host() -> str:
    """The host's name: part of a worker's identity and of a job's stable offset."""
    return os.uname().nodename


def this_worker() -> Worker:
    """A new identity for this process: where it can be looked for, and something that is not used twice."""
    pid = os.getpid()
    return Worker(f"{_place()}:{pid}:{os.urandom(4).hex()}", host(), pid)


def is_dead(worker: str) -> bool:
    """Whether a worker is known to be gone. False for one of another host or container, of whom nothing can be known, and
    for one whose process id has been given to somebody else: the end of its lease will tell."""
    place, _, rest = worker.rpartition(":")[0].rpartition(":")
    if place != _place() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@cache
def _place() -> str:
    """The host and, where there are containers, the one whose process ids we see."""
    try:
        return f"{host()}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return f"{host()}:0"
