"""list, jlist, prettylist, id, pid, and the table after an action."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rota.daemon.jobs.guests import guest_jobs
from rota.daemon.picture import record_of, records_in_steps
from rota.daemon.verbs.target import look_up
from rota.render.ids import ids_text, pids_text
from rota.render.list import sort_problem, table_steps
from rota.render.table import STEP

if TYPE_CHECKING:
    from rota.daemon.answer import Answer
    from rota.daemon.server import Inbox
    from rota.daemon.world import World
    from rota.wire.messages import Find, Ids, Jlist, List, Pids


async def show_list(world: World, answer: Answer, sort: str = "") -> None:
    """The process table, where the client wants one. Of thousands of jobs it is made and sent in pieces: due times and
    exits do not wait for it."""
    if answer.render is None or answer.render.silent or not answer.render.table:
        return
    found = [*await records_in_steps(world), *guest_jobs(world)]
    for piece in table_steps(found, answer.width, answer.colour, sort, world.clock.now(), world.host()):
        answer.text(piece)
        if len(found) > STEP:
            await answer.drained()
            await asyncio.sleep(0)
    note_troubles(world, answer)


def note_troubles(world: World, answer: Answer) -> None:
    """What is wrong with rota's own files or the apps' logs, below a list."""
    if world.ledger.degraded:
        answer.note(
            f"the ledger cannot be written: {world.ledger.degraded} (supervision goes on; see {world.home.log})\n"
        )
    if world.strays:
        answer.note(world.strays.below_the_list())
    if world.streams.files.troubled:
        from rota.daemon.log_troubles import below_the_list

        answer.note(below_the_list(world))


async def list_apps(world: World, request: List, answer: Answer, inbox: Inbox) -> None:
    if request.render is None:
        answer.data(await records_in_steps(world))
        return
    if problem := sort_problem(request.sort):
        answer.note(f"{problem}\n")
    if request.mini:
        from rota.render.mini import mini_list

        answer.text(mini_list(await records_in_steps(world), request.sort, world.clock.now()) + "\n")
        note_troubles(world, answer)
    else:
        await show_list(world, answer, request.sort)


async def jlist(world: World, request: Jlist, answer: Answer, inbox: Inbox) -> None:
    found = await records_in_steps(world)
    answer.data(found)
    if request.pretty:
        from rota.render.inspect import prettylist

        answer.text(prettylist(found, request.show_env))
    else:
        from rota.render.jlist import jlist as as_json

        for first in range(0, max(len(found), 1), STEP):
            records = as_json(found[first : first + STEP], request.show_env)[1:-1]
            answer.text((b"," if first else b"[") + records + (b"" if first + STEP < len(found) else b"]"))
            if len(found) > STEP:
                await answer.drained()
                await asyncio.sleep(0)


async def find(world: World, request: Find, answer: Answer, inbox: Inbox) -> None:
    ids = look_up(world, request.target, request.cwd).ids
    answer.data([[id, world.supervisor.entries[id].name] for id in ids])


async def ids(world: World, request: Ids, answer: Answer, inbox: Inbox) -> None:
    found = sorted(id for id, entry in world.supervisor.entries.items() if entry.name == request.name)
    answer.data(found)
    answer.text(ids_text(found) + "\n")


async def pids(world: World, request: Pids, answer: Answer, inbox: Inbox) -> None:
    entries = sorted(world.supervisor.entries.items())
    chosen = [record_of(world, entry) for _, entry in entries if request.name in ("", entry.name)]
    answer.data([record.instance.id for record in chosen])
    answer.text(pids_text(chosen) + "\n")
