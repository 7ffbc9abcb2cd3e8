"""One immutable picture of an instance, for everybody outside the supervisor."""

from __future__ import annotations

import asyncio
import os
import pwd
from functools import lru_cache
from typing import TYPE_CHECKING

from rota.process.paths import log_paths, pid_path
from rota.process.record import Record, Usage
from rota.process.spec import resolved_instances
from rota.process.state import public_id
from rota.wire.messages import LogSource

if TYPE_CHECKING:
    from rota.daemon.entry import Entry
    from rota.daemon.world import World

NOTHING = Usage()
STEP = 250
"""Pictures taken in one turn of the loop."""


def record_of(world: World, entry: Entry) -> Record:
    """The picture as of now."""
    spec, told = entry.spec, entry.told
    out, error, combined = log_paths(spec, public_id(entry.instance), world.home.logs)
    return Record(
        instance=entry.instance,
        spec=spec,
        usage=world.usage(entry) if entry.child is not None else NOTHING,
        out_path=out,
        error_path=error,
        log_path=combined,
        pid_path=pid_path(spec, public_id(entry.instance), world.home.pids),
        username=user_name(spec.uid),
        exec_mode=spec.exec_mode,
        instances=resolved_instances(spec.instances, world.cpus),
        node_version=told.node_version,
        actions=tuple(told.actions),
        metrics=told.metrics,
        options=told.options,
        watching=entry.watching,
        run=world.run_summary(entry) if spec.job is not None else None,
        now=world.clock.now(),
    )


async def records_in_steps(world: World) -> list[Record]:
    """All of them, by id; gives way to the rest of the loop now and then."""
    world.sample()
    found: list[Record] = []
    for number, (id, entry) in enumerate(sorted(world.supervisor.entries.items()), 1):
        if number % STEP == 0:
            await asyncio.sleep(0)
        if world.supervisor.entries.get(id) is entry:  # not deleted meanwhile
            found.append(record_of(world, entry))
    return found


def log_source(world: World, entry: Entry) -> LogSource:
    """Where its output lies."""
    out, error, combined = log_paths(entry.spec, entry.id, world.home.logs)
    namespace, running, unwritable = entry.spec.namespace, entry.child is not None, unwritable_logs(world, entry)
    return LogSource(entry.id, entry.name, namespace, out, error, combined, running=running, unwritable=unwritable)


def unwritable_logs(world: World, entry: Entry) -> tuple[str, ...]:
    """A sentence for each of its log files that cannot be written at present."""
    if not world.streams.files.troubled:
        return ()
    from rota.daemon.log_troubles import of_instance

    return of_instance(world, entry)


@lru_cache(maxsize=64)
def user_name(uid: str) -> str:
    """The user a spec asks for, or our own, by name where there is one."""
    if uid and not uid.isdecimal():
        return uid
    number = int(uid) if uid else os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
