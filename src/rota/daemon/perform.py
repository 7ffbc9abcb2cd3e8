"""Effects become facts: spawns, signals, timers, sweeps. Owns nothing but the way; what it learns goes back as events."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal as signals
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rota.daemon.picture import record_of
from rota.daemon.procs import identity, spawn
from rota.daemon.procs.tree import Tree
from rota.errors import NotPermitted, RotaError, SpawnFailed
from rota.process import environ, events
from rota.process.defaults import with_node_options
from rota.process.effects import Announce, ArmTimer, AskToStop, CancelTimer, Effect, Forget, Kill, Spawn, Sweep
from rota.process.paths import pid_path
from rota.process.spec import is_gated
from rota.process.state import Stopping, process_of, public_id
from rota.wire.messages import ProcessEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.daemon.entry import Entry
    from rota.daemon.exits import ExitWatch
    from rota.daemon.gates import Gates
    from rota.daemon.procs.descent import Reapers
    from rota.daemon.procs.spawn import Child
    from rota.daemon.streams import Outputs
    from rota.daemon.world import World
    from rota.process.events import TimerName
    from rota.process.spec import AppSpec

log = logging.getLogger("rota.supervisor")

LOUD = frozenset({"restart overlimit", "spawn failed", "unkillable", "unhealthy", "not ready"})


class Effects:
    """The performer of the supervisor's effects."""

    def __init__(self, world: World, exits: ExitWatch, gates: Gates, reapers: Reapers) -> None:
        self._world, self._exits, self._gates, self.reapers = world, exits, gates, reapers
        self._tasks: set[asyncio.Task[None]] = set()
        self.listeners: list[Callable[[Entry, Announce], None]] = []
        """Called with every announcement: the crontab learns here how runs end."""

    def perform(self, entry: Entry, effect: Effect) -> None:
        """One effect, now."""
        match effect:
            case Spawn():
                self._spawn(entry)
            case AskToStop():
                self._ask_to_stop(entry)
            case Kill():
                self._kill(entry)
            case Sweep():
                self._sweep(entry)
            case ArmTimer():
                self._arm(entry, effect)
            case CancelTimer():
                self._cancel(entry, effect.timer)
            case Announce():
                self._announce(entry, effect)
            case Forget():
                self._forget(entry)

    async def finish(self) -> None:
        """Wait for what is under way; at the daemon's own end."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- starting --------------------------------------------------------------------------------------------------

    def _spawn(self, entry: Entry) -> None:
        self.release(entry)
        world, gen = self._world, entry.instance.gen
        child = None
        try:
            order = self._order(entry, gen)
            child = spawn.spawn(order, world.keeper.deposit)
        except SpawnFailed as failed:
            world.supervisor.handle(entry.id, events.SpawnFailed(gen, failed.message, failed.temporary))
            return
        except (RotaError, OSError, ValueError) as failed:
            reason = failed.message if isinstance(failed, RotaError) else str(failed)
            world.supervisor.handle(entry.id, events.SpawnFailed(gen, reason))
            return
        finally:
            world.clusters.spawned(entry, came_out=child is not None)
        self.take(entry, child)
        world.supervisor.handle(entry.id, events.Spawned(gen, child.process, is_gated(entry.spec)))
        world.loop.call_soon(self._note_pid, entry, child.process.pid)

    def _note_pid(self, entry: Entry, pid: int) -> None:
        if entry.instance.stands_for is None:
            write_pid_file(pid_path(entry.spec, entry.id, self._world.home.pids), pid)

    def exchanged(self, one: Entry, other: Entry) -> None:
        """A successor and its instance have exchanged their ids."""
        for entry in (one, other):
            if entry.child is not None:
                self._exits.reassign(entry.id, entry.child)
        self._gates.exchanged(one, other)
        for entry in (one, other):
            if entry.child is not None:
                self._note_pid(entry, entry.child.process.pid)

    def _order(self, entry: Entry, gen: int) -> spawn.Order:
        world = self._world
        record = record_of(world, entry)
        extra = {"ROTA_DB": world.home.db, **entry.run_env}
        for name, value in world.settings.section(entry.name).items():
            if not isinstance(value, dict):
                extra[name] = str(value)
        if world.notify_path:
            extra["NOTIFY_SOCKET"] = world.notify_path
        env = environ.build(record, home=world.home.path, home_id=world.home_id, gen=gen, extra=extra)
        spec = with_node_options(entry.spec, world.settings.defaults.node_options)
        order = spawn.Order(entry.id, gen, spec, env, self._run_dir(), ipc=wants_ipc(spec))
        return world.clusters.prepared(entry, order)

    def _run_dir(self) -> str:
        """Somebody may have removed it, as logind does when the user's last session ends: another one takes its place, and
        what runs keeps the FIFOs it has open."""
        world, before = self._world, self._world.run_dir
        if not os.path.isdir(before):
            world.run_dir = world.home.ensure().runtime_dir
            log.warning("%s is gone; new FIFOs are made in %s", before, world.run_dir)
        return world.run_dir

    def take(self, entry: Entry, child: Child, *, adopted: bool = False) -> None:
        """A process is there, new or adopted: watch it, drain it, listen to it."""
        self._hold(entry, child, child.pidfd, adopted=adopted)
        self._mains.add(child.process.pid)
        self._exits.watch(entry.id, child)
        self._gates.open(entry, child)

    def take_dead(self, entry: Entry, child: Child) -> None:
        """A process that ended while no daemon was there: its output is still to be fetched, its tree to be swept."""
        self._hold(entry, child, None, adopted=True)

    def _hold(self, entry: Entry, child: Child, pidfd: int | None, *, adopted: bool) -> None:
        entry.child = child
        entry.tree = Tree(child.process, self._marker(child), self.reapers, pidfd)
        entry.outputs = self._world.streams.open(
            public_id(entry.instance), entry.spec, child.fds, adopted=adopted, run_log=entry.run_log
        )
        for heard in entry.heard:
            entry.outputs.listen(heard)

    def _marker(self, child: Child) -> bytes:
        return f"{environ.MARKER}={environ.marker(self._world.home_id, child.key, child.gen)}".encode()

    @property
    def _mains(self) -> set[int]:
        mains = self.reapers.mains
        assert isinstance(mains, set)
        return mains

    # --- ending ----------------------------------------------------------------------------------------------------

    def _ask_to_stop(self, entry: Entry) -> None:
        if entry.child is None or entry.tree is None:
            return
        stop = entry.spec.stop
        if stop.with_message and entry.channel is not None:
            from rota.daemon.talk.node_messages import shutdown

            if entry.channel.send(shutdown()):
                return
        number = signal_number(stop.signal)
        try:
            if stop.tree:
                refused = entry.tree.signal(number)
                if refused:
                    log.warning("%s: %d processes may not be signalled (another user's)", entry.name, len(refused))
            elif process_of(entry.instance.actual) is not None and not entry.child.reaped:
                identity.send(entry.child.pidfd, number)
        except NotPermitted as error:
            log.warning("%s: %s", entry.name, error.message)

    def _kill(self, entry: Entry) -> None:
        if entry.tree is None:
            return
        log.warning("%s (%d): still there after kill_timeout, sending SIGKILL", entry.name, entry.id)
        entry.tree.kill()

    def _sweep(self, entry: Entry) -> None:
        """The main process is gone. Usually nothing is left, and that is known within a fraction of a millisecond."""
        gen, child, tree = entry.instance.gen, entry.child, entry.tree
        self._gates.close(entry)
        if child is not None:
            self._exits.reap(child)
            self._mains.discard(child.process.pid)
        if tree is None or not tree.anything_left():
            self._world.supervisor.handle(entry.id, events.TreeGone(gen))
            return
        by_itself = isinstance(entry.instance.actual, Stopping) and entry.instance.actual.then == "policy"
        if by_itself:
            log.warning("%s (%d): its main process is gone, ending what it left behind", entry.name, entry.id)
        if by_itself or not entry.spec.stop.tree:
            tree.signal(signal_number(entry.spec.stop.signal))
        self._background(self._until_gone(entry, gen, tree))

    async def _until_gone(self, entry: Entry, gen: int, tree: Tree) -> None:
        await tree.gone()
        self._world.supervisor.handle(entry.id, events.TreeGone(gen))

    def release(self, entry: Entry, *, at_once: bool = False) -> None:
        """Close what belonged to a process that is gone with its whole tree."""
        child, outputs = entry.child, entry.outputs
        if child is None:
            return
        entry.child = entry.tree = entry.outputs = None
        self._gates.close(entry)
        self._exits.unwatch(child)
        self._mains.discard(child.process.pid)
        if at_once:
            self._let_go(child.key, child, outputs)
        else:
            # The replacement comes first; the last output of the old one is drained right after.
            self._world.loop.call_soon(self._let_go, child.key, child, outputs)

    def _let_go(self, id: int, child: Child, outputs: Outputs | None) -> None:
        world = self._world
        if outputs is not None:
            outputs.close()
        os.close(child.pidfd)
        if child.ipc is not None:
            child.ipc.close()
        world.keeper.deposit(spawn.kept_key(id, child.gen), [])
        spawn.remove_fifos(world.run_dir, id, child.gen)

    def _forget(self, entry: Entry) -> None:
        world = self._world
        for name in list(entry.timers):
            self._cancel(entry, name)
        # At once: an instance that comes next may get the same id, and so the same names.
        self.release(entry, at_once=True)
        for close in entry.closers:
            close()
        with contextlib.suppress(OSError):
            if entry.instance.stands_for is None:
                os.unlink(pid_path(entry.spec, entry.id, world.home.pids))
        world.clusters.forgotten(entry)
        world.supervisor.forget(entry)

    # --- what a former daemon left half-done ---

    def resume_timer(self, entry: Entry, timer: TimerName, seconds: float) -> None:
        """Arm a timer again."""
        self._arm(entry, ArmTimer(timer, seconds, entry.instance.gen))

    def ask_again(self, entry: Entry) -> None:
        """The stop may have been written down and not yet sent."""
        self._ask_to_stop(entry)

    def resume_sweep(self, entry: Entry) -> None:
        """The main process was gone already, its tree perhaps not."""
        self.resume_timer(entry, "kill", max(entry.spec.stop.kill_timeout, 0.0))
        self._world.loop.call_soon(self._sweep, entry)

    # --- timers and news -------------------------------------------------------------------------------------------

    def _arm(self, entry: Entry, effect: ArmTimer) -> None:
        self._cancel(entry, effect.timer)
        event = events.TimerFired(effect.timer, effect.gen)
        entry.timers[effect.timer] = self._world.loop.call_later(
            max(effect.seconds, 0.0), self._fire, entry, effect.timer, event
        )

    def _fire(self, entry: Entry, timer: str, event: events.TimerFired) -> None:
        entry.timers.pop(timer, None)
        self._world.supervisor.handle(entry.id, event)

    def _cancel(self, entry: Entry, timer: str) -> None:
        handle = entry.timers.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def note(self, entry: Entry, effect: Announce) -> None:
        """Into the story that `rota why` tells; written with the row that changed, so that a kill loses neither."""
        effect = _named(entry, effect)
        self._world.ledger.event(public_id(entry.instance), entry.name, effect.event, effect.detail)

    def _announce(self, entry: Entry, effect: Announce) -> None:
        world, effect = self._world, _named(entry, effect)
        world.clusters.announced(entry, effect)
        id = public_id(entry.instance)
        world.bus.publish(ProcessEvent(world.clock.now(), effect.event, id, entry.name, effect.detail))
        for listener in self.listeners:
            listener(entry, effect)
        over = effect.event in ("exit", "stop", "delete") and entry.instance.stands_for is None
        path = pid_path(entry.spec, entry.id, world.home.pids) if over else ""
        # The story is in the ledger; what is for readers' eyes comes after what is to be done, in the same order.
        world.loop.call_soon(_write_home, f"[{entry.name}:{id}]", effect, path)

    def _background(self, coroutine: object) -> None:
        assert asyncio.iscoroutine(coroutine)
        task = self._world.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # A broken invariant of ours: end loudly, the keeper starts us again and holds everything meanwhile.
            raise SystemExit(70) from task.exception()


def _write_home(who: str, effect: Announce, pid_file: str) -> None:
    level = logging.ERROR if effect.event in LOUD else logging.INFO
    log.log(level, "App %s %s%s", who, effect.event, f" ({effect.detail})" * bool(effect.detail))
    if pid_file:
        with contextlib.suppress(OSError):
            os.unlink(pid_file)


def _named(entry: Entry, effect: Announce) -> Announce:
    if entry.instance.stands_for is None:
        return effect
    role = "old copy" if entry.instance.leaving else "new copy"
    return replace(effect, event=f"reload: {role} {effect.event}")


def signal_number(name: str) -> int:
    """15 for "SIGTERM", "TERM" or "15"."""
    if name.isdecimal():
        return int(name)
    word = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    return int(signals.Signals[word])


def wants_ipc(spec: AppSpec) -> bool:
    """Whether the process gets Node's IPC channel: Node and Bun always, others when something needs it.

    Not everybody: a program that starts Node children of its own would hand them a channel number that is not theirs.
    """
    program = os.path.basename(spec.command()[0]).partition("@")[0]
    return program in ("node", "nodejs", "bun") or spec.wait_ready or spec.stop.with_message


def write_pid_file(path: str, pid: int) -> None:
    """For scripts that look; rota itself never reads one back."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="ascii") as file:
            file.write(f"{pid}\n")
    except OSError as error:
        log.warning("cannot write %s: %s", path, error.strerror)
