"""Memory and CPU of whole process trees, read straight from `/proc` and only when asked. Owns a stat fd per process.

One `pread` of a kept descriptor costs 5 µs; a process whose stat line has not changed has done nothing, so it is neither
parsed nor asked for new children: 1000 idle processes cost about half a percent of a core at one sample a second. A kept
descriptor also answers "no such process" when its owner ends: no reused pid is ever counted. Linux only.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from rota.daemon.procs.descent import children_of, environment_of
from rota.daemon.procs.identity import TICKS_PER_SECOND
from rota.daemon.procs.mark import mark_of, read_mark
from rota.daemon.procs.proc_stat import DEAD_STATES
from rota.process.record import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rota.daemon.procs.descent import Reapers
    from rota.process.state import Process

INTERVAL = 1.0
"""Seconds between two samples, at least."""
LOOK_EVERY = 3.0
"""Seconds between two searches for new members, at least."""
LOOK_EVERYWHERE_EVERY = 30.0
"""The same for a search that does not trust hints: in processes that seem not to have run, and under every reaper."""

_PAGE = os.sysconf("SC_PAGE_SIZE")
_STAT_SIZE = 1024


class Sampler:
    """The figures of all watched trees. One for the daemon.

    Args:
        reapers: where orphans of the trees land, which are counted by their marker.
    """

    def __init__(self, reapers: Reapers) -> None:
        self._reapers = reapers
        self._trees: dict[int, _Tree] = {}
        self._by_marker: dict[bytes, _Tree] = {}
        self._usage: dict[int, Usage] = {}
        self._sampled = self._looked = self._looked_everywhere = float("-inf")
        self._last_pid = b""
        self._strangers: set[int] = set()

    def watch(self, id: int, root: Process, marker: bytes) -> None:
        """Count the tree below `root`, and orphans whose environment has the entry `marker`, as instance `id`."""
        self.forget(id)
        tree = self._trees[id] = self._by_marker[marker] = _Tree(marker)
        first = _open(root.pid)
        if first is not None and first.start_ticks == root.start_ticks:
            tree.processes[root.pid] = first
        elif first is not None:
            os.close(first.fd)
        self._looked, self._last_pid = float("-inf"), b""

    def forget(self, id: int) -> None:
        """Stop counting an instance; nothing happens when it is not counted."""
        tree = self._trees.pop(id, None)
        self._usage.pop(id, None)
        if tree is not None:
            self._by_marker.pop(tree.marker, None)
            tree.close()

    def sample(self, now_mono: float) -> dict[int, Usage]:
        """The figures by instance; those of the last sample when that was less than a second ago.

        CPU is relative to the previous sample, however long ago that was; 0.0 in the first.
        """
        elapsed = now_mono - self._sampled
        if elapsed < INTERVAL and self._usage.keys() == self._trees.keys():
            return self._usage
        self._look_for_members(now_mono)
        self._usage = {id: tree.measure(now_mono) for id, tree in self._trees.items()}
        self._sampled = now_mono
        return self._usage

    def seen(self, id: int) -> list[tuple[int, int]]:
        """The members known at the last sample, as (pid, start ticks): for Tree.remember."""
        tree = self._trees.get(id)
        return [(one.pid, one.start_ticks) for one in tree.processes.values()] if tree is not None else []

    def close(self) -> None:
        """Close every descriptor."""
        for id in list(self._trees):
            self.forget(id)

    def _look_for_members(self, now: float) -> None:
        everywhere = now - self._looked_everywhere >= LOOK_EVERYWHERE_EVERY
        if now - self._looked < LOOK_EVERY and not everywhere:
            return
        last_pid = _last_pid()
        if last_pid == self._last_pid and not everywhere:
            return  # nothing was born on the whole machine
        self._last_pid, self._looked = last_pid, now
        if everywhere:
            self._looked_everywhere = now
            self._strangers.clear()
        for tree in self._trees.values():
            tree.find_children(everywhere)
        self._adopt_orphans(self._reapers.everywhere() if everywhere else self._reapers.of(os.getpid()))

    def _adopt_orphans(self, reapers: Iterable[int]) -> None:
        known = self._strangers.union(*(tree.processes for tree in self._trees.values()))
        for reaper in reapers:
            for pid in children_of(reaper):
                if pid in known or pid in self._reapers.mains or pid == os.getpid():
                    continue
                tree = next((self._by_marker[e] for e in environment_of(pid) if e in self._by_marker), None)
                tree = tree or self._by_mark(read_mark(pid))
                if tree is None:
                    self._strangers.add(pid)
                else:
                    tree.add(pid)

    def _by_mark(self, mark: int | None) -> _Tree | None:
        return next((tree for tree in self._trees.values() if tree.mark == mark), None) if mark else None


class _Tree:
    def __init__(self, marker: bytes) -> None:
        self.marker, self.mark = marker, mark_of(marker)
        self.processes: dict[int, _Counted] = {}
        self._measured: float | None = None
        self._usage = Usage()

    def add(self, pid: int) -> None:
        """Count a process and all below it."""
        pending = [pid]
        while pending:
            pid = pending.pop()
            if pid in self.processes:
                continue
            found = _open(pid)
            if found is not None:
                self.processes[pid] = found
                pending.extend(children_of(pid))

    def find_children(self, everywhere: bool) -> None:
        for one in list(self.processes.values()):
            if everywhere or one.ran:
                one.ran = False
                for child in children_of(one.pid):
                    self.add(child)

    def measure(self, now: float) -> Usage:
        """Read every process."""
        elapsed = 0.0 if self._measured is None else now - self._measured
        self._measured = now
        moved = [one for one in self.processes.values() if one.moved()]
        if moved or elapsed <= 0:
            used = self._used(moved, elapsed)
            cpu = round(100.0 * used / TICKS_PER_SECOND / elapsed, 1) if elapsed > 0 else 0.0
            rss = sum(one.rss for one in self.processes.values())
            running = sum(not one.zombie for one in self.processes.values())
            self._usage = Usage(memory=rss * _PAGE, cpu=cpu, processes=running)
        elif self._usage.cpu:
            self._usage = Usage(memory=self._usage.memory, processes=self._usage.processes)
        return self._usage

    def _used(self, moved: list[_Counted], elapsed: float) -> int:
        """Clock ticks that the tree used since it was last measured.

        CPU time is conserved: what an ended child had used reappears in its parent's account of waited-for children. So
        the tree's use is what the living used, plus what such accounts grew by beyond what was counted before.
        """
        own = inherited = counted_before = 0
        last_time = _boot_ticks() - int(elapsed * TICKS_PER_SECOND) - 1
        for one in moved:
            before = (one.own, one.inherited)
            if one.gone():
                counted_before += 0 if one.fresh else sum(before)
                os.close(one.fd)
                del self.processes[one.pid]
                continue
            fresh, one.fresh = one.fresh, False
            one.take()
            if fresh:
                # Older than the last measurement: when it used what it has used is not known.
                before = (0, 0) if one.start_ticks >= last_time else (one.own, one.inherited)
            own += one.own - before[0]
            inherited += one.inherited - before[1]
        return own + max(0, inherited - counted_before)

    def close(self) -> None:
        for one in self.processes.values():
            os.close(one.fd)
        self.processes.clear()


class _Counted:
    """One process: its open stat, and the last figures (clock ticks and pages)."""

    __slots__ = ("_taken", "_text", "fd", "fresh", "inherited", "own", "pid", "ran", "rss", "start_ticks", "zombie")

    def __init__(self, fd: int, pid: int) -> None:
        self.fd, self.pid = fd, pid
        self.own = self.inherited = self.rss = self.start_ticks = 0
        self.zombie = False
        self.fresh = True
        """Not measured before."""
        self.ran = False
        """Whether it may have forked since it was last asked for children."""
        self._text = self._taken = b""

    def moved(self) -> bool:
        """Read; False when nothing at all has changed since it was measured."""
        try:
            self._text = os.pread(self.fd, _STAT_SIZE, 0)
        except ProcessLookupError:
            self._text = b""
        return self.fresh or self._text != self._taken

    def gone(self) -> bool:
        """Whether the last reading found no process."""
        return not self._text

    def take(self) -> None:
        """Take the figures of the last reading."""
        # rota.daemon.procs.proc_stat in a hurry: field numbers of proc_pid_stat(5) minus 3, as the name is cut off.
        text = self._text
        fields = text[text.rindex(b")") + 2 :].split(None, 22)
        self._taken, self.ran = text, True
        self.zombie = fields[0] in DEAD_STATES
        self.own = int(fields[11]) + int(fields[12])
        self.inherited = int(fields[13]) + int(fields[14])
        self.start_ticks = int(fields[19])
        self.rss = int(fields[21])


def _open(pid: int) -> _Counted | None:
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # gone; or we are out of descriptors, and it is better not to be counted than to end the daemon
    found = _Counted(fd, pid)
    found.moved()
    if found.gone():
        os.close(fd)
        return None
    found.take()
    return found


def _last_pid() -> bytes:
    """The pid given out last in this pid namespace (proc_loadavg(5)): unchanged, nobody has forked."""
    with open("/proc/loadavg", "rb", buffering=0) as file:
        return file.read(128).split()[-1]


def _boot_ticks() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_SECOND)
