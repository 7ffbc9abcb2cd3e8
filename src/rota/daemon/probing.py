"""Probes of running instances: readiness until it passes, then liveness for as long as the process runs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rota.daemon.cluster.listeners import source_of
from rota.daemon.picture import record_of
from rota.daemon.procs.spawn import owner_of
from rota.daemon.talk.probe_command import Surroundings
from rota.daemon.talk.probe_targets import HttpTarget, LogTarget, TcpTarget
from rota.daemon.talk.probes import LivenessProbe, ReadinessProbe, target_of
from rota.process import environ
from rota.process.events import BecameReady, Unhealthy
from rota.process.spec import in_cluster
from rota.process.state import Ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.daemon.entry import Entry
    from rota.daemon.procs.descent import Reapers
    from rota.daemon.talk.probe_targets import Target
    from rota.daemon.world import World
    from rota.process.effects import Announce
    from rota.process.spec import ProbeSpec


SILENT = "it does not listen yet"


class Probing:
    """Starts and ends probes; `entry.closers` ends them with the process."""

    def __init__(self, world: World, reapers: Reapers) -> None:
        self._world, self._reapers = world, reapers

    def opened(self, entry: Entry) -> None:
        """A process is there, new or adopted."""
        if isinstance(entry.instance.actual, Ready):
            self._liveness(entry)
            self._health(entry)
        elif entry.spec.ready is not None:
            self._readiness(entry, entry.spec.ready)

    def announced(self, entry: Entry, announcement: Announce) -> None:
        """It became ready: now it should stay alive."""
        if announcement.event.endswith("online") and entry.child is not None:
            self._liveness(entry)
            self._health(entry)

    def _readiness(self, entry: Entry, spec: ProbeSpec) -> None:
        gen, world = entry.instance.gen, self._world
        target, current = self._target(entry, spec), _Current(entry)
        if not isinstance(target, LogTarget):
            target = _Overheard(world, entry, target)

        def ready() -> None:
            if _may_be_ready(world, entry):
                world.supervisor.handle(entry.id, BecameReady(gen, "probe"))
            else:
                entry.told.status = SILENT
                current.cancel = world.loop.call_later(spec.interval, ready).cancel

        def ask(reason: str) -> None:
            # Past its deadline the app is overdue (the state table says so) and may still become ready: ask on.
            entry.told.status = reason
            current.cancel = ReadinessProbe(spec, target, world.clock, ready, ask).cancel

        ask(entry.told.status)

    def _liveness(self, entry: Entry) -> None:
        spec = entry.spec.alive
        if spec is None:
            return
        gen = entry.instance.gen

        def dead(reason: str) -> None:
            self._world.supervisor.handle(entry.id, Unhealthy(gen, f"liveness: {reason}"))

        entry.closers.append(LivenessProbe(spec, self._target(entry, spec), self._world.clock, dead).cancel)

    def _health(self, entry: Entry) -> None:
        """In a cluster the readiness probe goes on: who does not pass it gets no new connections until he does again."""
        spec, cluster, clock = entry.spec.ready, self._world.cluster, self._world.clock
        if spec is None or spec.kind == "log" or not in_cluster(entry.spec):
            return
        asked = replace(spec, initial_delay=spec.interval)
        target, current = self._target(entry, spec), _Current(entry)

        def failing(reason: str) -> None:
            cluster.healthy(entry, False, reason)
            recovering("")

        def recovering(reason: str) -> None:
            current.cancel = ReadinessProbe(asked, target, clock, recovered, recovering).cancel

        def recovered() -> None:
            cluster.healthy(entry, True)
            current.cancel = LivenessProbe(asked, target, clock, failing).cancel

        current.cancel = LivenessProbe(asked, target, clock, failing).cancel

    def _target(self, entry: Entry, spec: ProbeSpec) -> Target:
        env: dict[str, str] = {}
        if spec.kind == "exec":
            world = self._world
            env = environ.build(
                record_of(world, entry), home=world.home.path, home_id=world.home_id, gen=entry.instance.gen, extra={}
            )
        user, group, groups = owner_of(entry.spec, env) if entry.spec.uid or entry.spec.gid else (None, None, None)
        surroundings = Surroundings(cwd=entry.spec.cwd, environ=env, user=user, group=group, groups=groups)
        target = target_of(spec, surroundings, self._reapers)
        if isinstance(target, HttpTarget | TcpTarget) and in_cluster(entry.spec):
            target.source = source_of(self._world.cluster.slot(entry))
        if isinstance(target, LogTarget) and entry.outputs is not None:
            heard = partial(_feed, target)
            entry.outputs.listen(heard)
            entry.closers.append(partial(entry.outputs.unlisten, heard))
        return target


class _Current:
    """The one of a row of probes that is under way; it ends with the process."""

    def __init__(self, entry: Entry) -> None:
        self.cancel: Callable[[], None] = lambda: None
        entry.closers.append(lambda: self.cancel())


class _Overheard:
    """A target whose last answer, when it is not a good one, is kept with the instance: whoever waits is told why."""

    def __init__(self, world: World, entry: Entry, target: Target) -> None:
        self._world, self._entry, self._target = world, entry, target

    async def ask(self) -> str:
        # Before it listens on a port that it shares somebody else would answer.
        wrong = await self._target.ask() if _may_be_ready(self._world, self._entry) else SILENT
        if wrong:
            self._entry.told.status = wrong
        return wrong


def _may_be_ready(world: World, entry: Entry) -> bool:
    return not in_cluster(entry.spec) or world.cluster.may_be_ready(entry)


def _feed(target: LogTarget, kind: str, data: bytes) -> None:
    target.feed(data, kind)
