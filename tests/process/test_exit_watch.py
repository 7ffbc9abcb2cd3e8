"""Many processes that end at once: every end is told, and others have their turn in between."""

from __future__ import annotations

import asyncio
import os
import subprocess
from itertools import pairwise
from typing import TYPE_CHECKING

from rota.clock import SystemClock
from rota.daemon.exits import PER_TURN, ExitWatch
from rota.daemon.keeperlink import KeeperLink
from rota.daemon.procs import identity
from rota.daemon.procs.spawn import Child
from rota.process.state import Process

if TYPE_CHECKING:
    from rota.process.events import Exited

MANY = 3 * PER_TURN + 1


class Listener:
    """Stands where the supervisor does."""

    def __init__(self) -> None:
        self.heard: dict[int, Exited] = {}

    def handle(self, id: int, event: Exited) -> None:
        assert id not in self.heard
        self.heard[id] = event


def ended(code: int) -> Child:
    """A child of ours that has ended and was not waited for."""
    popen = subprocess.Popen(["sh", "-c", f"exit {code}"])
    popen.returncode = 0  # the watch reaps it
    ticks = identity.start_ticks(popen.pid)
    os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
    assert ticks is not None
    process = Process(popen.pid, ticks, identity.boot_id())
    return Child(1, process, os.pidfd_open(popen.pid), True, 0.0)


def test_many_ends_at_once_are_all_told_a_few_in_a_turn() -> None:
    children = [ended(number) for number in range(MANY)]
    listener = Listener()
    counts = [0]

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        exits = ExitWatch(loop, SystemClock(), listener, KeeperLink(None))  # type: ignore[arg-type]
        for id, child in enumerate(children):
            exits.watch(id, child)
        async with asyncio.timeout(20):
            while len(listener.heard) < MANY:
                await asyncio.sleep(0)
                counts.append(len(listener.heard))

    asyncio.run(watch())
    for child in children:
        os.close(child.pidfd)
    assert [listener.heard[id].exit.code for id in range(MANY)] == list(range(MANY))
    assert max(after - before for before, after in pairwise(counts)) <= PER_TURN
