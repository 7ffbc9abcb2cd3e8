"""scale and reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.daemon.lifecycle import start_in_order, wait_up
from rota.daemon.supervisor import is_stuck
from rota.daemon.verbs.act import report_failures, report_held
from rota.daemon.verbs.progress import shown
from rota.daemon.verbs.show import show_list
from rota.daemon.verbs.target import find, named
from rota.errors import NotPermitted, TargetNotFound, UsageError
from rota.process.autoscale import bounds
from rota.process.spec import MOST_INSTANCES, in_cluster
from rota.suggest import suggestion

if TYPE_CHECKING:
    from rota.daemon.answer import Answer
    from rota.daemon.entry import Entry
    from rota.daemon.server import Inbox
    from rota.daemon.world import World
    from rota.process.spec import AppSpec
    from rota.wire.messages import Reset, Scale


async def scale(world: World, request: Scale, answer: Answer, inbox: Inbox) -> None:
    """`5` absolute, `+2`, `-1`. The newest leave first. A reload that is under way comes to its end before."""
    entries = _found(world, request.name)
    if not in_cluster(entries[0].spec):
        await _scale(world, request, answer, entries)
        return
    turn = world.rollouts.turn(request.name)
    if turn.locked():
        answer.say("waiting for the reload that is under way", "info")
    async with turn:
        await _scale(world, request, answer, _found(world, request.name))


def _found(world: World, name: str) -> list[Entry]:
    entries = named(world, (name,))
    if not entries:
        near = suggestion(name, [entry.name for entry in world.supervisor.entries.values()])
        raise TargetNotFound(f"Application {name} not found", near or "`rota list` shows what there is")
    return entries


async def _scale(world: World, request: Scale, answer: Answer, entries: list[Entry]) -> None:
    wanted = _wanted(request.count, len(entries))
    if wanted == len(entries):
        answer.error("Nothing to do")
        return
    _check_bounds(entries[0].spec, wanted)
    if wanted > len(entries):
        await _up(world, answer, entries, wanted - len(entries))
    else:
        await _down(world, answer, entries[wanted:])
    await show_list(world, answer)


def _check_bounds(spec: AppSpec, wanted: int) -> None:
    """Autoscaling would undo it at once."""
    least, most = bounds(spec)
    if spec.max_instances and in_cluster(spec) and not least <= wanted <= most:
        raise NotPermitted(
            f"{spec.name} has {least} to {most} instances, not {wanted}: they follow its load",
            "change min_instances and max_instances, or `rota delete` it",
        )


def _wanted(count: str, now: int) -> int:
    sign, digits = (count[0], count[1:]) if count[:1] in ("+", "-") else ("", count)
    if not digits.isdecimal() or len(digits) > 9:
        raise UsageError(f"{count} is not a number of instances", "write 5, +2 or -1")
    number = int(digits)
    wanted = max(0, {"": number, "+": now + number, "-": now - number}[sign])
    if wanted > max(now, MOST_INSTANCES):
        raise UsageError(f"{wanted} instances are too many", f"at most {MOST_INSTANCES} of one app")
    return wanted


async def _up(world: World, answer: Answer, entries: list[Entry], more: int) -> None:
    model = entries[0].spec
    created = world.supervisor.create([model] * more, lambda spec: True)
    for _ in created:
        answer.say("Scaling up application")
    held = await start_in_order(world, created, "scaled up")
    await wait_up(world, [entry.id for entry in created if entry not in held])
    report_held(answer, held)
    report_failures(answer, created, "start")


async def _down(world: World, answer: Answer, leaving: list[Entry]) -> None:
    ids = [entry.id for entry in leaving]

    async def work(left: set[int]) -> None:
        await world.rollouts.clear(leaving)
        world.supervisor.want(ids, "forget", "scaled down")
        await world.supervisor.settled(ids, is_stuck, lambda pending: left.intersection_update(pending))

    await shown(answer, "scaling down", leaving, "still up", work)
    for entry in leaving:
        if not is_stuck(entry):
            answer.say(f"[{entry.name}]({entry.id}) ✓")
    report_failures(answer, leaving, "delete")


async def reset(world: World, request: Reset, answer: Answer, inbox: Inbox) -> None:
    _, entries = find(world, request.target, request.cwd)
    for entry in entries:
        world.supervisor.reset(entry)
        answer.say(f"Resetting meta for process id {entry.id}")
    await show_list(world, answer)
