"""When a process ends: learn how, tell the supervisor (which writes it down), and only then reap it.

Ours are peeked at with WNOWAIT, so that a daemon killed between the death and the ledger leaves a zombie that falls to the
keeper. Processes adopted after a crash are not ours: the keeper tells their status, or the kernel does.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

import msgspec

from rota.daemon.procs import identity
from rota.process.events import Exited
from rota.process.state import Exit

if TYPE_CHECKING:
    import asyncio

    from rota.clock import Clock
    from rota.daemon.keeperlink import KeeperLink
    from rota.daemon.procs.spawn import Child
    from rota.daemon.supervisor import Supervisor

ASK_AGAIN = 0.01
GIVE_UP = 1.0
"""How long to ask for the exit status of a process that is not ours before it is called unknown, seconds."""
PER_TURN = 8
"""Exits dealt with in one turn of the loop, a replacement each: clients have their turn in between."""


class _Watched(msgspec.Struct, eq=False):
    id: int
    child: Child
    asked_until: float = 0.0


class ExitWatch:
    """Watches pidfds; one event per death."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, supervisor: Supervisor, keeper: KeeperLink
    ) -> None:
        self._loop, self._clock, self._supervisor, self._keeper = loop, clock, supervisor, keeper
        self._watched: dict[tuple[int, int], _Watched] = {}
        self._this_turn = 0

    def watch(self, id: int, child: Child) -> None:
        """Report the end of this process to instance `id`."""
        watched = self._watched[child.process.pid, child.process.start_ticks] = _Watched(id, child)
        self._loop.add_reader(child.pidfd, self._ended, watched)

    def unwatch(self, child: Child) -> None:
        """Let go of the pidfd (the caller closes it)."""
        if self._watched.pop((child.process.pid, child.process.start_ticks), None) is not None:
            self._loop.remove_reader(child.pidfd)

    def reassign(self, id: int, child: Child) -> None:
        """From now on report this process's end to instance `id`."""
        watched = self._watched.get((child.process.pid, child.process.start_ticks))
        if watched is not None:
            watched.id = id

    def keeper_says(self, pid: int, start: int, status: int) -> None:
        """An orphan of ours, or some stray, ended and was reaped by the keeper."""
        watched = self._watched.get((pid, start))
        if watched is not None:
            self._report(watched, identity.exit_from_status(status, self._clock.now()))
        self._keeper.acknowledge(pid, start)

    def reap(self, child: Child) -> None:
        """The exit is in the ledger: let the kernel forget it."""
        if child.own:
            child.own = False
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG)

    def _ended(self, watched: _Watched) -> None:
        if self._this_turn >= PER_TURN:
            return  # its pidfd is as readable in the next turn
        if not self._this_turn:
            self._loop.call_soon(self._next_turn)
        self._this_turn += 1
        child = watched.child
        if child.own:
            try:
                found = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                child.own = False
            else:
                if found is not None:
                    self._report(watched, self._from_waitid(found))
                return
        self._ask_the_kernel(watched)

    def _next_turn(self) -> None:
        self._this_turn = 0

    def _from_waitid(self, found: os.waitid_result) -> Exit:
        now = self._clock.now()
        if found.si_code == os.CLD_EXITED:
            return Exit(at=now, code=found.si_status)
        return Exit(at=now, signal=found.si_status)

    def _ask_the_kernel(self, watched: _Watched) -> None:
        child, now = watched.child, self._clock.monotonic()
        if (child.process.pid, child.process.start_ticks) not in self._watched:
            return
        status = identity.exit_of_stranger(child.process, child.pidfd)
        if status is not None:
            self._report(watched, identity.exit_from_status(status, self._clock.now()))
            return
        self._loop.remove_reader(child.pidfd)
        watched.asked_until = watched.asked_until or now + GIVE_UP
        if now >= watched.asked_until:
            self._report(watched, Exit(at=self._clock.now(), known=False))
        else:
            self._loop.call_later(ASK_AGAIN, self._ask_the_kernel, watched)

    def _report(self, watched: _Watched, exit: Exit) -> None:
        child = watched.child
        self.unwatch(child)
        lasted = self._clock.monotonic() - child.began
        self._supervisor.handle(watched.id, Exited(child.gen, exit, lasted))
        self.reap(child)


def began(start_ticks: int) -> float:
    """When a process adopted from before began, as monotonic seconds (its start time counts from boot)."""
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - start_ticks / identity.TICKS_PER_SECOND
    return time.monotonic() - max(age, 0.0)
