"""Starting several instances in the order of their dependencies, and bringing back what a former daemon left wanted."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from rota.daemon.supervisor import has_started, is_idle, is_late, is_settled_up
from rota.errors import SpecError
from rota.process.spec import is_gated
from rota.process.state import Down, Failed, Ready

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rota.daemon.entry import Entry
    from rota.daemon.world import World
    from rota.process.spec import AppSpec

log = logging.getLogger("rota.supervisor")

SLICE = 10
"""Spawns per turn of the loop: each one blocks it for a quarter of a millisecond or more."""


def check_dependencies(specs: Iterable[AppSpec], known: Iterable[str]) -> None:
    """Refuse circles and names nobody has.

    Raises:
        SpecError: with the app and the circle or the missing name.
    """
    wants = {spec.name: spec.depends_on for spec in specs}
    available = set(wants) | set(known)
    for name, needed in wants.items():
        for other in needed:
            if other not in available:
                raise SpecError(
                    f"{name} depends on {other}, which does not exist", "correct depends_on", key="depends_on"
                )
    for name in wants:
        circle = _circle(name, wants, ())
        if circle:
            raise SpecError(f"apps wait for each other: {' -> '.join(circle)}", "break the circle", key="depends_on")


def _circle(name: str, wants: dict[str, tuple[str, ...]], path: tuple[str, ...]) -> tuple[str, ...]:
    if name in path:
        return (*path[path.index(name) :], name)
    for other in wants.get(name, ()):
        found = _circle(other, wants, (*path, name))
        if found:
            return found
    return ()


async def start_in_order(world: World, entries: Sequence[Entry], why: str, *, fresh: bool = True) -> dict[Entry, str]:
    """Want these up, each once what it depends on is ready. Returns those held back, with the name of what they miss."""
    held: dict[Entry, str] = {}
    world.supervisor.intend((entry for entry in entries if entry.spec.job is None), "up")
    waiting = [entry for entry in entries if entry.spec.depends_on]
    decided = {entry.id: asyncio.Event() for entry in waiting}
    await _want_up(world, [entry for entry in entries if not entry.spec.depends_on], why, fresh=fresh)

    async def after_dependencies(entry: Entry) -> None:
        needed = _needed(world, entry)
        for other in needed:
            if other.id in decided:
                await decided[other.id].wait()
        missing = await _missing(world, needed)
        if missing:
            held[entry] = missing
            log.error("%s (%d) is not started: it needs %s, which is not ready", entry.name, entry.id, missing)
            world.ledger.event(entry.id, entry.name, "held back", f"it needs {missing}, which is not ready")
        else:
            await _want_up(world, [entry], why, fresh=fresh)
        decided[entry.id].set()

    async with asyncio.TaskGroup() as group:
        for entry in waiting:
            group.create_task(after_dependencies(entry))
    return held


async def _want_up(world: World, entries: Sequence[Entry], why: str, *, fresh: bool) -> None:
    for number, entry in enumerate(entries):
        if number and number % SLICE == 0:
            await asyncio.sleep(0)
        if entry.spec.job is not None:
            world.runbook.ensure_run(entry.name, note=why)
        else:
            world.supervisor.want([entry.id], "up", why, fresh=fresh)


def _needed(world: World, entry: Entry) -> list[Entry]:
    return [other for name in entry.spec.depends_on for other in world.supervisor.named(name)]


async def _missing(world: World, needed: Sequence[Entry]) -> str:
    """Wait until it is clear what became of these, which have been told to start if they are to. The name of one that is
    not ready, "" when all are."""

    def clear(other: Entry) -> bool:
        actual = other.instance.actual
        if isinstance(actual, Ready):
            return other.spec.job is None
        return isinstance(actual, Failed | Down) or is_late(other)

    await world.supervisor.settled([other.id for other in needed], clear)
    return next((other.name for other in needed if not dependency_met(other)), "")


def dependency_met(other: Entry) -> bool:
    """A service must be ready; a job, and what is not to be restarted and has ended, must have succeeded."""
    actual = other.instance.actual
    if isinstance(actual, Ready):
        return other.spec.job is None
    last = other.instance.last_exit
    return isinstance(actual, Down) and last is not None and last.code == 0


async def wait_up(world: World, ids: Iterable[int]) -> None:
    """Until each start came out: spawned, and ready where readiness is gated."""
    ids = list(ids)

    def done(entry: Entry) -> bool:
        return is_settled_up(entry) if is_gated(entry.spec) else has_started(entry)

    await world.supervisor.settled(ids, done)


async def stop_all(world: World, why: str) -> None:
    """End everything; what was wanted stays wanted."""
    supervisor = world.supervisor
    supervisor.leaving = True
    supervisor.want(list(supervisor.entries), "suspend", why)
    await supervisor.settled([entry.id for entry in supervisor.everybody()], is_idle)


def left_wanted(world: World) -> list[Entry]:
    """Instances that should be up and are down: the daemon, or the machine, was shut down in between."""
    return [
        entry
        for _, entry in sorted(world.supervisor.entries.items())
        # A job's run that was cut short is the run book's business: it is abandoned, and its policy decides.
        if entry.instance.desired == "up" and isinstance(entry.instance.actual, Down) and entry.spec.job is None
    ]
