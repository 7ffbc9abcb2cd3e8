"""What a running process tells and is asked: IPC messages, sd_notify, probes. Turns them into BecameReady and Unhealthy."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from rota.daemon.entry import Told
from rota.daemon.talk.notify import Notice, NotifySocket, Watchdog
from rota.process import environ
from rota.process.events import BecameReady, Unhealthy

if TYPE_CHECKING:
    from rota.daemon.entry import Entry
    from rota.daemon.probing import Probing
    from rota.daemon.procs.descent import Reapers
    from rota.daemon.procs.spawn import Child
    from rota.daemon.procs.usage import Sampler
    from rota.daemon.world import World
    from rota.process.effects import Announce
    from rota.process.spec import AppSpec

log = logging.getLogger("rota.gates")

NOTIFY_KEY = "notify"
"""The keeper's name for the notification socket: what apps say while no daemon is there waits in it."""


class Gates:
    """Opened with each process, closed with it."""

    def __init__(self, world: World, sampler: Sampler, reapers: Reapers) -> None:
        self._world, self._sampler, self._reapers = world, sampler, reapers
        self._probing: Probing | None = None
        self._watchdogs: dict[int, Watchdog] = {}
        self._notify: NotifySocket | None = None

    def listen(self, kept: int | None) -> None:
        """Open the notification socket, or go on with the one the keeper kept."""
        world = self._world
        # In the abstract namespace, so that apps of other users reach it; who speaks is told by the kernel.
        path = f"@rota/{world.home_id}/notify"
        try:
            self._notify = NotifySocket(path, self._instance_of, self._noticed, kept)
        except OSError as error:
            log.warning("no notification socket: %s", error)
            return
        world.notify_path, world.notify_fd = path, self._notify.fileno()
        if kept is None:
            world.keeper.deposit(NOTIFY_KEY, [self._notify.fileno()])

    def open(self, entry: Entry, child: Child) -> None:
        """Start listening to a process."""
        self._count(entry, child)
        if child.ipc is not None:
            from rota.daemon.hearing import open_channel

            open_channel(self._world, entry, child.gen, child.ipc)
        self._world.clusters.opened(entry, child)
        if is_probed(entry.spec):
            self._probes().opened(entry)

    def announced(self, entry: Entry, announcement: Announce) -> None:
        """Something became of an instance: its probes may begin."""
        if is_probed(entry.spec):
            self._probes().announced(entry, announcement)

    def _probes(self) -> Probing:
        if self._probing is None:
            from rota.daemon.probing import Probing

            self._probing = Probing(self._world, self._reapers)
        return self._probing

    def _count(self, entry: Entry, child: Child) -> None:
        marker = environ.marker(self._world.home_id, child.key, child.gen)
        self._sampler.watch(entry.id, child.process, f"{environ.MARKER}={marker}".encode())

    def exchanged(self, one: Entry, other: Entry) -> None:
        """Two running instances have exchanged their ids."""
        for entry in (one, other):
            self._sampler.forget(entry.id)
        for entry in (one, other):
            if entry.child is not None:
                self._count(entry, entry.child)
        dogs = {a.id: self._watchdogs.pop(b.id, None) for a, b in ((one, other), (other, one))}
        self._watchdogs.update({id: dog for id, dog in dogs.items() if dog is not None})

    def close(self, entry: Entry) -> None:
        """Stop; what it said about itself is forgotten."""
        for close in entry.closers:
            close()
        entry.closers.clear()
        self._sampler.forget(entry.id)
        self._world.clusters.closed(entry)
        if entry.channel is not None:
            entry.channel.close()
            entry.channel = None
        watchdog = self._watchdogs.pop(entry.id, None)
        if watchdog is not None:
            watchdog.cancel()
        entry.told = Told(node_version=entry.told.node_version)

    def shut(self) -> None:
        """The daemon leaves."""
        for watchdog in self._watchdogs.values():
            watchdog.cancel()
        if self._notify is not None:
            self._notify.close(keep_path=True)
        self._sampler.close()

    # --- sd_notify -------------------------------------------------------------------------------------------------

    def _instance_of(self, pid: int) -> int | None:
        """Whose tree a process belongs to: by its environment, which every process of a tree inherits."""
        everybody = self._world.supervisor.everybody()
        for entry in everybody:
            if entry.child is not None and entry.child.process.pid == pid:
                return entry.id
        prefix = f"{environ.MARKER}={self._world.home_id}:".encode()
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            for item in file.read().split(b"\0"):
                if item.startswith(prefix):
                    key = item[len(prefix) :].split(b":")
                    return next((e.id for e in everybody if e.child and _names(e.child, key)), None)
        return None

    def _noticed(self, id: int, pid: int, notice: Notice) -> None:
        entry = self._world.supervisor.find(id)
        if entry is None or entry.child is None:
            return
        gen = entry.child.gen
        if notice.status is not None:
            entry.told.status = notice.status
        if notice.ready:
            self._world.supervisor.handle(id, BecameReady(gen, "notify"))
        if notice.failing:
            self._world.supervisor.handle(id, Unhealthy(gen, "it asked to be restarted (WATCHDOG=trigger)"))
        if notice.watchdog_interval is not None:
            self._expect(entry, gen, notice.watchdog_interval)
        if notice.watchdog and (watchdog := self._watchdogs.get(id)) is not None:
            watchdog.feed()

    def _expect(self, entry: Entry, gen: int, interval: float) -> None:
        former = self._watchdogs.pop(entry.id, None)
        if former is not None:
            former.cancel()
        if interval > 0:
            reason = f"no sign of life for {interval:g} s (watchdog)"

            def expired() -> None:
                self._world.supervisor.handle(entry.id, Unhealthy(gen, reason))

            self._watchdogs[entry.id] = Watchdog(interval, self._world.clock, expired)


def _names(child: Child, key: list[bytes]) -> bool:
    """Whether the rest of a marker, `id:gen`, is this process's."""
    return key == [str(child.key).encode(), str(child.gen).encode()]


def is_probed(spec: AppSpec) -> bool:
    """Whether anybody is to ask the app how it is."""
    return spec.ready is not None or spec.alive is not None
