"""Probes of running instances: readiness until it passes, then liveness for as long as the process runs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rota.daemon.picture import record_of
from rota.daemon.probe_command import Surroundings
from rota.daemon.probe_targets import LogTarget
from rota.daemon.probes import LivenessProbe, ReadinessProbe, target_of
from rota.daemon.spawn import owner_of
from rota.process import environ
from rota.process.events import BecameReady, Unhealthy
from rota.process.state import Ready

if TYPE_CHECKING:
    from rota.daemon.descent import Reapers
    from rota.daemon.entry import Entry
    from rota.daemon.probe_targets import Target
    from rota.daemon.world import World
    from rota.process.effects import Announce
    from rota.process.spec import ProbeSpec


class Probing:
    """Starts and ends probes; `entry.closers` ends them with the process."""

    def __init__(self, world: World, reapers: Reapers) -> None:
        self._world, self._reapers = world, reapers

    def opened(self, entry: Entry) -> None:
        """A process is there, new or adopted."""
        if isinstance(entry.instance.actual, Ready):
            self._liveness(entry)
        elif entry.spec.ready is not None:
            self._readiness(entry, entry.spec.ready)

    def announced(self, entry: Entry, announcement: Announce) -> None:
        """It became ready: now it should stay alive."""
        if announcement.event == "online" and entry.child is not None:
            self._liveness(entry)

    def _readiness(self, entry: Entry, spec: ProbeSpec) -> None:
        gen = entry.instance.gen
        target = self._target(entry, spec)
        ready = partial(self._world.supervisor.handle, entry.id, BecameReady(gen, "probe"))
        # Past its deadline the app is overdue (the state table says so) and may still become ready: ask on.
        probe = ReadinessProbe(spec, target, self._world.clock, ready, partial(self._again, entry, spec, gen))
        entry.closers.append(probe.cancel)

    def _again(self, entry: Entry, spec: ProbeSpec, gen: int, reason: str) -> None:
        entry.told.status = reason
        if entry.child is not None and entry.child.gen == gen:
            self._readiness(entry, spec)

    def _liveness(self, entry: Entry) -> None:
        spec = entry.spec.alive
        if spec is None:
            return
        gen = entry.instance.gen

        def dead(reason: str) -> None:
            self._world.supervisor.handle(entry.id, Unhealthy(gen, f"liveness: {reason}"))

        entry.closers.append(LivenessProbe(spec, self._target(entry, spec), self._world.clock, dead).cancel)

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
        if isinstance(target, LogTarget) and entry.outputs is not None:
            heard = partial(_feed, target)
            entry.outputs.listen(heard)
            entry.closers.append(partial(entry.outputs.unlisten, heard))
        return target


def _feed(target: LogTarget, kind: str, data: bytes) -> None:
    target.feed(data, kind)
