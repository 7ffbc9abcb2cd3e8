"""From what was typed to the instances it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.daemon.jobs.guests import is_no_app
from rota.process.selection import Known, Selection, not_found, select
from rota.suggest import suggest

if TYPE_CHECKING:
    from rota.daemon.entry import Entry
    from rota.daemon.world import World


def look_up(world: World, target: str, cwd: str) -> Selection:
    """What a target means; perhaps nothing.

    Raises:
        UsageError: a regular expression that is none.
    """
    known = [
        Known(entry.id, entry.name, entry.spec.namespace, entry.spec.exec_path)
        for _, entry in sorted(world.supervisor.entries.items())
    ]
    return select(target, known, cwd)


def find(world: World, target: str, cwd: str) -> tuple[Selection, list[Entry]]:
    """The instances a target means, at least one.

    Raises:
        TargetNotFound: with a suggestion when a known name is close.
    """
    selection = look_up(world, target, cwd)
    if not selection.ids:
        inside = is_no_app(world, target)
        if inside is not None:
            raise inside
        entries = world.supervisor.entries.values()
        names = [word for entry in entries for word in (entry.name, entry.spec.namespace)]
        raise not_found(selection, suggest(target, names) or "")
    return selection, [world.supervisor.entries[id] for id in selection.ids]


def named(world: World, names: tuple[str, ...]) -> list[Entry]:
    """The instances of exactly these apps, in the order of the names."""
    return [entry for name in names for entry in world.supervisor.named(name)]
