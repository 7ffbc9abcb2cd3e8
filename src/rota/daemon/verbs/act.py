"""start, stop, restart, reload and delete of instances that exist. Returns when it has happened, not when it was ordered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rota.daemon.lifecycle import start_in_order, wait_up
from rota.daemon.supervisor import is_idle, is_late, is_settled_up, is_stuck
from rota.daemon.verbs.progress import shown
from rota.daemon.verbs.show import show_list
from rota.daemon.verbs.target import find, named
from rota.errors import NotPermitted, RotaError, SpecError, TargetNotFound
from rota.process.spec import AppSpec, in_cluster
from rota.process.state import Failed, Ready, Stopping, Up, process_of
from rota.render.ids import ids_text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from rota.daemon.answer import Answer
    from rota.daemon.entry import Entry
    from rota.daemon.server import Inbox
    from rota.daemon.world import World
    from rota.wire.messages import Act, Action

AT_ONCE = 200
"""Instances that are told to go in one turn of the loop."""
PARALLEL = 2
"""PM2's concurrent actions: how many instances of a selection are restarted at a time."""

ACTION_IDS = {
    "start": "restartProcessId",
    "stop": "stopProcessId",
    "restart": "restartProcessId",
    "reload": "reloadProcessId",
    "delete": "deleteProcessId",
}
DOING = {
    "start": ("starting", "not up"),
    "stop": ("stopping", "still up"),
    "restart": ("restarting", "not done"),
    "reload": ("reloading", "not done"),
    "delete": ("deleting", "still up"),
}


async def act(world: World, request: Act, answer: Answer, inbox: Inbox) -> None:
    """Targets one after the other, ending at the first failure, as PM2 does."""
    done: list[Entry] = []
    if request.names:
        entries = named(world, request.names)
        if not entries and request.action not in ("stop", "delete"):
            raise TargetNotFound("No process found", "start the file first: rota start FILE")
        await _apply(world, request, answer, entries)
        done += entries
    for target in request.targets:
        selection, entries = find(world, target, request.cwd)
        await _apply(world, request, answer, entries, target, typed=selection.how == "id")
        done += entries
    answer.data([entry.id for entry in done])
    if request.action == "start" and not answer.code and done:
        answer.say("Process successfully started")
    if request.action != "reload":
        await show_list(world, answer)


async def _apply(
    world: World, request: Act, answer: Answer, entries: Sequence[Entry], target: str = "", *, typed: bool = False
) -> None:
    if not entries:
        return
    specs = _changed(world, request, entries) if request.action in ("restart", "reload", "start") else {}
    rolling = [e for e in entries if request.action == "reload" and world.rollouts.possible(e, specs.get(e.id))]
    for before, after in {
        (id(e.spec), id(specs[e.id])): (e.spec, specs[e.id]) for e in entries if e.id in specs
    }.values():
        say_what_waits(answer, before, after)
    for entry in entries:
        if entry.id in specs and entry not in rolling:
            world.supervisor.respec(entry, specs[entry.id])
        elif entry.id in specs and specs[entry.id].name != entry.name:  # both copies are to be of one app
            world.supervisor.respec(entry, replace(entry.spec, name=specs[entry.id].name))
        if request.toggle_watch and entry.id in specs:
            world.toggle_watch(entry)
    if "cron_restart" in request.patch:
        cron = msgspec.json.decode(request.patch["cron_restart"])
        answer.say(f"cron restart at {cron}" if cron else "disabling cron restart")
    if request.action in ("restart", "reload") and request.shell_env is None and not request.names:
        answer.say("Use --update-env to update environment variables", "say")
    for name in [target] if target else dict.fromkeys(entry.name for entry in entries):
        announce(answer, request.action, name, [e for e in entries if target or e.name == name], typed=typed)
    say_how_reloaded(answer, request.action, [entry for entry in entries if entry not in rolling])
    ids = [entry.id for entry in entries]
    rollout = roll(world, {entry.id: specs.get(entry.id, entry.spec) for entry in rolling}, request.parallel, answer)
    await (_proved(world, rolling, rollout, answer) if request.prove else rollout)
    if not answer.code:
        rest = [entry for entry in entries if entry not in rolling]
        await _perform(world, request.action, answer, rest, request.parallel)
    if request.action == "stop":
        _warn_of_cron(answer, entries)
    report_failures(
        answer,
        [world.supervisor.entries.get(id, entry) for id, entry in zip(ids, entries, strict=True)],
        request.action,
    )


async def _proved(world: World, entries: Sequence[Entry], rollout: Coroutine[None, None, None], answer: Answer) -> None:
    """Carry the rollout out under questions to the apps' ports; a question that got no answer is a failure."""
    from rota.daemon.cluster.prove import proving, speaking_http

    addresses = [one.address for app in {entry.name for entry in entries} for one in world.cluster.listeners.of(app)]
    targets = await speaking_http(addresses)
    if not targets:
        rollout.close()
        raise NotPermitted(
            "there is nothing to ask: no port of a cluster that answers HTTP",
            "--prove needs a web server in cluster mode",
        )
    proof = await proving(targets, rollout)
    if proof.failed:
        answer.error(proof.line())
    else:
        answer.say(proof.line())


