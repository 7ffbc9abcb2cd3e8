"""ping, kill, update: the daemon itself."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from rota.daemon.verbs.progress import shown
from rota.version import __version__
from rota.wire.messages import PROTOCOL

if TYPE_CHECKING:
    from rota.daemon.answer import Answer
    from rota.daemon.server import Inbox
    from rota.daemon.world import World
    from rota.wire.messages import Kill, Ping


async def ping(world: World, request: Ping, answer: Answer, inbox: Inbox) -> None:
    answer.data(
        {
            "pid": os.getpid(),
            "version": __version__,
            "protocol": PROTOCOL,
            "keeper": os.getppid() if world.keeper.alive else 0,
            "started": world.started,
        }
    )
    answer.text("{ msg: 'pong' }\n")


async def kill(world: World, request: Kill, answer: Answer, inbox: Inbox) -> None:
    """PM2's kill: everything stops and is forgotten (the dump is not), then the daemon and the keeper end."""
    supervisor = world.supervisor
    entries = list(supervisor.entries.values())
    if not entries:
        answer.warn("No process found")

    async def work(left: set[int]) -> None:
        supervisor.want([entry.id for entry in entries], "forget", "rota kill")
        await supervisor.settled(
            [entry.id for entry in entries], lambda entry: False, lambda pending: left.intersection_update(pending)
        )

    await shown(answer, "stopping", entries, "still up", work)
    answer.say("[v] All Applications Stopped")
    answer.say("[v] rota daemon stopped")
    answer.done(0)
    await answer.drained()
    await asyncio.sleep(0)
    world.end(0)
