"""Where logs lie, emptying them, opening them anew, and following what happens. Reading them is the client's work."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from rota.daemon.picture import log_source
from rota.daemon.verbs.target import look_up
from rota.process.paths import NOWHERE
from rota.suggest import did_you_mean

if TYPE_CHECKING:
    from rota.daemon.answer import Answer
    from rota.daemon.server import Inbox
    from rota.daemon.world import World
    from rota.wire.messages import Flush, LogSource, LogSources, Reconfigure, ReloadLogs, Subscribe


async def log_sources(world: World, request: LogSources, answer: Answer, inbox: Inbox) -> None:
    ids = look_up(world, request.target, request.cwd).ids
    answer.data([log_source(world, world.supervisor.entries[id]) for id in ids])


async def flush(world: World, request: Flush, answer: Answer, inbox: Inbox) -> None:
    """Empty the logs of a target; of all, and rota's own, without one."""
    files = world.streams.files
    if not request.target:
        answer.say(f"Flushing {world.home.log}")
        files.flush(world.home.log)
    ids = look_up(world, request.target or "all", request.cwd).ids
    if request.target and not ids:
        near = did_you_mean(request.target, [entry.name for entry in world.supervisor.entries.values()])
        answer.warn(f"no app matches: {request.target}{near}")
        return
    done: set[str] = set()
    for id in ids:
        source = log_source(world, world.supervisor.entries[id])
        paths = [path for path in _paths(source) if path not in done]
        done.update(paths)
        if paths:
            answer.say("Flushing:")
        for path in paths:
            files.flush(path)
            answer.say(path)
    answer.say("Logs flushed")


def _paths(source: LogSource) -> list[str]:
    return [path for path in (source.out, source.error, source.log) if path and path != NOWHERE]


async def reload_logs(world: World, request: ReloadLogs, answer: Answer, inbox: Inbox) -> None:
    answer.text("Reloading all logs...\n")
    world.streams.files.reopen()
    answer.text("All logs reloaded\n")


async def reconfigure(world: World, request: Reconfigure, answer: Answer, inbox: Inbox) -> None:
    """Take up conf.json: rotation of files that are open follows with their next rotation check."""
    world.settings.reload()
    for entry in world.supervisor.entries.values():
        if entry.outputs is not None:
            entry.outputs.set_policy(world.settings.policy(entry.spec.logs))


async def subscribe(world: World, request: Subscribe, answer: Answer, inbox: Inbox) -> None:
    """Events as they happen, until the client hangs up."""
    queue = world.bus.subscribe()
    hung_up = asyncio.ensure_future(inbox.next())
    try:
        while not hung_up.done():
            waiting = asyncio.ensure_future(queue.get())
            await asyncio.wait({waiting, hung_up}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                break
            answer.data(waiting.result())
            await answer.drained()
    finally:
        world.bus.unsubscribe(queue)
        hung_up.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hung_up
