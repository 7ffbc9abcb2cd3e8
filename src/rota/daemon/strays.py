"""Processes that carry this home's mark and stand in no ledger: rota.db and state.json were lost while rota did not run, or the
home was removed. What they were started from is not known, so nothing restarts them. They are told below the list, what they
print is kept, their ids are given to nobody else, and `rota kill` ends them. Loaded when there are some.

Nothing else that they say of themselves is believed: as root, rota would write and execute for them whatever a process of any
user may put into its own environment.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import msgspec

from rota.daemon.perform import signal_number
from rota.daemon.procs import identity, spawn
from rota.daemon.procs.tree import Tree
from rota.daemon.streams import reopen_fifo, silence
from rota.process import environ
from rota.process.spec import AppSpec
from rota.process.step import KILL_WAIT
from rota.render.text import cut, printable

if TYPE_CHECKING:
    import asyncio

    from rota.daemon.procs.descent import Reapers
    from rota.daemon.streams import Outputs
    from rota.daemon.world import World
    from rota.process.state import Process

log = logging.getLogger("rota.adopt")

ONE_BY_ONE = 3
"""So many are told each in a line of its own; of more there is one line."""
_COMMAND = 60
_LOOK = 0.02
"""Seconds between looks while they are being ended."""


class Stray(msgspec.Struct, eq=False):
    """A main process that nobody knows."""

    id: int
    """Of the instance it was."""
    gen: int
    process: Process
    pidfd: int
    command: str
    tree: Tree
    outputs: Outputs
    ending: asyncio.Task[None] | None = None
    """Waits until nothing is left of its tree, once the main process has ended."""


class Strays:
    """Those that run. Owns their pidfds and the reading ends of their FIFOs."""

    def __init__(self, world: World, reapers: Reapers) -> None:
        self._world, self._reapers = world, reapers
        self._running: list[Stray] = []

    def __len__(self) -> int:
        return len(self._running)

    def add(self, id: int, gen: int, process: Process) -> None:
        """One was found, perhaps again."""
        world = self._world
        known = any(stray.process.pid == process.pid for stray in self._running)
        pidfd = None if known else identity.reopen(process)
        if pidfd is None:
            return
        fds = {
            stream: self._output(process.pid, number, id, gen, stream) for number, stream in ((1, "out"), (2, "err"))
        }
        outputs = world.streams.open(id, _spec(world, id), fds, adopted=True)
        marker = f"{environ.MARKER}={environ.marker(world.home_id, id, gen)}".encode()
        tree = Tree(process, marker, self._reapers, pidfd)
        stray = Stray(id, gen, process, pidfd, _command(process.pid), tree, outputs)
        self._running.append(stray)
        world.supervisor.reserved.add(id)
        world.loop.add_reader(pidfd, self._ended, stray)
        log.error("%s runs, and no ledger knows it: left alone, `rota kill` ends it", _told(stray))

    def below_the_list(self) -> str:
        """Lines for the end of `rota list`."""
        end = "no ledger knows (was rota.db removed?); `rota kill` ends {}, and what {} to {}/unknown-*\n"
        logs = self._world.home.logs
        if len(self._running) <= ONE_BY_ONE:
            return "".join(
                f"{_told(one)} runs, which {end.format('it', 'it prints goes', logs)}" for one in self._running
            )
        first = _told(self._running[0])
        return f"{len(self)} processes run, as {first}, which {end.format('them', 'they print goes', logs)}"

    async def end(self) -> None:
        """Ask them all to end, and kill what does not."""
        strays = list(self._running)
        stop = _spec(self._world, 0).stop
        for stray in strays:
            log.warning("ending %s, which no ledger knows", _told(stray))
            stray.tree.signal(signal_number(stop.signal))
        if not await self._gone(stop.kill_timeout):
            for stray in strays:
                stray.tree.kill()
            await self._gone(KILL_WAIT)

    async def _gone(self, within: float) -> bool:
        """Whether nothing is left of any of them."""
        clock = self._world.clock
        until = clock.monotonic() + within
        while self._running and clock.monotonic() < until:
            await clock.sleep(_LOOK)
        return not self._running

    def _ended(self, stray: Stray) -> None:
        self._world.loop.remove_reader(stray.pidfd)
        stray.ending = self._world.loop.create_task(self._until_gone(stray))

    async def _until_gone(self, stray: Stray) -> None:
        await stray.tree.gone()
        log.warning("%s has ended", _told(stray))
        self._running.remove(stray)
        self._world.supervisor.reserved.discard(stray.id)
        stray.outputs.close()
        os.close(stray.pidfd)
        if not self._is_given(stray.id, stray.gen):
            self._world.keeper.deposit(spawn.kept_key(stray.id, stray.gen), [])
            spawn.remove_fifos(self._world.run_dir, stray.id, stray.gen)

    def _is_given(self, id: int, gen: int) -> bool:
        """Whether an app was given the same id before the stray was found: FIFOs of that name are its own."""
        children = (entry.child for entry in self._world.supervisor.everybody())
        return any((child.key, child.gen) == (id, gen) for child in children if child is not None)

    def _output(self, pid: int, number: int, id: int, gen: int, stream: str) -> int:
        """The reading end of a stream: through the process, since the name may be gone, or another's by now."""
        open_in_process, path = f"/proc/{pid}/fd/{number}", spawn.fifo_path(self._world.run_dir, id, gen, stream)
        found = None
        try:
            if os.path.basename(os.readlink(open_in_process)).removesuffix(" (deleted)") == os.path.basename(path):
                found = os.open(open_in_process, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            found = None if self._is_given(id, gen) else reopen_fifo(path, None)
        return silence() if found is None else found


def _spec(world: World, id: int) -> AppSpec:
    """What holds of an app of which nothing was said."""
    return world.settings.settled(AppSpec(name=f"unknown-{id}", script="", exec_path=""))


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return cut(printable(file.read(4096).replace(b"\0", b" ").decode("utf-8", "replace").strip()), _COMMAND)
    except OSError:
        return ""


def _told(stray: Stray) -> str:
    return f"process {stray.process.pid} ({stray.command})"
