"""Log files that cannot be written, told where people look: an event when it begins and when it is over, a line below the list,
a line in describe. Loaded when the first file is in trouble."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rota.daemon.logfile import OwnLog
from rota.logs.trouble import describe
from rota.process.state import public_id
from rota.render.human import bytes_word, plural
from rota.wire.messages import ProcessEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rota.daemon.entry import Entry
    from rota.daemon.world import World
    from rota.logs.writer import LogFile

ONE_BY_ONE = 3
"""So many files are told each in a line of its own; of more, as on a full disk, there is one line."""


class LogTroubles:
    """Looks once a second; owns what it has told."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._told: dict[str, tuple[LogFile, list[tuple[int | None, str]]]] = {}

    def look(self) -> None:
        """Tell what has begun, and what is over and stays so."""
        files = self._world.streams.files
        files.look_again()
        for handler in logging.getLogger().handlers:
            if isinstance(handler, OwnLog):
                handler.settle()
        for key, file in list(files.troubled.items()):
            if key not in self._told:
                self._told[key] = file, _whose(self._world, file)
                self._note(key, "log unwritable", cause(file))
        for key, (file, _) in list(self._told.items()):
            if file.trouble.is_past(files.monotonic(), files.grace):
                self._note(key, "log writable", file.path)
                del self._told[key]

    def _note(self, key: str, kind: str, detail: str) -> None:
        world = self._world
        for id, name in self._told[key][1]:
            world.ledger.event(id, name, kind, detail)
            world.bus.publish(ProcessEvent(world.clock.now(), kind, -1 if id is None else id, name, detail))


def cause(file: LogFile) -> str:
    """`/var/log/api.log: disk full`."""
    return f"{file.path}: {describe(file.trouble.error)}" if file.trouble.error is not None else file.path


def below_the_list(world: World) -> str:
    """Lines for the end of `rota list`, "" when all is well."""
    troubled = list(world.streams.files.troubled.values())
    if len(troubled) <= ONE_BY_ONE:
        return "".join(f"the log of {_names(_whose(world, file))} {_fate(file)}\n" for file in troubled)
    names = dict.fromkeys(name for file in troubled for _, name in _whose(world, file))
    return f"{len(troubled)} log files of {plural(len(names), 'app')} cannot be written; the first is {cause(troubled[0])}\n"


def of_instance(world: World, entry: Entry) -> tuple[str, ...]:
    """A sentence for each log file of this instance that cannot be written."""
    troubled = world.streams.files.troubled.values()
    return tuple(f"its log {_fate(file)}" for file in troubled if _writes(entry, file))


def _fate(file: LogFile) -> str:
    dropped = file.trouble.dropped
    fate = (
        f"{bytes_word(dropped)} of output dropped so far" if dropped else "output waits, and is dropped if that lasts"
    )
    return f"cannot be written: {cause(file)} ({fate})"


def _whose(world: World, file: LogFile) -> list[tuple[int | None, str]]:
    """The apps that write it, with the instance where it is one alone."""
    found: dict[str, list[int]] = {}
    for entry in world.supervisor.everybody():
        if _writes(entry, file):
            found.setdefault(entry.name, []).append(public_id(entry.instance))
    if not found:
        return [(None, file.group)]
    return [(ids[0] if len(ids) == 1 else None, name) for name, ids in found.items()]


def _writes(entry: Entry, file: LogFile) -> bool:
    return entry.outputs is not None and entry.outputs.writes(file)


def _names(owners: Iterable[tuple[int | None, str]]) -> str:
    return ", ".join(name if id is None else f"{name} ({id})" for id, name in owners)