async def roll(
    world: World, specs: dict[int, AppSpec], parallel: int, answer: Answer, why: str = "reloaded by the user"
) -> None:
    """Replace these, app after app, each instance by a copy that is ready first; says what failed."""
    if not specs:
        return
    from rota.daemon.cluster.rollout import ReloadFailed

    by_app: dict[str, dict[int, AppSpec]] = {}
    for id, spec in specs.items():
        if (entry := world.supervisor.entries.get(id)) is not None:
            by_app.setdefault(entry.name, {})[id] = spec
    for app, chosen in by_app.items():
        # The proof's questions and the apps before took their time: some may have been deleted.
        some = {id: spec for id, spec in chosen.items() if id in world.supervisor.entries}
        entries = [world.supervisor.entries[id] for id in some]
        if not entries:
            continue

        async def work(left: set[int], app: str = app, some: dict[int, AppSpec] = some) -> None:
            def replaced(number: int) -> None:
                left.discard(number)
                answer.say(f"[{app}]({number}) ✓")

            await world.rollouts.roll(some, parallel or 1, replaced, why)

        try:
            await shown(answer, "reloading", entries, "not done", work)
        except ReloadFailed as failed:
            answer.error(failed.message)
            return


def announce(answer: Answer, action: Action, target: str, entries: Sequence[Entry], *, typed: bool = False) -> None:
    """What is about to be done to which ids, as scripts written for PM2 read it; `typed`: an id was asked for."""
    ids = ids_text([entry.id for entry in entries], typed)
    answer.say(f"Applying action {ACTION_IDS[action]} on app [{target}](ids: {ids})")


def say_what_waits(answer: Answer, before: AppSpec, after: AppSpec) -> None:
    """What a running app does not take up, though its file says so."""
    if in_cluster(before) and in_cluster(after) and before.balance != after.balance:
        answer.warn(
            f"App {after.name}: another balance takes effect once it has been stopped: its sockets stay as they are"
        )


def say_how_reloaded(answer: Answer, action: Action, entries: Sequence[Entry]) -> None:
    """Where no second copy can run beside the first one nobody shall believe that it did."""
    if action != "reload":
        return
    running = [entry for entry in entries if entry.spec.job is None and process_of(entry.instance.actual)]
    for name, shares in {entry.name: in_cluster(entry.spec) for entry in running}.items():
        why = "binds its ports itself" if shares else "runs in fork mode"
        answer.say(f"App {name} {why}: its reload is a graceful restart, with a moment without it", "info")


async def _perform(world: World, action: Action, answer: Answer, entries: Sequence[Entry], parallel: int) -> None:
    doing, still = DOING[action]

    def ticked(entry: Entry, left: set[int]) -> None:
        if entry.id in left:
            left.discard(entry.id)
            if action == "stop" and not is_idle(entry):
                answer.warn(f"[{entry.name}]({entry.id}) was started again meanwhile")
            elif not isinstance(entry.instance.actual, Failed):
                answer.say(f"[{entry.name}]({entry.id}) ✓")

    async def work(left: set[int]) -> None:
        match action:
            case "start":
                held = await start(world, entries)
                for entry in entries:
                    if entry not in held:
                        ticked(entry, left)
                report_held(answer, held)
            case "stop":
                _cancel_runs(world, entries, "stopped by the user")
                await _relieve(world, entries)
                world.supervisor.want([entry.id for entry in entries], "down", "stopped by the user")
                await _each(entries, 0, lambda entry: _until_idle(world, entry), lambda entry: ticked(entry, left))
            case "delete":
                _cancel_runs(world, entries, "its job was deleted")
                await _relieve(world, entries)
                await forget(world, entries, "deleted by the user")
                await _each(entries, 0, lambda entry: _until_idle(world, entry), lambda entry: ticked(entry, left))
            case "restart" | "reload":
                many = parallel or (1 if action == "reload" else PARALLEL)
                await _each(entries, many, lambda entry: restart(world, entry), lambda entry: ticked(entry, left))

    await shown(answer, doing, entries, still, work)


async def _relieve(world: World, entries: Sequence[Entry]) -> None:
    if any(in_cluster(entry.spec) for entry in entries):
        await world.clusters.rollouts().relieve(entries)


async def _each(
    entries: Sequence[Entry],
    parallel: int,
    work: Callable[[Entry], Coroutine[None, None, None]],
    after: Callable[[Entry], None],
) -> None:
    """Work on all, at most `parallel` at a time (0: no bound)."""
    gate = asyncio.Semaphore(parallel or len(entries) or 1)

    async def one(entry: Entry) -> None:
        async with gate:
            await work(entry)
            after(entry)

    try:
        async with asyncio.TaskGroup() as group:
            for entry in entries:
                group.create_task(one(entry))
    except* RotaError as refused:
        raise refused.exceptions[0] from None


