"""Memory and CPU of every tree, and the memory limit. Sampled when somebody asks, and once a second while there is a limit
(another pace: ROTA_WORKER_INTERVAL)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rota.daemon.having import Having
from rota.daemon.procs.footprint import Footprints
from rota.process.events import Unhealthy
from rota.process.record import Usage

if TYPE_CHECKING:
    from rota.daemon.entry import Entry
    from rota.daemon.procs.usage import Sampler
    from rota.daemon.world import World

NOTHING = Usage()
MIB = 1024 * 1024


class Meters:
    """The last sample, and who exceeds what they may have."""

    def __init__(self, world: World, sampler: Sampler) -> None:
        self._world, self._sampler = world, sampler
        self._usage: dict[int, Usage] = {}
        self._footprints = Footprints(world.clock.monotonic)
        self._changed = asyncio.Event()

    def sample(self) -> None:
        """Take a sample, unless there is one of the last second."""
        self._usage = self._sampler.sample(self._world.clock.monotonic())
        for entry in self._world.supervisor.entries.values():
            if entry.tree is not None and (seen := self._sampler.seen(entry.id)):
                entry.tree.remember(seen)

    def usage(self, entry: Entry) -> Usage:
        """Figures of the last sample."""
        return self._usage.get(entry.id, NOTHING)

    def _held(self, entry: Entry, gen: int) -> int:
        """Bytes. What looks too much is read again with what processes share counted once."""
        used, seen = self.usage(entry).memory, self._sampler.seen(entry.id)
        if used <= entry.spec.max_memory or len(seen) < 2:
            return used
        shared_once = self._footprints.of(entry.id, gen, (pid for pid, _ in seen))
        return used if shared_once is None else shared_once

    def app_changed(self) -> None:
        """There may be a limit to watch now."""
        self._changed.set()

    async def watch(self) -> None:
        """Restart what exceeds its memory limit."""
        having = Having(self._world.supervisor, lambda spec: spec.max_memory > 0)
        while True:
            if not having():
                self._changed.clear()
                await self._changed.wait()
                continue
            await self._world.clock.sleep(self._world.settings.worker_interval)
            limited = [entry for entry in having() if entry.child is not None]
            if limited:
                self.sample()
            self._footprints.keep(entry.id for entry in limited)
            for entry in limited:
                if entry.child is None:
                    continue
                used, limit = self._held(entry, entry.child.gen), entry.spec.max_memory
                if used > limit:
                    reason = f"its memory of {used / MIB:.1f} MiB exceeds the limit of {limit / MIB:.1f} MiB"
                    self._world.supervisor.handle(entry.id, Unhealthy(entry.child.gen, reason))
