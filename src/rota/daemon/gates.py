"""What a running process tells and is asked: IPC messages, sd_notify, probes. Turns them into BecameReady and Unhealthy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota.daemon.entry import Entry
    from rota.daemon.spawn import Child
    from rota.daemon.world import World


class Gates:
    """Opened with each process, closed with it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def open(self, entry: Entry, child: Child) -> None:
        """Start listening to a process."""

    def close(self, entry: Entry) -> None:
        """Stop; what it said about itself is forgotten."""
        for close in entry.closers:
            close()
        entry.closers.clear()
