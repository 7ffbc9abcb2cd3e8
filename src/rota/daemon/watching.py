"""Restarts when files change: one watch per app, for as long as one of its instances is wanted up."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rota.process.paths import NOWHERE, log_paths, pid_path
from rota.process.spec import WatchSpec

if TYPE_CHECKING:
    from rota.daemon.entry import Entry
    from rota.daemon.watch.watcher import Trigger, Watcher
    from rota.daemon.world import World
    from rota.errors import RotaError
    from rota.process.effects import Announce
    from rota.process.spec import AppSpec

log = logging.getLogger("rota.watch")


class Watching:
    """Follows the apps: a stopped one is not watched, but its setting is remembered."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._watcher: Watcher | None = None
        self._specs: dict[str, AppSpec] = {}

    def refresh(self, name: str) -> None:
        """Watch an app, or watch it no longer, as its instances and settings are now."""
        entries = self._world.supervisor.named(name)
        spec = next((entry.spec for entry in entries if entry.instance.desired == "up"), None)
        wanted = spec is not None and spec.watch is not None and spec.job is None
        for entry in entries:
            entry.watching = wanted
        if not wanted or spec is None or spec.watch is None:
            if self._specs.pop(name, None) is not None and self._watcher is not None:
                self._watcher.unwatch(name)
            return
        if self._specs.get(name) is spec:
            return
        self._specs[name] = spec
        if self._watcher is None:
            from rota.daemon.watch.watcher import Watcher

            self._watcher = Watcher()
        logs = [path for entry in entries for path in log_paths(spec, entry.id, self._world.home.logs) if path]
        pids = [pid_path(spec, entry.id, self._world.home.pids) for entry in entries]
        never = [self._world.home.path, *pids, *(path for path in logs if path != NOWHERE)]
        changed, trouble = partial(self._changed, name), partial(self._trouble, name)
        self._watcher.watch(name, spec.cwd, spec.watch, changed, trouble, never)
        log.info("[Watch] Start watching %s", name)

    def announced(self, entry: Entry, announcement: Announce) -> None:
        """Starts and stops switch a watch on and off."""
        if announcement.event in ("start", "stop", "delete") and (entry.spec.watch is not None or entry.watching):
            self.refresh(entry.name)

    def toggle(self, entry: Entry) -> None:
        """PM2's `restart --watch`: on becomes off, off becomes the whole directory."""
        watch = WatchSpec() if entry.spec.watch is None else None
        self._world.supervisor.respec(entry, replace(entry.spec, watch=watch))
        self.refresh(entry.name)

    def close(self) -> None:
        """The daemon leaves."""
        for name in list(self._specs):
            if self._watcher is not None:
                self._watcher.unwatch(name)

    def _changed(self, name: str, trigger: Trigger) -> None:
        log.info("Change detected on path %s for app %s - restarting", trigger.path, name)
        self._world.ledger.event(None, name, "file changed", trigger.path)
        ids = list(self._world.supervisor.by_name.get(name, {}))
        self._world.supervisor.want(ids, "restart", f"{trigger.path} changed")

    def _trouble(self, name: str, error: RotaError) -> None:
        log.error("watching %s: %s", name, error.message)
        self._world.ledger.event(None, name, "watch trouble", error.message)
