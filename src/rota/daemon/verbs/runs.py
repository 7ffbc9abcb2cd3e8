"""runs, run, pause, cancel: jobs and their ledger."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

from rota.daemon.jobs.runbook import APP
from rota.errors import NotPermitted, TargetNotFound, UsageError
from rota.jobs.run import Outcome
from rota.suggest import did_you_mean

if TYPE_CHECKING:
    from rota.daemon.answer import Answer
    from rota.daemon.jobs.activity import Active
    from rota.daemon.server import Inbox
    from rota.daemon.world import World
    from rota.jobs.run import Ending
    from rota.wire.messages import CancelRun, PauseJob, RunJob, Runs

LOOK_EVERY = 0.05
_CHUNK = 64 * 1024


async def runs(world: World, request: Runs, answer: Answer, inbox: Inbox) -> None:
    """Rows of the ledger, newest first; of the daemon's jobs and of those inside apps."""
    try:
        outcomes = [Outcome(word) for word in request.outcomes]
    except ValueError as error:
        raise UsageError(str(error), f"outcomes are {', '.join(Outcome)}") from error
    store = world.runbook.store
    if request.id:
        found = [row] if (row := store.run(request.id)) is not None else []
        if not found:
            raise TargetNotFound(f"there is no run {request.id}", "`rota runs` lists them")
    else:
        since = request.since or None
        found = store.runs(None, request.job or None, outcomes=outcomes, since=since, limit=request.limit)
        if request.job and not found:
            _known(world, request.job)
    answer.data(found)
    if request.render is None:
        return
    from rota.render.runs import run_facts, runs_table

    now = world.clock.now()
    shown = run_facts(found[0], answer.width, answer.colour, now) if request.id else ""
    answer.text((shown or runs_table(found, answer.width, answer.colour, now)) + "\n")


def _known(world: World, name: str) -> None:
    store = world.runbook.store
    names = {job.name for job in store.jobs()} | set(world.supervisor.by_name)
    # A job that was deleted has runs still; one that nobody knows is a slip of the pen.
    if name not in names and not store.runs(None, name, limit=1):
        raise TargetNotFound(f"there is no job {name}{did_you_mean(name, names)}", "`rota list` shows the jobs")


async def run_job(world: World, request: RunJob, answer: Answer, inbox: Inbox) -> None:
    """Run a job now and, unless told otherwise, show its output and end with its exit code."""
    name, parent = request.name, None
    if request.rerun_of:
        former = world.runbook.store.run(request.rerun_of)
        if former is None:
            raise TargetNotFound(f"there is no run {request.rerun_of}", "`rota runs` lists them")
        if former.app != APP:
            raise NotPermitted(f"run {former.id} belongs to the app {former.app}", "it is run again inside that app")
        name, parent = former.job, former.id
    entries = world.supervisor.named(name)
    if entries and entries[0].spec.job is None:
        raise NotPermitted(f"{name} is not a job", f"`rota start {name}` starts it; a job has cron, every or after")
    if not entries:
        jobs = [other for other in world.supervisor.by_name if world.supervisor.named(other)[0].spec.job is not None]
        raise TargetNotFound(f"there is no job {name}{did_you_mean(name, jobs)}", "`rota list` shows the jobs")
    active = world.runbook.run_now(name, parent=parent, note=f"again run {parent}" if parent else "")
    answer.data({"run": active.run, "job": name})
    waits = " waits for its turn" if active.waits else " started"
    answer.say(f"run {active.run} of {name}{waits}", "info")
    if request.follow:
        await _follow(world, active, answer, inbox)


async def _follow(world: World, active: Active, answer: Answer, inbox: Inbox) -> None:
    ended: asyncio.Future[Any] = world.loop.create_future()

    def over(outcome: Outcome, ending: Ending) -> None:
        if not ended.done():
            ended.set_result((outcome, ending))

    if active.concluded:  # so quickly: it could not be started
        row = world.runbook.store.run(active.run)
        answer.error(f"run {active.run} of {active.name} {row.outcome if row else ''}: {row.error if row else ''}")
        return
    active.listeners.append(over)
    hung_up: asyncio.Future[Any] = asyncio.ensure_future(inbox.next())
    path, offset = "", 0
    try:
        while not ended.done() and not hung_up.done():
            path, offset = _pass_on(active.output, path, offset, answer)
            await answer.drained()
            await asyncio.wait((ended, hung_up), timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            await asyncio.sleep(0)  # the last output is moved in the turn after the end
            await asyncio.sleep(0)
            _pass_on(active.output, path, offset, answer)
            outcome, ending = ended.result()
            _verdict(active, outcome, ending, answer)
    finally:
        active.listeners.remove(over)
        hung_up.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hung_up


def _pass_on(path: str, former: str, offset: int, answer: Answer) -> tuple[str, int]:
    """Send what a file got since; all attempts of a run write to one."""
    if not path:
        return path, 0
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return former, offset
    offset = offset if path == former else 0
    try:
        while data := os.pread(fd, _CHUNK, offset):
            answer.raw("out", data)
            offset += len(data)
    finally:
        os.close(fd)
    return path, offset


def _verdict(active: Active, outcome: Outcome, ending: Ending, answer: Answer) -> None:
    answer.data({"run": active.run, "outcome": outcome.value, "exit_code": ending.exit_code, "reason": ending.reason})
    if outcome is Outcome.OK:
        answer.say(f"run {active.run} of {active.name} ok", "info")
    else:
        answer.say(f"run {active.run} of {active.name} {outcome.value}: {ending.reason}", "error")
    answer.code = exit_code(outcome, ending)


def exit_code(outcome: Outcome, ending: Ending) -> int:
    """What `rota run` ends with: the program's own code, 128 + number for a signal as shells have it, else 1 for trouble."""
    if ending.exit_code:
        return ending.exit_code
    if ending.signal and ending.signal in signal.Signals.__members__:
        return 128 + signal.Signals[ending.signal]
    return 0 if outcome is Outcome.OK else 1


async def pause_job(world: World, request: PauseJob, answer: Answer, inbox: Inbox) -> None:
    """Pause or resume."""
    world.runbook.pause(request.name, request.paused)
    answer.say(f"{request.name} is {'paused: it does not fall due' if request.paused else 'resumed'}")


async def cancel_run(world: World, request: CancelRun, answer: Answer, inbox: Inbox) -> None:
    """End a run: ours at once, one inside an app by asking that app."""
    if world.runbook.find(request.id) is not None:
        world.runbook.cancel(request.id, "cancelled by the user")
    elif not world.runbook.store.request_cancel(request.id):
        raise TargetNotFound(f"run {request.id} is not under way", "`rota runs` shows what is")
    answer.say(f"run {request.id} is being ended")
