"""The process tree of one generation of an instance: who belongs to it, ending them, and waiting until none is left.

A member is whatever descends from the main process, shares its session or process group, carries the instance's marker in
its environment or the mark that goes with it in its limits (`rota.daemon.procs.mark`), or was seen as a descendant before.
(Why no cgroups: docs/architecture.md.)
Signals go through pidfds that were verified after opening, never to a bare pid. Linux only.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal as signals
from functools import cache
from typing import TYPE_CHECKING

from rota.daemon.procs.descent import children_now, children_of, every_process, has_entry, walk
from rota.daemon.procs.identity import boot_id, reopen, send, start_ticks
from rota.daemon.procs.mark import mark_of, read_mark
from rota.daemon.procs.proc_stat import read_stat
from rota.errors import NotPermitted
from rota.process.state import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rota.daemon.procs.descent import Member, Reapers

_TO_GROUP = 1 << 2
"""PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9: to the group this process leads, even when the leader is gone."""
_PASSES = 50
"""How often to look again for processes born while others were killed, before waiting for deaths instead."""
_WATCHED_AT_ONCE = 64


class Tree:
    """The processes of one generation.

    Args:
        root: the main process, started in a session of its own (setsid), so that its pid names session and group.
        marker: the environment entry all of them inherit, as b"ROTA_INSTANCE=home:3:1".
        reapers: where orphans land; shared by all trees.
        pidfd: the root's, borrowed: keep it open until the tree is gone. With it, a group whose leader has ended is
            still addressed without any doubt about reused numbers; None is for a root that had ended before adoption.
    """

    def __init__(self, root: Process, marker: bytes, reapers: Reapers, pidfd: int | None = None) -> None:
        self._root, self._marker, self._reapers, self._pidfd = root, marker, reapers, pidfd
        self._mark = mark_of(marker)
        self._parent = self._parent_of_root()
        self._seen: dict[int, int] = {}
        self._marked: bool | None = None
        self._killing = False

    def members(self) -> list[Member]:
        """Everything that runs now, parents before children; zombies do not count. Costs some 30 µs per process."""
        family: dict[int, Member] = {}
        children = children_now()
        if start_ticks(self._root.pid) == self._root.start_ticks:
            walk(self._root.pid, family, children)
        for pid in self._orphans():
            walk(pid, family, children)
        for pid, ticks in list(self._seen.items()):
            if pid not in family and start_ticks(pid) == ticks and not self._has_left(pid):
                walk(pid, family, children)
        if not family and self._group_answers():
            self._scan(family, children)
        self._seen = {pid: member.start_ticks for pid, member in family.items() if pid != self._root.pid}
        return sorted(family.values(), key=lambda member: member.depth)

    def anything_left(self) -> bool:
        """Whether anything but zombies runs. Cheap when nothing does (no scan); call it once the root was reaped."""
        return self._anything_answers() and bool(self.members())

    def remember(self, seen: Iterable[tuple[int, int]]) -> None:
        """Take note of members found elsewhere, as (pid, start ticks): they stay members when orphaned and disguised."""
        if self._marked is None:
            self._marked = read_mark(self._root.pid) == self._mark
        self._seen.update(seen)

    def signal(self, sig: int, *, deepest_first: bool = True) -> list[Member]:
        """Send a signal to every member; returns those whom rota may not signal."""
        members = self.members()
        refused = []
        for member in reversed(members) if deepest_first else members:
            try:
                _send(member, sig)
            except NotPermitted:
                refused.append(member)
        return refused

    def kill(self) -> list[Member]:
        """SIGKILL all, and go on while new ones are born; returns those whom rota may not signal.

        What is born even later is killed by `gone`.
        """
        self._killing = True
        self._kill_group()
        refused: list[Member] = []
        done: set[Member] = set()
        for _ in range(_PASSES):
            fresh = [member for member in self.members() if member not in done]
            if not fresh:
                break
            done.update(fresh)
            for member in fresh:
                try:
                    _send(member, signals.SIGKILL)
                except NotPermitted:
                    refused.append(member)
        return refused

    async def gone(self) -> None:
        """Return once nothing is left. Waits on the members' pidfds; put a timeout around it."""
        while members := self.members():
            await _all_ended(members[-_WATCHED_AT_ONCE:])
            if self._killing:
                self.kill()

    # --- whom to ask ---

    def _parent_of_root(self) -> int | None:
        stat = read_stat(self._root.pid)
        return stat.ppid if stat is not None and stat.start_ticks == self._root.start_ticks else None

    def _reaper_pids(self) -> tuple[int, ...]:
        if self._parent is None:
            return self._reapers.everywhere()
        reapers = self._reapers.of(self._parent)
        # The parent may have ended since, and its children been handed on.
        return reapers if len(reapers) == 1 or read_stat(self._parent) is not None else self._reapers.everywhere()

    def _orphans(self) -> Iterator[int]:
        """Members directly below a reaper.

        A reaper's list is read again until nothing new is in it: an orphan that forked and ended after the first reading
        has left its child there.
        """
        reapers = self._reaper_pids()
        for reaper in reapers:
            looked_at = {self._root.pid, os.getpid(), self._reapers.keeper_pid, *reapers}
            while fresh := [pid for pid in children_of(reaper) if pid not in looked_at]:
                looked_at.update(fresh)
                for pid in fresh:
                    if pid not in self._reapers.mains and self._is_ours(pid):
                        yield pid

    def _is_ours(self, pid: int) -> bool:
        stat = read_stat(pid)
        if stat is None or stat.ended or stat.start_ticks < self._root.start_ticks:
            return False
        if self._root.pid in (stat.session, stat.pgrp) and self._owns_session():
            return True
        return has_entry(pid, self._marker) or read_mark(pid) == self._mark

    def _has_left(self, pid: int) -> bool:
        """Whether one that was seen has put down the mark, which happens on purpose only: another rota was being started when
        we looked (`rota.keeper.launch.clean_environ`)."""
        return bool(self._marked) and not self._is_ours(pid)

    def _owns_session(self) -> bool:
        """Whether the session's number is still ours: the kernel keeps it from reuse while one member lives.

        A leader that is not our root is another program which was given the number after our last member had ended.
        """
        leader = start_ticks(self._root.pid)
        return leader is None or leader == self._root.start_ticks

    def _scan(self, family: dict[int, Member], children: Callable[[int], list[int]]) -> None:
        """The whole machine: the group answers, yet nobody was found where orphans are known to land."""
        for pid, stat in every_process():
            if pid not in family and self._root.pid in (stat.session, stat.pgrp) and self._is_ours(pid):
                walk(pid, family, children)

    # --- the group as a whole ---

    def _anything_answers(self) -> bool:
        if self._group_answers():
            return True
        if any(start_ticks(pid) == ticks for pid, ticks in self._seen.items()):
            return True
        return next(self._orphans(), None) is not None

    def _group_answers(self) -> bool:
        """Whether the root's process group has any process, zombies included."""
        if self._to_group(0):
            return True
        if self._pidfd is not None and _signals_groups():
            return False
        try:
            os.killpg(self._root.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def _kill_group(self) -> None:
        """All of the group in one step of the kernel's: no fork slips between."""
        with contextlib.suppress(PermissionError):
            self._to_group(signals.SIGKILL)

    def _to_group(self, sig: int) -> bool:
        if self._pidfd is None or not _signals_groups():
            return False
        try:
            signals.pidfd_send_signal(self._pidfd, sig, None, _TO_GROUP)
        except ProcessLookupError:
            return False
        return True


@cache
def _signals_groups() -> bool:
    """Whether this kernel signals groups through pidfds."""
    pidfd = os.pidfd_open(os.getpid())
    try:
        signals.pidfd_send_signal(pidfd, 0, None, _TO_GROUP)
    except OSError as error:
        return error.errno != errno.EINVAL
    finally:
        os.close(pidfd)
    return True


def _open(member: Member) -> int | None:
    return reopen(Process(member.pid, member.start_ticks, boot_id()))


def _send(member: Member, sig: int) -> bool:
    """Whether it was sent; False when the member has gone.

    Raises:
        NotPermitted: it runs as a user whom rota may not signal.
    """
    pidfd = _open(member)
    if pidfd is None:
        return False
    try:
        return send(pidfd, sig)
    finally:
        os.close(pidfd)


async def _all_ended(members: Iterable[Member]) -> None:
    loop = asyncio.get_running_loop()
    waiting: dict[int, asyncio.Future[None]] = {}
    try:
        for member in members:
            pidfd = _open(member)
            if pidfd is not None:
                waiting[pidfd] = loop.create_future()
                loop.add_reader(pidfd, _settle, loop, pidfd, waiting[pidfd])
        # Yields even when all have ended meanwhile, so that a caller's loop cannot starve the others.
        await asyncio.sleep(0)
        await asyncio.gather(*waiting.values())
    finally:
        for pidfd in waiting:
            loop.remove_reader(pidfd)
            os.close(pidfd)


def _settle(loop: asyncio.AbstractEventLoop, pidfd: int, future: asyncio.Future[None]) -> None:
    loop.remove_reader(pidfd)
    if not future.done():
        future.set_result(None)
