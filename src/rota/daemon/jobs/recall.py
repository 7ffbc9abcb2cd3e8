"""After any death of the daemon: unfinished rows of the ledger become runs under way again, or get their outcome."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rota.daemon.jobs.activity import end_strays
from rota.errors import StoreUnavailable
from rota.jobs.run import Ending as RunEnding
from rota.jobs.run import Outcome, RunState
from rota.process.state import Down, Failed
from rota.stores.records import Ending

if TYPE_CHECKING:
    from rota.daemon.jobs.activity import Active
    from rota.daemon.jobs.runner import Runner
    from rota.daemon.world import World
    from rota.stores.records import RunRecord
    from rota.stores.sqlite import SqliteStore


def recover(world: World, store: SqliteStore, runner: Runner, app: str) -> list[Active]:
    """Before adoption: tie unfinished runs to their instances, so that what adoption finds concludes them."""
    found: list[Active] = []
    for record in reversed(store.runs(app, unfinished=True, limit=100_000)):
        entries = world.supervisor.named(record.job)
        spec = entries[0].spec if entries else None
        if spec is None or spec.job is None:
            ending = Ending(outcome=Outcome.ABANDONED, finished=world.clock.now(), error="its job is no more")
            with contextlib.suppress(StoreUnavailable):  # then the next daemon's start does it
                store.finish(record.id, record.fence, ending)
            continue
        active = runner.track(record.job, spec, spec.job, record.id, record.fence, record.due)
        active.attempt, active.output, active.started = record.attempt, record.output, record.started or 0.0
        active.gen = record.gen
        # What waits after a start waits for its next attempt; what was never started waits for its place.
        active.retrying = record.state is RunState.WAITING and record.started is not None
        active.waits = record.state is RunState.WAITING and record.started is None
        found.append(active)
        if record.state is RunState.RUNNING:
            _tie(world, runner, active, record)
    return found


def _tie(world: World, runner: Runner, active: Active, record: RunRecord) -> None:
    entry = world.supervisor.entries.get(record.instance if record.instance is not None else -1)
    if entry is None or entry.name != active.name:
        active.lost = True
    else:
        runner.tie(active, entry)


def resume(world: World, runner: Runner, found: list[Active]) -> None:
    """After adoption: conclude what ended unseen, start what was claimed and never started, arm what runs."""
    for active in found:
        if not active.concluded and active.task is None and not (active.timer is not None and active.retrying):
            _resume_one(world, runner, active)
    runner.drop_extras()


def _resume_one(world: World, runner: Runner, active: Active) -> None:
    if active.job.verify and active.instance is not None:
        end_strays(world, active)
    if active.lost:
        runner.attempt_over(active, RunEnding(Outcome.ABANDONED, "it was lost with the machine or the daemon"))
    elif active.retrying:
        runner.retry_anew(active)
    elif active.instance is not None:
        _resume_started(world, runner, active, active.instance)
    elif not (active.waits and any(other.counts for other in runner.of(active.name) if other is not active)):
        # Claimed, and the daemon died before the start: it certainly did not run, so it runs now.
        runner.start(active)


def _resume_started(world: World, runner: Runner, active: Active, instance: int) -> None:
    entry = world.supervisor.entries[instance]
    if not isinstance(entry.instance.actual, Down | Failed):
        if active.job.timeout:
            runner.limit(active, entry.instance.started + active.job.timeout - world.clock.now())
    elif entry.instance.gen < active.gen:
        # The row was written, the order to start was not: as if it had only been claimed.
        runner.untie(active)
        runner.start(active)
    elif isinstance(entry.instance.actual, Down) and entry.instance.desired == "up":
        runner.untie(active)  # first, or going down would conclude it with the exit that the shutdown caused
        world.supervisor.want([entry.id], "down", "its run is over")
        runner.ended(entry, active, RunEnding(Outcome.ABANDONED, "rota was shut down while it ran"))
    else:
        runner.became_idle(entry)
