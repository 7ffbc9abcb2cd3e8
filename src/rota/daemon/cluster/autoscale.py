"""The number of instances follows the load, between min_instances and max_instances; every change is logged with its reason."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from rota.daemon.having import Having
from rota.daemon.lifecycle import start_in_order, wait_up
from rota.daemon.supervisor import is_late, is_stuck
from rota.errors import RotaError
from rota.process.autoscale import Course, Load, decide
from rota.process.spec import in_cluster
from rota.process.state import Failed, Ready

if TYPE_CHECKING:
    from rota.daemon.entry import Entry
    from rota.daemon.world import World

log = logging.getLogger("rota.cluster")

EVERY = 1.0
"""Seconds between two looks."""


async def autoscale(world: World) -> None:
    """Look again and again, for as long as the daemon runs."""
    courses: dict[str, Course] = {}
    having = Having(world.supervisor, lambda spec: spec.max_instances > 0)
    async with (
        asyncio.TaskGroup() as group
    ):  # an app whose new instance takes its time does not keep the others waiting
        while True:
            await world.clock.sleep(EVERY)
            apps = {entry.name for entry in having()}
            if apps:
                world.sample()
            for app in apps:
                group.create_task(_look(world, app, courses))
            for gone in courses.keys() - apps:
                del courses[gone]


async def _look(world: World, app: str, courses: dict[str, Course]) -> None:
    entries = [entry for entry in world.supervisor.named(app) if entry.instance.desired == "up"]
    if not entries or not in_cluster(entries[0].spec) or not all(_settled(entry) for entry in entries):
        return  # stopped by a person, or still on its way
    turn = world.rollouts.turn(app)
    if turn.locked() or all(isinstance(entry.instance.actual, Failed) for entry in entries):
        return  # being reloaded or scaled; or nobody is there whose load could be told
    entries.sort(key=lambda entry: isinstance(entry.instance.actual, Failed))  # those are the first to leave
    async with turn:
        try:
            await _decide(world, app, entries, courses)
        except RotaError as error:
            log.error("App [%s] autoscale: %s", app, error.message)
        except Exception:
            log.exception("App [%s] autoscale", app)  # a mistake of ours with one app must not end it for the others


async def _decide(world: World, app: str, entries: list[Entry], courses: dict[str, Course]) -> None:
    load = load_of(world, entries)
    decision = decide(entries[0].spec, load, courses.get(app, Course()), world.clock.monotonic())
    courses[app] = decision.course
    if not decision.change:
        return
    wanted = load.instances + decision.change
    log.info("App [%s] autoscale: %d -> %d instances: %s", app, load.instances, wanted, decision.reason)
    world.ledger.event(None, app, "autoscale", f"{load.instances} -> {wanted}: {decision.reason}")
    if decision.change > 0:
        created = world.supervisor.create([entries[0].spec] * decision.change)
        await start_in_order(world, created, f"autoscale: {decision.reason}")
        await wait_up(world, [entry.id for entry in created])
    else:
        await _end(world, entries[decision.change :])


def load_of(world: World, entries: list[Entry]) -> Load:
    """What the instances do at the moment."""
    running = [entry for entry in entries if not isinstance(entry.instance.actual, Failed)]
    cpu = sum(world.usage(entry).cpu for entry in running) / len(running)
    waiting = 0
    for listener in world.cluster.listeners.of(entries[0].name):
        slots = {-1} if listener.shared else {world.cluster.slot(entry) for entry in entries}
        waiting += sum(listener.waiting(slot) for slot in slots)
    return Load(len(entries), cpu, waiting)


async def _end(world: World, leaving: list[Entry]) -> None:
    await world.rollouts.clear(leaving)
    ids = [entry.id for entry in leaving]
    world.supervisor.want(ids, "forget", "autoscale")
    await world.supervisor.settled(ids, is_stuck)


def _settled(entry: Entry) -> bool:
    """Whether it is clear what became of it: one that is given up, or late, must not hold the others' number."""
    return isinstance(entry.instance.actual, Ready | Failed) or is_late(entry)
