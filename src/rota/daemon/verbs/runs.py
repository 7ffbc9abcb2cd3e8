"""runs, run, pause, cancel: jobs and their ledger."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

from rota.daemon.jobs import guests
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
    from rota.stores.records import JobRecord, RunRecord
    from rota.wire.messages import Budgets, CancelRun, PauseJob, RunJob, Runs

LOOK_EVERY = 0.05
_LOOK_INSIDE = 0.25
"""Seconds between looks at a run inside an app, which only the store tells of."""
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
        since, (app, job) = request.since or None, _meant(world, request.job)
        found = store.runs(app, job, outcomes=outcomes, since=since, limit=request.limit)
        if request.job and not found:
            _known(world, request.job)
    answer.data(found)
    if request.render is None:
        return
    from rota.render.runs import run_facts, runs_table

    now = world.clock.now()
    shown = run_facts(found[0], answer.width, answer.colour, now) if request.id else ""
    answer.text((shown or runs_table(found, answer.width, answer.colour, now)) + "\n")


def _meant(world: World, name: str) -> tuple[str | None, str | None]:
    """App and job of a name; None = all. A plain name that several apps use means all of them."""
    if not name:
        return None, None
    if name in world.supervisor.by_name:
        return APP, name
    try:
        guest = guests.find(world, name)
    except TargetNotFound:
        return None, name
    return (None, name) if guest is None else (guest.app, guest.name)


async def budgets(world: World, request: Budgets, answer: Answer, inbox: Inbox) -> None:
    answer.data(world.budgets.terms)


def _known(world: World, name: str) -> None:
    store = world.runbook.store
    inside = [f"{job.app}/{job.name}" for job in store.guests()]
    names = {job.name for job in store.jobs()} | set(world.supervisor.by_name) | set(inside)
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
        name, parent = f"{former.app}/{former.job}" if former.app != APP else former.job, former.id
    guest = guests.find(world, name)
    if guest is not None:
        await _run_guest(world, guest, request, parent, answer, inbox)
        return
    entries = world.supervisor.named(name)
    if entries and entries[0].spec.job is None:
        raise NotPermitted(f"{name} is not a job", f"`rota start {name}` starts it; a job has cron, every or after")
    if not entries:
        jobs = [other for other in world.supervisor.by_name if world.supervisor.named(other)[0].spec.job is not None]
        jobs += [f"{job.app}/{job.name}" for job in world.runbook.store.guests()]
        raise TargetNotFound(f"there is no job {name}{did_you_mean(name, jobs)}", "`rota list` shows the jobs")
    active = world.runbook.run_now(name, parent=parent, note=f"again run {parent}" if parent else "")
    answer.data({"run": active.run, "job": name})
    waits = " waits for its turn" if active.waits else " started"
    answer.say(f"run {active.run} of {name}{waits}", "info")
    if request.follow:
        await _follow(world, active, answer, inbox)


async def _run_guest(
    world: World, job: JobRecord, request: RunJob, parent: int | None, answer: Answer, inbox: Inbox
) -> None:
    """Ask an app to run one of its jobs; what it prints goes to the app's own log."""
    name, run = f"{job.app}/{job.name}", guests.ask(world, job, parent)
    answer.data({"run": run, "job": name})
    answer.say(f"run {run} of {name} asked for", "info")
    if not guests.is_attended(world, job):
        answer.warn(f"no scheduler of {job.app} gives a sign of life; the run waits for one")
        return
    if not request.follow:
        return
    hung_up: asyncio.Future[Any] = asyncio.ensure_future(inbox.next())
    try:
        while not hung_up.done():
            row = world.runbook.store.run(run)
            if row is None or row.outcome is not None:
                _guest_verdict(name, run, row, answer)
                return
            await asyncio.wait((hung_up,), timeout=_LOOK_INSIDE)
    finally:
        hung_up.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hung_up


def _guest_verdict(name: str, run: int, row: RunRecord | None, answer: Answer) -> None:
    outcome = row.outcome if row is not None else None
    reason = row.error or row.note if row is not None else "its row was pruned"
    answer.data({"run": run, "outcome": outcome and outcome.value, "exit_code": None, "reason": reason})
    if outcome is Outcome.OK:
        answer.say(f"run {run} of {name} ok", "info")
    else:
        answer.say(f"run {run} of {name} {outcome or 'is gone'}: {reason}", "error")
        answer.code = 1


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
    guest = guests.find(world, request.name)
    if guest is None:
        world.runbook.pause(request.name, request.paused)
    else:
        guests.pause(world, guest, request.paused)
    answer.say(f"{request.name} is {'paused: it does not fall due' if request.paused else 'resumed'}")


async def cancel_run(world: World, request: CancelRun, answer: Answer, inbox: Inbox) -> None:
    """End a run: ours at once, one inside an app by asking that app."""
    if world.runbook.find(request.id) is not None:
        world.runbook.cancel(request.id, "cancelled by the user")
    elif not world.runbook.store.request_cancel(request.id):
        raise TargetNotFound(f"run {request.id} is not under way", "`rota runs` shows what is")
    answer.say(f"run {request.id} is being ended")
