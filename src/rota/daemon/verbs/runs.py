"""runs, run, pause, cancel: jobs and their ledger."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

from rota.daemon.runbook import APP
from rota.errors import TargetNotFound, UsageError
from rota.jobs.run import Outcome
from rota.render.suggest import did_you_mean

if TYPE_CHECKING:
    from rota.daemon.activity import Active
    from rota.daemon.answer import Answer
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
        if (
            request.job
            and not found
            and not world.supervisor.named(request.job)
            and store.job(APP, request.job) is None
        ):
            known = [job.name for job in store.jobs()]
            raise TargetNotFound(f"there is no job {request.job}{did_you_mean(request.job, known)}", "")
    answer.data(found)
    if request.render is not None:
        from rota.render.runs import runs_table

        answer.text(runs_table(found, answer.width, answer.colour, world.clock.now()) + "\n")


async def run_job(world: World, request: RunJob, answer: Answer, inbox: Inbox) -> None:
    """Run a job now and, unless told otherwise, show its output and end with its exit code."""
    name, parent = request.name, None
    if request.rerun_of:
        former = world.runbook.store.run(request.rerun_of)
        if former is None:
            raise TargetNotFound(f"there is no run {request.rerun_of}", "`rota runs` lists them")
        name, parent = former.job, former.id
    active = world.runbook.run_now(name, parent=parent)
    answer.data({"run": active.run, "job": name})
    answer.say(f"run {active.run} of {name} started", "info")
    if request.follow:
        await _follow(world, active, answer, inbox)


async def _follow(world: World, active: Active, answer: Answer, inbox: Inbox) -> None:
    ended: asyncio.Future[Any] = world.loop.create_future()

    def over(outcome: Outcome, ending: Ending) -> None:
        if not ended.done():
            ended.set_result((outcome, ending))

    active.listeners.append(over)
    hung_up: asyncio.Future[Any] = asyncio.ensure_future(inbox.next())
    offset = 0
    try:
        while not ended.done() and not hung_up.done():
            offset = _pass_on(active.output, offset, answer)
            await answer.drained()
            await asyncio.wait((ended, hung_up), timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            await asyncio.sleep(LOOK_EVERY)  # the last output is moved in the turn after the end
            _pass_on(active.output, offset, answer)
            outcome, ending = ended.result()
            _verdict(active, outcome, ending, answer)
    finally:
        active.listeners.remove(over)
        hung_up.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hung_up


def _pass_on(path: str, offset: int, answer: Answer) -> int:
    if not path:
        return offset
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return offset
    try:
        while data := os.pread(fd, _CHUNK, offset):
            answer.raw("out", data)
            offset += len(data)
    finally:
        os.close(fd)
    return offset


def _verdict(active: Active, outcome: Outcome, ending: Ending, answer: Answer) -> None:
    answer.data({"run": active.run, "outcome": outcome.value, "exit_code": ending.exit_code, "reason": ending.reason})
    if outcome is Outcome.OK:
        answer.say(f"run {active.run} of {active.name} ok", "info")
    else:
        answer.say(f"run {active.run} of {active.name} {outcome.value}: {ending.reason}", "error")
    answer.code = ending.exit_code if ending.exit_code else (0 if outcome is Outcome.OK else 1)


async def pause_job(world: World, request: PauseJob, answer: Answer, inbox: Inbox) -> None:
    world.runbook.pause(request.name, request.paused)
    answer.say(f"{request.name} is {'paused: it does not fall due' if request.paused else 'resumed'}")


async def cancel_run(world: World, request: CancelRun, answer: Answer, inbox: Inbox) -> None:
    if world.runbook.find(request.id) is not None:
        world.runbook.cancel(request.id, "cancelled by the user")
    elif not world.runbook.store.request_cancel(request.id):
        raise TargetNotFound(f"run {request.id} is not under way", "`rota runs` shows what is")
    answer.say(f"run {request.id} is being ended")
