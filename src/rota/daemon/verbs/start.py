"""start of what the client described: a script, or the apps of a file."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rota.daemon.lifecycle import check_dependencies, start_in_order, wait_up
from rota.daemon.supervisor import is_stuck
from rota.daemon.verbs.act import (
    announce,
    report_failures,
    report_held,
    restart,
    roll,
    say_how_reloaded,
    say_what_waits,
)
from rota.daemon.verbs.show import show_list
from rota.errors import NotPermitted
from rota.process.defaults import claimed
from rota.process.spec import resolved_instances
from rota.process.state import Backoff, Down, Failed, Stopping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota.daemon.answer import Answer
    from rota.daemon.entry import Entry
    from rota.daemon.server import Inbox
    from rota.daemon.world import World
    from rota.process.spec import AppSpec
    from rota.wire.messages import StartSpecs


AT_ONCE = 500
"""Instances made in one turn of the loop, and in one write."""


async def start_specs(world: World, request: StartSpecs, answer: Answer, inbox: Inbox) -> None:
    """PM2's rules (reference, section 2.3)."""
    names = set(world.supervisor.by_name)
    request = replace(request, specs=tuple(world.settings.settled(claimed(spec)) for spec in request.specs))
    check_dependencies(request.specs, names)
    if request.budgets:
        world.budgets.define(request.budgets)
    for cron in (spec.job.cron if spec.job else spec.cron_restart for spec in request.specs):
        if cron:
            answer.say(f"cron restart at {cron}")
    if request.from_file:
        touched = await _from_file(world, request, answer, names)
    else:
        touched = await _scripts(world, request, answer)
    report_failures(answer, touched, "start")
    answer.data([entry.id for entry in touched])
    await show_list(world, answer)


async def _from_file(world: World, request: StartSpecs, answer: Answer, names: set[str]) -> list[Entry]:
    new = [spec for spec in request.specs if spec.name not in names]
    touched: list[Entry] = []
    for spec in request.specs:
        if spec.name in names and not request.missing_only:
            touched += await _renew(world, spec, answer, request)
            if answer.code:
                return touched  # what comes after it in the file is not touched
    if new:
        if request.from_file:
            answer.warn(f"Applications {', '.join(spec.name for spec in new)} not running, starting...")
        for spec in new:
            if spec.wait_ready:
                answer.warn(f"App {spec.name} has option 'wait_ready' set, waiting for app to be ready...")
        created, held = await _create(world, new, answer)
        copies = Counter(id(entry.spec) for entry in created if entry not in held)
        for spec in new:
            if not _starts_now(spec):
                waits = "waits until it is due" if spec.job is not None else "is listed, and not started"
                answer.say(f"App [{spec.name}] {waits} ({copies[id(spec)]} instances)")
            elif copies[id(spec)]:
                answer.say(f"App [{spec.name}] launched ({copies[id(spec)]} instances)")
        touched += created
    return touched


async def _scripts(world: World, request: StartSpecs, answer: Answer) -> list[Entry]:
    touched: list[Entry] = []
    for spec in request.specs:
        same = [entry for entry in world.supervisor.named(spec.name) if entry.spec.exec_path == spec.exec_path]
        if same and not request.force:
            idle = [entry for entry in same if isinstance(entry.instance.actual, Down | Failed | Stopping | Backoff)]
            if not idle:
                raise NotPermitted("Script already launched, add -f option to force re-execution", "")
            for entry in idle:
                world.supervisor.respec(entry, spec)
                await restart(world, entry, "started by the user")
            answer.say("Process successfully started")
            touched += idle
            continue
        plural = "instance" if spec.instances in (0, 1) else "instances"
        answer.say(f"Starting {spec.exec_path} in {spec.exec_mode}_mode ({spec.instances} {plural})")
        created, _ = await _create(world, [spec], answer)
        touched += created
        answer.say("Done.")
    return touched


async def _renew(world: World, spec: AppSpec, answer: Answer, request: StartSpecs) -> list[Entry]:
    """A known app of a file: everything in the file is taken up, then its instances are restarted.

    A reload that fails changes nothing, neither their number nor what the others are started with next time.
    """
    entries = world.supervisor.named(spec.name)
    created: list[Entry] = []
    number_changed = spec.instances_given and entries[0].spec.instances != spec.instances
    wanted = resolved_instances(spec.instances, world.cpus) if number_changed else len(entries)
    rolling = [entry for entry in entries if request.how == "reload" and world.rollouts.possible(entry, spec)]
    announce(answer, request.how, spec.name, entries)
    say_what_waits(answer, entries[0].spec, spec)
    say_how_reloaded(answer, request.how, [entry for entry in entries if entry not in rolling])
    replaced = {entry.id: spec for entry in rolling if entry in entries[:wanted]}
    await roll(world, replaced, request.parallel, answer)
    if answer.code:
        return []
    entries = world.supervisor.named(spec.name)
    for entry in entries:
        if entry.id not in replaced:
            world.supervisor.respec(entry, spec)
    if number_changed:
        entries, created = await _match_number(world, spec, entries, answer)
    for entry in entries:
        if entry.id in replaced or spec.job is not None:
            continue  # a job's next run takes up the new settings; one under way is not killed for them
        await restart(world, entry, "restarted with its file")
        answer.say(f"[{entry.name}]({entry.id}) ✓")
    return [*entries, *created]


async def _match_number(
    world: World, spec: AppSpec, entries: list[Entry], answer: Answer
) -> tuple[list[Entry], list[Entry]]:
    """Those that stay, and those that are new."""
    wanted = resolved_instances(spec.instances, world.cpus)
    created: list[Entry] = []
    if wanted < len(entries):
        leaving = entries[wanted:]
        await world.rollouts.clear(leaving)
        world.supervisor.want([entry.id for entry in leaving], "forget", "fewer instances in the file")
        await world.supervisor.settled([entry.id for entry in leaving], is_stuck)
    elif wanted > len(entries):
        created = world.supervisor.create([spec] * (wanted - len(entries)), _starts_now)
        await _launch(world, created, answer)
    return entries[:wanted], created


async def _create(world: World, specs: Sequence[AppSpec], answer: Answer) -> tuple[list[Entry], dict[Entry, str]]:
    """All instances, and those held back for want of another app."""
    copies = [spec for spec in specs for _ in range(resolved_instances(spec.instances, world.cpus))]
    created: list[Entry] = []
    for first in range(0, len(copies), AT_ONCE):
        created += world.supervisor.create(copies[first : first + AT_ONCE], _starts_now)
        await asyncio.sleep(0)
    return created, await _launch(world, created, answer)


async def _launch(world: World, created: list[Entry], answer: Answer) -> dict[Entry, str]:
    starting = [entry for entry in created if _starts_now(entry.spec)]
    held = await start_in_order(world, starting, "started by the user")
    await wait_up(world, [entry.id for entry in starting if entry not in held])
    report_held(answer, held)
    return held


def _starts_now(spec: AppSpec) -> bool:
    if not spec.autostart:
        return False
    return spec.job is None or spec.job.run_on_start
