"""Who descends from whom: children, walks down a family, and where orphans land. Linux only; signals nobody.

The parent chain of every process of a tree ends either at the tree's living root or at an orphan directly below a reaper
(the keeper, another subreaper, or init). So two readings find them all without a scan of the whole machine: down from the
root, and the reapers' children that can be recognised.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from rota.daemon.procs.proc_stat import read_stat

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from rota.daemon.procs.proc_stat import Stat

INIT = 1
_EXEC_TRIES = 200


class Member(msgspec.Struct, frozen=True):
    """A running process of a tree. `depth` counts from the root or from the orphan it descends from."""

    pid: int
    start_ticks: int
    depth: int
    comm: str


def children_of(pid: int) -> list[int]:
    """Living and zombie children of a process, in order of birth; none when it is gone."""
    if not _kernel_lists_children():
        return _children_by_scan()(pid)
    found: list[int] = []
    # A child hangs on the thread that forked it.
    for task in _threads(pid):
        found.extend(map(int, (_read(f"/proc/{pid}/task/{task}/children") or b"").split()))
    return found


def children_now() -> Callable[[int], list[int]]:
    """`children_of` for asking about many processes at once: where the kernel has no lists, it scans but once."""
    return children_of if _kernel_lists_children() else _children_by_scan()


def every_process() -> Iterator[tuple[int, Stat]]:
    """Every process of this pid namespace: some 20 µs each, so for fallbacks only."""
    for name in os.listdir("/proc"):
        if name.isdecimal():
            stat = read_stat(int(name))
            if stat is not None:
                yield int(name), stat


def walk(pid: int, family: dict[int, Member], children: Callable[[int], list[int]] = children_of) -> None:
    """Add a process and all below it to `family`, parents before children. The ended have no children."""
    pending = [(pid, 0)]
    while pending:
        pid, depth = pending.pop(0)
        if pid in family:
            continue
        stat = read_stat(pid)
        if stat is None or stat.ended:
            continue
        family[pid] = Member(pid, stat.start_ticks, depth, stat.comm.decode("utf-8", "replace"))
        pending.extend((child, depth + 1) for child in children(pid))


def has_entry(pid: int, entry: bytes) -> bool:
    """Whether a process was started with this `NAME=value` in its environment."""
    return entry in environment_of(pid)


def environment_of(pid: int) -> list[bytes]:
    """The `NAME=value` entries a process was started with.

    Empty for processes that write over them (long process titles), those of other users, and those that are gone.
    """
    started_without = 0
    for _ in range(_EXEC_TRIES):
        environ = _read(f"/proc/{pid}/environ")
        if environ is None:
            return []
        if environ:
            return environ.split(b"\0")
        # Empty: it has ended; or is in the middle of an exec (for some 100 µs, arguments empty too); or left the memory
        # we had opened by an exec; or really has none.
        stat = read_stat(pid)
        if stat is None or stat.ended or started_without > 1:
            return []
        started_without += bool(_read(f"/proc/{pid}/cmdline"))
        os.sched_yield()
    return []


class Reapers:
    """Where the orphans of rota's apps land, and which children there are known to be no orphans.

    Args:
        keeper_pid: the keeper, a subreaper and an ancestor of the daemon (or the daemon itself, as a subreaper); None when
            a service manager or init stands in. Set it anew when the keeper changes.
        mains: pids of the instances' main processes, kept current by the supervisor: after a crash of the daemon they all
            hang below the keeper, and need not be looked at.
    """

    def __init__(self, keeper_pid: int | None, mains: Container[int] = ()) -> None:
        self.keeper_pid = keeper_pid
        self.mains = mains

    def of(self, parent: int) -> tuple[int, ...]:
        """The processes to which orphans of a child of `parent` may fall, nearest first."""
        if parent == os.getpid():
            if self.keeper_pid is not None and self.keeper_pid in (os.getppid(), parent):
                return (self.keeper_pid,)
            chain = ancestors(parent)
        else:
            chain = (parent, *ancestors(parent))
        if self.keeper_pid in chain:
            return chain[: chain.index(self.keeper_pid) + 1]
        return chain

    def everywhere(self) -> tuple[int, ...]:
        """All places where an orphan of unknown parentage may be."""
        keeper = () if self.keeper_pid is None else (self.keeper_pid,)
        return tuple(dict.fromkeys((*keeper, *ancestors(os.getpid()), INIT)))


def ancestors(pid: int) -> tuple[int, ...]:
    """Parent, grandparent and so on, up to init."""
    found: list[int] = []
    stat = read_stat(pid)
    while stat is not None and stat.ppid > 0 and stat.ppid not in found:
        found.append(stat.ppid)
        stat = read_stat(stat.ppid)
    return tuple(found)


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return []


def _children_by_scan() -> Callable[[int], list[int]]:
    by_parent: dict[int, list[int]] = {}
    for pid, stat in every_process():
        by_parent.setdefault(stat.ppid, []).append(pid)
    return lambda pid: by_parent.get(pid, [])


@cache
def _kernel_lists_children() -> bool:
    """Kernels built without CONFIG_PROC_CHILDREN have no such file."""
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return None
