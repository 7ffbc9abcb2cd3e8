"""The daemon, put together: lock, log, ledger, keeper, supervisor, adoption, server. Then it waits to be told to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal as signals
import socket
import sys
from typing import TYPE_CHECKING

from rota.clock import SystemClock
from rota.daemon.adopt import Adoption
from rota.daemon.bus import Bus
from rota.daemon.clusters import Clusters
from rota.daemon.exits import ExitWatch
from rota.daemon.gates import NOTIFY_KEY, Gates
from rota.daemon.keeperlink import Inheritance, KeeperLink
from rota.daemon.lifecycle import left_wanted, start_in_order, stop_all
from rota.daemon.logfile import OwnLog
from rota.daemon.lost_database import belongs_to_another, rescue
from rota.daemon.meters import Meters
from rota.daemon.perform import Effects
from rota.daemon.procs import spawn
from rota.daemon.procs.descent import Reapers
from rota.daemon.procs.usage import Sampler
from rota.daemon.recovery import open_ledger
from rota.daemon.scheduling import Scheduling
from rota.daemon.server import Server
from rota.daemon.settings import Settings
from rota.daemon.streams import Streams
from rota.daemon.supervisor import Supervisor
from rota.daemon.verbs.table import handler_of
from rota.daemon.watching import Watching
from rota.daemon.world import World
from rota.errors import RotaError
from rota.home import Home
from rota.keeper.protocol import KEEPER_FD, LOCK_FD, PERMANENT, STATE_FD
from rota.logs.files import LogFiles
from rota.logs.pump import LogPump
from rota.version import __version__

if TYPE_CHECKING:
    from rota.daemon.log_troubles import LogTroubles
    from rota.daemon.succession import State

log = logging.getLogger("rota")

HOUSEKEEPING = 1.0
"""Seconds between retries of a ledger that could not be written, and writes of its second copy."""

APPS_FIRST = 0.2
"""Seconds after which everything else is begun with."""


def main(argv: list[str]) -> int:
    """Run until told to end. Returns the exit code: PERMANENT when starting again would not help."""
    if argv[1:] == ["--check"]:
        print(__version__)
        return 0
    home = Home(argv[0])
    clock = SystemClock()
    files = LogFiles(wall=clock.now, monotonic=clock.monotonic, report=lambda text: log.error("%s", text))
    try:
        home.ensure()
        lock = _own_the_home(home)
    except RotaError as error:
        print(f"rota daemon: {error.message}", file=sys.stderr)
        return PERMANENT
    settings = Settings(home)
    _log_to(files, home, settings)
    settings.read_environment()
    spawn.raise_nofile()
    state = _handed_over(_take_fd(STATE_FD))
    if state is not None:
        keeper = KeeperLink(state.keeper if state.keeper >= 0 else None)
        keeper.held = state.held
        inheritance = Inheritance(ipc=state.ipc, kept=dict(state.more))
        if state.notify >= 0:
            inheritance.kept[NOTIFY_KEY] = [state.notify]
    else:
        keeper = KeeperLink(_take_fd(KEEPER_FD))
        inheritance = keeper.inherit()
    listener = socket.socket(fileno=state.listener) if state is not None and state.listener >= 0 else None
    # Blocked until we take it. With Python's own handler the runner would put up one of its own, which is in the way.
    signals.signal(signals.SIGINT, signals.SIG_DFL)
    try:
        with asyncio.Runner() as runner:
            return runner.run(Daemon(home, clock, files, settings, keeper, lock).run(inheritance, listener))
    except RotaError as error:
        log.error("cannot start: %s%s", error.message, f" ({error.hint})" if error.hint else "")
        return PERMANENT


class Daemon:
    """What main puts together."""

    def __init__(
        self, home: Home, clock: SystemClock, files: LogFiles, settings: Settings, keeper: KeeperLink, lock: int
    ) -> None:
        self.home, self.clock, self.files, self.settings = home, clock, files, settings
        self.keeper, self.lock = keeper, lock
        self._log_troubles: LogTroubles | None = None
        self._first: Adoption | None = None
        """The adoption by a ledger in which nobody stood."""

    async def run(self, inheritance: Inheritance, listener: socket.socket | None) -> int:
        """Everything, from adoption to the last byte."""
        loop = asyncio.get_running_loop()
        self._take_signals(loop)
        ledger, rows = open_ledger(self.home, self.clock)
        self.keeper.may_forget = lambda: not ledger.degraded
        supervisor = Supervisor(ledger, self.clock)
        pump = LogPump(loop, self.files)
        self.world = world = World(
            home=self.home,
            home_id=self.home.runtime_dir.rpartition("-")[2],
            run_dir=self.home.runtime_dir,
            clock=self.clock,
            loop=loop,
            ledger=ledger,
            keeper=self.keeper,
            settings=self.settings,
            streams=Streams(self.home, self.settings, self.files, pump),
            bus=Bus(),
            supervisor=supervisor,
            started=self.clock.now(),
            cpus=len(os.sched_getaffinity(0)),
        )
        self.exits = ExitWatch(loop, self.clock, supervisor, self.keeper)
        reapers = Reapers(os.getppid() if self.keeper.alive else None, set())
        sampler = Sampler(reapers)
        world.clusters = clusters = Clusters(world, inheritance.kept)
        world.scheduling = scheduling = Scheduling(world)
        self.gates, self.meters = Gates(world, sampler, reapers), Meters(world, sampler)
        world.sample, world.usage = self.meters.sample, self.meters.usage
        self.gates.listen(next(iter(inheritance.kept.pop(NOTIFY_KEY, [])), None))
        self.effects = clusters.effects = Effects(world, self.exits, self.gates, reapers)
        self.watching = Watching(world)
        world.toggle_watch = self.watching.toggle
        self.effects.listeners += [self.gates.announced, self.watching.announced]
        supervisor.performer = self.effects
        for instance, spec in self.settings.settled_rows(rows):
            supervisor.adopt(instance, spec)
        supervisor.became_idle, supervisor.app_changed = scheduling.became_idle, self._app_changed
        supervisor.app_renamed = clusters.app_renamed
        scheduling.before_adoption()
        clusters.before_adoption()
        adoption = Adoption(world, self.effects, inheritance)
        report = adoption.run()
        self._first = None if rows else adoption
        clusters.after_adoption()
        scheduling.after_adoption()
        for name in list(supervisor.by_name):
            clusters.app_changed(name)
            self.watching.refresh(name)
        self.keeper.watch(loop, self.exits.keeper_says, self._become_keeper)
        self.server = Server(world, handler_of)
        world.end = self._end
        world.reexecute = self._reexecute
        await self.server.start(listener)
        _write_pid(self.home)
        self.keeper.up()
        log.info(
            "rota %s up, pid %d: %d instances, %d running, %d ended meanwhile (%d with unknown exit code)",
            *(__version__, os.getpid(), len(rows), report.running, report.ended + report.unknown, report.unknown),
        )
        return await self._serve()

    def _app_changed(self, name: str) -> None:
        self.world.scheduling.app_changed(name)
        self.world.clusters.app_changed(name)
        self.meters.app_changed()

    def _take_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """Before any app is started, which would inherit what is blocked: the keeper, or the daemon that executed this
        one, let them wait until now."""
        self._ending: asyncio.Future[int] = loop.create_future()
        for number in (signals.SIGTERM, signals.SIGINT, signals.SIGQUIT):
            loop.add_signal_handler(number, self._end, 0)
        loop.add_signal_handler(signals.SIGUSR2, self.files.reopen)
        for number in (signals.SIGHUP, signals.SIGUSR1):
            loop.add_signal_handler(number, lambda: None)
        signals.pthread_sigmask(signals.SIG_SETMASK, ())

    async def _serve(self) -> int:
        work = (self._housekeeping(), self._bring_back(), self.meters.watch(), self._then_the_rest())
        background = [self.world.loop.create_task(task) for task in work]
        try:
            code = await self._ending
        finally:
            autoscaling = self.world.clusters.autoscaling
            background += [autoscaling] if autoscaling is not None else []
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
        await self._leave(code)
        return code

    def _become_keeper(self) -> None:
        from rota.daemon.succession import become_keeper

        become_keeper(self.world, self.lock)

    def _reexecute(self) -> None:
        from rota.daemon.succession import reexecute

        reexecute(self.world, self.lock, self.server)

    def _end(self, code: int = 0) -> None:
        if not self._ending.done():
            self._ending.set_result(code)

    async def _bring_back(self) -> None:
        wanted = left_wanted(self.world)
        # A container says itself what it runs: see `rota runtime`.
        if wanted and not os.environ.get("ROTA_FRESH"):
            log.info("bringing back %d instances that were running", len(wanted))
            await start_in_order(self.world, wanted, "rota came back")

    async def _then_the_rest(self) -> None:
        await self.clock.sleep(APPS_FIRST)
        if self._first is not None:
            self._first.look_for_strays()
            self._first = None
        # What replaces this daemon must be there before other code is installed.
        import rota.daemon.succession
        import rota.daemon.verbs.control  # noqa: F401
        from rota.daemon.procs.host import HostMeter

        host = HostMeter(self.clock)
        self.world.host = lambda: host.metrics if self.settings.shows_host else None
        await host.watch()

    async def _housekeeping(self) -> None:
        while True:
            self.world.scheduling.beat()
            await self.clock.sleep(HOUSEKEEPING)
            self._see_to_logs()
            if self.world.ledger.is_lost():
                self._see_to_the_lost_ledger()
            self.world.ledger.flush()
            self.keeper.settle()
            for _ in self.world.ledger.snapshot_steps():
                await asyncio.sleep(0)

    def _see_to_logs(self) -> None:
        if self._log_troubles is None and self.files.troubled:
            from rota.daemon.log_troubles import LogTroubles

            self._log_troubles = LogTroubles(self.world)
        if self._log_troubles is not None:
            self._log_troubles.look()

    def _see_to_the_lost_ledger(self) -> None:
        if belongs_to_another(self.home, self.lock):
            self.world.ledger.note_degraded(f"{self.home.path} was removed, and is another rota's by now")
        else:
            rescue(self.world.ledger, self.home)

    async def _leave(self, code: int) -> None:
        """Everything stops, stays wanted, and is written down; then the keeper is told."""
        log.info("ending")
        self.world.scheduling.stop()
        await stop_all(self.world, "rota was shut down")
        await asyncio.sleep(0)  # what was released is let go of in the next turn
        await self.effects.finish()
        self.gates.shut()
        self.watching.close()
        await self.server.stop()
        await self.world.scheduling.close()
        self.world.ledger.close()
        with contextlib.suppress(OSError):
            os.unlink(self.home.pid)
        with contextlib.suppress(OSError):
            os.rmdir(self.world.run_dir)  # empty now; the next start makes it anew
        self.keeper.bye(code)
        log.info("ended")
        self.files.close()


def _handed_over(fd: int | None) -> State | None:
    """What a daemon in this same process left to this one."""
    if fd is None:
        return None
    from rota.daemon.succession import read_state

    return read_state(fd)


def _own_the_home(home: Home) -> int:
    """The lock the keeper handed on; or our own when there is no keeper, or somebody removed the file it is on.

    Raises:
        NotPermitted: another daemon owns the home.
    """
    handed = _take_fd(LOCK_FD)
    if handed is not None and _is_lock_of(home, handed):
        return handed
    from rota.errors import NotPermitted
    from rota.keeper.launch import take_lock

    lock = take_lock(home)
    if lock is None:
        raise NotPermitted(f"another rota daemon owns {home.path}", "talk to that one, or use another ROTA_HOME")
    return lock


def _is_lock_of(home: Home, fd: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(home.path + "/owner.lock"))
    except OSError:
        return False


def _take_fd(name: str) -> int | None:
    """A descriptor handed over by number in the environment; children must not inherit it."""
    text = os.environ.pop(name, "")
    if not text.isdecimal():
        return None
    fd = int(text)
    try:
        os.set_inheritable(fd, False)
    except OSError:
        return None
    return fd


def _log_to(files: LogFiles, home: Home, settings: Settings) -> None:
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.handlers[:] = [OwnLog(files, files.open(home.log, settings.rotation, group="rota"))]
    logging.raiseExceptions = False
    # What no line of ours shows need not be found out (logging HOWTO, "Optimization"): half of a record's cost.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None


def _write_pid(home: Home) -> None:
    temporary = f"{home.pid}.{os.getpid()}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
        os.replace(temporary, home.pid)
    except OSError as error:
        log.warning("cannot write %s: %s", home.pid, error.strerror)