async def start(world: World, entries: Sequence[Entry]) -> dict[Entry, str]:
    """PM2's start of something known: what runs is restarted, the rest is started, in the order of dependencies.

    Returns what was held back, with the name of what it misses.
    """
    running = [entry for entry in entries if isinstance(entry.instance.actual, Ready | Up)]
    running += [entry for entry in entries if isinstance(entry.instance.actual, Stopping)]
    await _each(running, PARALLEL, lambda entry: restart(world, entry), lambda entry: None)
    idle = [entry for entry in entries if entry not in running]
    held = await start_in_order(world, idle, "started by the user")
    await wait_up(world, [entry.id for entry in idle if entry not in held])
    return held


async def restart(world: World, entry: Entry, why: str = "restarted by the user") -> None:
    """Stop and start; returns when the new process is up (ready, where that is gated) or failed."""
    before = entry.instance.gen
    if entry.spec.job is not None:
        # A job is started by its run book alone, so that every run has its row.
        _cancel_runs(world, [entry], why)
        world.supervisor.want([entry.id], "down", why)
        await _until_idle(world, entry)
        world.runbook.ensure_run(entry.name, note=why)
        return
    world.supervisor.want([entry.id], "restart", why)

    def done(entry: Entry) -> bool:
        # Idle without a new process: somebody else stopped it meanwhile, and the last word counts.
        return (entry.instance.gen > before and is_settled_up(entry)) or is_idle(entry)

    await world.supervisor.settled([entry.id], done)


async def forget(world: World, entries: Sequence[Entry], why: str) -> None:
    """Order these to go, giving way to the rest of the loop between one slice and the next."""
    known = world.supervisor.entries
    # One that somebody else has deleted meanwhile must not come back into the ledger.
    world.supervisor.intend((entry for entry in entries if known.get(entry.id) is entry), "down")
    for first in range(0, len(entries), AT_ONCE):
        world.supervisor.want([entry.id for entry in entries[first : first + AT_ONCE]], "forget", why)
        await asyncio.sleep(0)


def _cancel_runs(world: World, entries: Sequence[Entry], why: str) -> None:
    for entry in entries:
        world.runbook.stopping(entry, why)


async def _until_idle(world: World, entry: Entry) -> None:
    """Until nothing of it runs; or somebody else wants it up again, whose word is the last one."""
    passing = [other.id for other in world.supervisor.passing_for(entry.id)]
    await world.supervisor.settled([entry.id], lambda entry: is_idle(entry) or entry.instance.desired == "up")
    await world.supervisor.settled(passing, is_stuck)


def _changed(world: World, request: Act, entries: Sequence[Entry]) -> dict[int, AppSpec]:
    """The specifications with the options given with the action, by instance; instances of an app go on sharing one."""
    if not request.patch and request.shell_env is None and not request.toggle_watch:
        return {}
    from rota.ecosystem.environment import filtered
    from rota.ecosystem.patch import apply_patch

    changed: dict[int, AppSpec] = {}
    for entry in entries:
        old = entry.spec
        if id(old) not in changed:
            spec = world.settings.settled(_checked(apply_patch(old, request.patch))) if request.patch else old
            if request.shell_env is not None:
                spec = replace(spec, shell_env=filtered(request.shell_env, spec.filter_env))
            changed[id(old)] = spec
    return {entry.id: changed[id(entry.spec)] for entry in entries}


def _checked(spec: AppSpec) -> AppSpec:
    """A specification that can be read back: a value of a wrong type would make the ledger look damaged one day.

    Raises:
        SpecError: it has one.
    """
    try:
        return msgspec.json.decode(msgspec.json.encode(spec), type=AppSpec)
    except msgspec.ValidationError as error:
        raise SpecError(
            f"an option has a value that means nothing: {error}", "correct it; nothing was changed"
        ) from error


def _warn_of_cron(answer: Answer, entries: Sequence[Entry]) -> None:
    crons = {entry.name: entry.spec.job.cron if entry.spec.job else entry.spec.cron_restart for entry in entries}
    for name, cron in crons.items():
        if cron:
            answer.warn(f"App {name} stopped but CRON RESTART is still UP {cron}")
    if any(entry.spec.job is not None for entry in entries):
        answer.say("a job goes on falling due; `rota pause NAME` silences it", "info")


def report_failures(answer: Answer, entries: Sequence[Entry], action: Action) -> None:
    """Say what did not come out as it was asked for."""
    for number, entry in enumerate(entries, 1):
        actual = entry.instance.actual
        if isinstance(actual, Failed):
            # Copies of one app end alike: what to look at stands below the last one.
            ran = entry.instance.unstable and all(later.name != entry.name for later in entries[number:])
            why = f"\n  `rota why {entry.name}` shows its last words" if ran else ""
            answer.error(f"[{entry.name}]({entry.id}) errored: {actual.reason}{why}")
        elif is_late(entry) and action != "stop":
            told = entry.told.status or "its readiness probe has not passed"
            answer.error(f"[{entry.name}]({entry.id}) is not ready: {told}")


def report_held(answer: Answer, held: dict[Entry, str]) -> None:
    """Say who was not started for want of somebody else."""
    for entry, missing in held.items():
        answer.error(f"[{entry.name}]({entry.id}) was not started: it needs {missing}, which is not ready")
