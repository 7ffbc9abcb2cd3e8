"""A sign of life of the daemon's own scheduling, in the store: what `/api/health` judges it by."""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

from rota.daemon.having import Having
from rota.errors import RotaError
from rota.stores.records import Heartbeat

if TYPE_CHECKING:
    from rota.daemon.world import World

log = logging.getLogger("rota.jobs")

NAME = "scheduler daemon"
"""Heartbeats that begin with `scheduler ` are schedulers'; the library's own carry their worker's name."""
EVERY = 15.0
EXPECTED = 60.0
"""Without a sign for so long, seconds, the scheduling counts as dead."""


class Pulse:
    """Beats while there are jobs; a daemon without any writes nothing."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._next = float("-inf")
        self._jobs = Having(world.supervisor, lambda spec: spec.job is not None)
        self._host = socket.gethostname()

    def beat(self) -> None:
        """Called every second from the loop that the scheduling lives in: a loop that hangs does not beat."""
        world, now = self._world, self._world.clock.monotonic()
        if now < self._next or not self._jobs():
            return
        self._next = now + EVERY
        wall = world.clock.now()
        try:
            world.runbook.store.beat(
                Heartbeat(
                    name=NAME,
                    at=wall,
                    expected_by=wall + EXPECTED,
                    started=world.started,
                    host=self._host,
                    pid=os.getpid(),
                )
            )
        except RotaError as error:
            log.warning("no sign of life could be written: %s", error.message)

    def end(self) -> None:
        """An orderly end is not a death."""
        try:
            self._world.runbook.store.drop_heartbeats(names=[NAME])
        except RotaError as error:
            log.warning("%s", error.message)
