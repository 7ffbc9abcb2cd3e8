"""The daemon, put together: lock, log, ledger, keeper, supervisor, adoption, server. Then it waits to be told to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal as signals
import socket
import sys

from rota.clock import SystemClock
from rota.daemon.adopt import Adoption
from rota.daemon.bus import Bus
from rota.daemon.cluster.autoscale import autoscale
from rota.daemon.cluster.members import Cluster
from rota.daemon.cluster.rollout import Rollouts
from rota.daemon.exits import ExitWatch
from rota.daemon.gates import NOTIFY_KEY, Gates
from rota.daemon.jobs.budgets import Budgets
from rota.daemon.jobs.crontab import Crontab
from rota.daemon.jobs.pulse import Pulse
from rota.daemon.jobs.runbook import RunBook
from rota.daemon.keeperlink import Inheritance, KeeperLink
from rota.daemon.lifecycle import left_wanted, start_in_order, stop_all
from rota.daemon.logfile import OwnLog
from rota.daemon.meters import Meters
from rota.daemon.perform import Effects
from rota.daemon.probing import Probing
from rota.daemon.procs import spawn
from rota.daemon.procs.descent import Reapers
from rota.daemon.procs.usage import Sampler
from rota.daemon.recovery import open_ledger
from rota.daemon.server import Server
from rota.daemon.settings import Settings
from rota.daemon.streams import Streams
from rota.daemon.succession import become_keeper, read_state, reexecute
from rota.daemon.supervisor import Supervisor
from rota.daemon.verbs.table import HANDLERS
from rota.daemon.watching import Watching
from rota.daemon.world import World
from rota.errors import RotaError
from rota.home import Home
from rota.keeper.launch import take_lock
from rota.keeper.protocol import KEEPER_FD, LOCK_FD, PERMANENT, STATE_FD
from rota.logs.files import LogFiles
from rota.logs.pump import LogPump
from rota.stores.sqlite import SqliteStore
from rota.version import __version__

log = logging.getLogger("rota")

HOUSEKEEPING = 1.0
"""Seconds between retries of a ledger that could not be written, and writes of its second copy."""


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
    spawn.raise_nofile()
    state = read_state(_take_fd(STATE_FD))
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

    async def run(self, inheritance: Inheritance, listener: socket.socket | None) -> int:
        """Everything, from adoption to the last byte."""
        loop = asyncio.get_running_loop()
        self._take_signals(loop)
        ledger, rows = open_ledger(self.home, self.clock)
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
        probing = Probing(world, reapers)
        world.cluster = Cluster(world, inheritance.kept)
        self.gates, self.meters = Gates(world, sampler, probing), Meters(world, sampler)
        world.sample, world.usage = self.meters.sample, self.meters.usage
        self.gates.listen(next(iter(inheritance.kept.pop(NOTIFY_KEY, [])), None))
        self.effects = Effects(world, self.exits, self.gates, reapers)
        self.watching = Watching(world)
        world.toggle_watch = self.watching.toggle
        self.effects.listeners += [probing.announced, self.watching.announced]
        supervisor.performer = self.effects
        for instance, spec in self.settings.settled_rows(rows):
            supervisor.adopt(instance, spec)
        world.budgets = Budgets(world)
        runbook = world.runbook = RunBook(world, SqliteStore(self.home.db))
        self.crontab, self.pulse = Crontab(world, runbook), Pulse(world)
        world.next_due, world.run_summary = self.crontab.next_due, runbook.summary
        unfinished = runbook.recover()
        self.crontab.load()
        supervisor.became_idle, supervisor.app_changed = runbook.became_idle, self.crontab.refresh
        rollouts = world.rollouts = Rollouts(world, self.effects)
        rollouts.before_adoption()
        report = Adoption(world, self.effects, inheritance).run()
        rollouts.after_adoption()
        runbook.resume(unfinished)
        self.crontab.start()
        for name in list(supervisor.by_name):
            self.watching.refresh(name)
        self.keeper.watch(loop, self.exits.keeper_says, lambda: become_keeper(world, self.lock))
        self.server = Server(world, HANDLERS)
        world.end = self._end
        world.reexecute = lambda: reexecute(world, self.lock, self.server)
        await self.server.start(listener)
        _write_pid(self.home)
        self.keeper.up()
        log.info(
            "rota %s up, pid %d: %d instances, %d running, %d ended meanwhile (%d with unknown exit code)",
            *(__version__, os.getpid(), len(rows), report.running, report.ended + report.unknown, report.unknown),
        )
        return await self._serve()

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
        work = (self._housekeeping(), self._bring_back(), self.meters.watch(), autoscale(self.world))
        background = [self.world.loop.create_task(task) for task in work]
        try:
            code = await self._ending
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
        await self._leave(code)
        return code

    def _end(self, code: int = 0) -> None:
        if not self._ending.done():
            self._ending.set_result(code)

    async def _bring_back(self) -> None:
        wanted = left_wanted(self.world)
        # A container says itself what it runs: see `rota runtime`.
        if wanted and not os.environ.get("ROTA_FRESH"):
            log.info("bringing back %d instances that were running", len(wanted))
            await start_in_order(self.world, wanted, "rota came back")

    async def _housekeeping(self) -> None:
        while True:
            self.pulse.beat()
            await self.clock.sleep(HOUSEKEEPING)
            self.world.ledger.flush()
            for _ in self.world.ledger.snapshot_steps():
                await asyncio.sleep(0)

    async def _leave(self, code: int) -> None:
        """Everything stops, stays wanted, and is written down; then the keeper is told."""
        log.info("ending")
        self.crontab.stop()
        self.world.runbook.suspended = True
        await stop_all(self.world, "rota was shut down")
        await asyncio.sleep(0)  # what was released is let go of in the next turn
        await self.effects.finish()
        self.gates.shut()
        self.watching.close()
        await self.server.stop()
        self.pulse.end()
        await self.world.runbook.close()
        self.world.ledger.close()
        with contextlib.suppress(OSError):
            os.unlink(self.home.pid)
        with contextlib.suppress(OSError):
            os.rmdir(self.world.run_dir)  # empty now; the next start makes it anew
        self.keeper.bye(code)
        log.info("ended")
        self.files.close()


def _own_the_home(home: Home) -> int:
    """The lock the keeper handed on, or our own when there is no keeper.

    Raises:
        NotPermitted: another daemon owns the home.
    """
    handed = _take_fd(LOCK_FD)
    if handed is not None:
        return handed
    lock = take_lock(home)
    if lock is None:
        from rota.errors import NotPermitted

        raise NotPermitted(f"another rota daemon owns {home.path}", "talk to that one, or use another ROTA_HOME")
    return lock


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


def _write_pid(home: Home) -> None:
    temporary = f"{home.pid}.{os.getpid()}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
        os.replace(temporary, home.pid)
    except OSError as error:
        log.warning("cannot write %s: %s", home.pid, error.strerror)
