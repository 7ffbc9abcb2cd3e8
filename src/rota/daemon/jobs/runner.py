"""Claimed runs, from their start to their outcome: budget, process, timeout, verify, retry. Owner of every `Active`.

The row is written before the process is started, and the outcome before anybody hears of it. A store that cannot be written
holds a run up; it never loses one.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Protocol

from rota.daemon.jobs.activity import Active, run_environment, verify
from rota.errors import RotaError, StoreUnavailable, TargetNotFound
from rota.jobs import overlap, retry
from rota.jobs.run import Ending as RunEnding
from rota.jobs.run import Outcome, Run, RunState, conclude
from rota.process.paths import safe_name
from rota.process.restart import signal_name
from rota.process.spec import resolved_instances
from rota.process.state import Backoff, Down, Failed, Stopping
from rota.stores.records import Ending

if TYPE_CHECKING:
    from rota.daemon.entry import Entry
    from rota.daemon.world import World
    from rota.jobs.spec import JobSpec
    from rota.process.spec import AppSpec
    from rota.stores.sqlite import SqliteStore

log = logging.getLogger("rota.jobs")

STORE_RETRY = 5.0
"""Seconds until a store that could not be written is tried again."""
PRUNE_EVERY = 10
"""Runs of a job between two looks for output files whose row is gone."""


class Book(Protocol):
    """What the runner tells the run book, and asks it."""

    def is_paused(self, name: str) -> bool: ...

    def changed(self, name: str) -> None:
        """The job's row in the store changed, or what it is expected to do."""
        ...

    def concluded(self, active: Active, outcome: Outcome, reason: str) -> None: ...

    def tell(self, name: str, kind: str, detail: str) -> None: ...


class Runner:
    """Runs under way, by job and by instance."""

    def __init__(self, world: World, store: SqliteStore, book: Book) -> None:
        self._world, self._store, self._book = world, store, book
        self._active: dict[str, dict[int, Active]] = {}
        self._by_instance: dict[int, Active] = {}
        self.suspended = False
        """The daemon leaves: runs that are ended now are not concluded; the next daemon finds them abandoned."""

    def of(self, name: str) -> list[Active]:
        """A job's runs under way, oldest first."""
        return [active for _, active in sorted(self._active.get(name, {}).items())]

    def find(self, run: int) -> Active | None:
        """A run under way."""
        return next((found[run] for found in self._active.values() if run in found), None)

    def at(self, entry: Entry) -> Active | None:
        """The run that an instance executes."""
        return self._by_instance.get(entry.id)

    def track(self, name: str, spec: AppSpec, job: JobSpec, run: int, fence: int, due: float | None) -> Active:
        """Take in a run that is claimed."""
        active = Active(name=name, spec=spec, job=job, run=run, fence=fence, due=due)
        self._active.setdefault(name, {})[run] = active
        return active

    def tie(self, active: Active, entry: Entry) -> None:
        """The run executes in this instance."""
        active.instance = entry.id
        self._by_instance[entry.id] = active
        entry.run_log, entry.run_env = active.output, run_environment(active)

    def untie(self, active: Active) -> None:
        """The run executes nowhere any more."""
        if active.instance is not None:
            self._by_instance.pop(active.instance, None)
        active.instance = None

    # --- starting --------------------------------------------------------------------------------------------------

    def start(self, active: Active) -> None:
        """Start an attempt, once its budgets allow."""
        active.waits = active.retrying = False
        active.timer = None
        if active.job.budget:
            active.task = self._world.loop.create_task(self._after_budget(active))
        else:
            self._spawn(active)

    async def _after_budget(self, active: Active) -> None:
        try:
            await self._world.budgets.take(self._store, active)
        except StoreUnavailable as error:
            self._later(active, error)
            return
        except RotaError as error:
            self.conclude(active, RunEnding(Outcome.FAILED, error.message))
            return
        self._spawn(active)

    def _later(self, active: Active, error: RotaError) -> None:
        log.error("run %d of %s cannot start, the store refuses: %s", active.run, active.name, error.message)
        active.timer = self._world.loop.call_later(STORE_RETRY, self.start, active)

    def _spawn(self, active: Active) -> None:
        now = self._world.clock.now()
        entry = self._free_instance(active)
        active.started, active.timed_out, active.former = now, False, entry.instance.last_exit
        active.output = self._output_path(active)
        try:
            with self._store.batch():
                self._store.place(
                    active.run, active.fence, instance=entry.id, pid=None, output=active.output,
                    gen=entry.instance.gen + 1,
                )  # fmt: skip
                self._store.advance(active.run, active.fence, RunState.RUNNING, now, attempt=active.attempt)
        except StoreUnavailable as error:
            self._later(active, error)
            return
        self.tie(active, entry)
        self._book.changed(active.name)
        self._world.supervisor.want([entry.id], "up", f"run {active.run}{_of_due(active.due)}")
        if active.job.timeout and active.instance is not None:
            self.limit(active, active.job.timeout)

    def limit(self, active: Active, seconds: float) -> None:
        """End it when it is still running after so long."""
        active.timer = self._world.loop.call_later(max(seconds, 0.0), self._timed_out, active)

    def _free_instance(self, active: Active) -> Entry:
        """An instance of the job that is idle; one more where all are busy (it goes when the run is over)."""
        supervisor = self._world.supervisor
        for entry in supervisor.named(active.name):
            actual = entry.instance.actual
            # One that could not be ended is not free: its process is still there.
            idle = isinstance(actual, Down) or (isinstance(actual, Failed) and not _unkillable(actual))
            if idle and entry.id not in self._by_instance:
                return entry
        (extra,) = supervisor.create([active.spec])
        return extra

    def is_extra(self, entry: Entry) -> bool:
        """Whether an instance was made for one run only."""
        return entry.instance.number >= resolved_instances(entry.spec.instances, self._world.cpus)

    def _output_path(self, active: Active) -> str:
        return f"{self._world.home.logs}/runs/{safe_name(active.name)}/{active.run}.log"

    # --- ending it -------------------------------------------------------------------------------------------------

    def _timed_out(self, active: Active) -> None:
        active.timer = None
        entry = self._world.supervisor.entries.get(active.instance if active.instance is not None else -1)
        if entry is None or isinstance(entry.instance.actual, Stopping):
            return  # it ended in time; what it left behind is being ended already
        active.timed_out = True
        self._book.tell(active.name, "run timeout", f"run {active.run} exceeded {active.job.timeout:g} s")
        self._world.supervisor.want([entry.id], "down", f"it ran longer than {active.job.timeout:g} s")

    def cancel(self, run: int, why: str) -> None:
        """End a run.

        Raises:
            TargetNotFound: it is not under way.
        """
        active = self.find(run)
        if active is None:
            raise TargetNotFound(f"run {run} is not under way", "`rota runs` shows what is")
        active.cancelled = active.cancelled or why
        if active.instance is not None:
            self._world.supervisor.want([active.instance], "down", why)
            return
        if active.task is not None:
            active.task.cancel()  # it waits for a budget, or is being verified
        self.conclude(active, RunEnding(Outcome.CANCELLED, why))

    def cancel_idle(self, name: str, why: str) -> None:
        """Cancel the runs of a job that execute nowhere: in line, between attempts, waiting for a budget."""
        for active in self.of(name):
            if active.instance is None and not active.concluded:
                self.cancel(active.run, why)

    # --- it ended --------------------------------------------------------------------------------------------------

    def became_idle(self, entry: Entry) -> None:
        """Nothing of an instance runs any more: its run, if it had one, has ended."""
        active = self._by_instance.get(entry.id)
        if active is None or isinstance(entry.instance.actual, Backoff) or self.suspended:
            return
        self.ended(entry, active, self._ending(entry, active))

    def ended(self, entry: Entry, active: Active, ending: RunEnding) -> None:
        """An attempt in this instance ended so."""
        self.untie(active)
        active.cancel_timer()
        entry.run_log, entry.run_env = "", {}
        if self.is_extra(entry) and ending.outcome is not Outcome.STUCK:
            self._world.loop.call_soon(self._drop, entry)
        if ending.outcome is Outcome.OK and active.job.verify:
            active.task = self._world.loop.create_task(self._verify(active, ending))
        else:
            self.attempt_over(active, ending)

    def _drop(self, entry: Entry) -> None:
        if self._world.supervisor.entries.get(entry.id) is entry and entry.id not in self._by_instance:
            self._world.supervisor.want([entry.id], "forget", "its run is over")

    def drop_extras(self) -> None:
        """After a crash: instances made for runs that are over go."""
        for entry in list(self._world.supervisor.entries.values()):
            if entry.spec.job is not None and isinstance(entry.instance.actual, Down) and self.is_extra(entry):
                self._drop(entry)

    def _ending(self, entry: Entry, active: Active) -> RunEnding:
        actual, last = entry.instance.actual, entry.instance.last_exit
        if isinstance(actual, Failed):
            return RunEnding(Outcome.STUCK if _unkillable(actual) else Outcome.FAILED, actual.reason)
        known = last is not None and last.known and last != active.former
        return conclude(
            last.code if known and last is not None else None,
            signal_name(last.signal) if known and last is not None and last.signal is not None else None,
            cancelled=active.cancelled,
            timed_out=active.job.timeout if active.timed_out else 0.0,
        )

    async def _verify(self, active: Active, ending: RunEnding) -> None:
        code = await verify(self._world, active)
        active.task = None
        self.attempt_over(active, conclude(ending.exit_code, ending.signal, verify_code=code))

    def attempt_over(self, active: Active, ending: RunEnding) -> None:
        """Again, or that was it."""
        now = self._world.clock.now()
        run = Run(job=active.name, id=active.run, attempt=active.attempt)
        verdict = retry.decide(active.job, run, ending.outcome, now, self._world.next_due(active.name))
        if not isinstance(verdict, retry.Again) or self._book.is_paused(active.name):
            self.conclude(active, ending)
            return
        try:
            self._store.advance(active.run, active.fence, RunState.WAITING, now, attempt=verdict.attempt)
            self._store.amend(active.run, f"attempt {active.attempt}: {ending.reason}")
        except StoreUnavailable as error:
            log.error("run %d of %s: the store refuses: %s", active.run, active.name, error.message)
            active.timer = self._world.loop.call_later(STORE_RETRY, self.attempt_over, active, ending)
            return
        active.attempt, active.retrying = verdict.attempt, True
        self._book.tell(active.name, "run retry", verdict.reason)
        active.timer = self._world.loop.call_later(max(verdict.at - now, 0.0), self.start, active)

    def retry_anew(self, active: Active) -> None:
        """After a crash between two attempts: the wait begins again, since nobody knows how much of it is over."""
        active.retrying = True
        delay = retry.pause(active.job, active.attempt - 1)
        active.timer = self._world.loop.call_later(delay, self.start, active)

    def conclude(self, active: Active, ending: RunEnding) -> None:
        """Write the outcome down, then let everybody know."""
        if active.concluded:
            return
        outcome = ending.outcome
        row = Ending(
            outcome=outcome, finished=self._world.clock.now(), error=ending.reason if outcome.bad else "",
            note=None if outcome.bad or not ending.reason else ending.reason,
            exit_code=ending.exit_code, signal=ending.signal, keep=active.job.keep_runs, output_end=_size(active.output),
        )  # fmt: skip
        try:
            self._store.finish(active.run, active.fence, row)
        except StoreUnavailable as error:
            log.error("run %d of %s: %s, but the store refuses: %s", active.run, active.name, outcome, error.message)
            active.timer = self._world.loop.call_later(STORE_RETRY, self.conclude, active, ending)
            return
        found = self._active.get(active.name, {})
        found.pop(active.run, None)
        if not found:
            self._active.pop(active.name, None)
        active.over(outcome, ending)
        if active.fence % PRUNE_EVERY == 0 or active.job.keep_runs < PRUNE_EVERY:
            self._world.loop.call_soon(self._prune_output, active)
        self._book.concluded(active, outcome, ending.reason)
        self._admit(active.name)

    def _admit(self, name: str) -> None:
        """There is room: start what waited."""
        actives = self.of(name)
        going = [active.run for active in actives if active.counts]
        waiting = [active.run for active in actives if active.waits]
        if waiting:
            for run in overlap.admit(actives[0].job, going, waiting):
                self.start(self._active[name][run])

    def _prune_output(self, active: Active) -> None:
        """Output files of runs whose rows are gone go too."""
        directory = os.path.dirname(active.output) if active.output else ""
        if not os.path.isdir(directory):
            return
        kept = {str(row.id) for row in self._store.runs("", active.name, limit=1_000_000)}
        for file in list(os.scandir(directory)):
            run = file.name.lstrip(".").partition(".")[0].partition("__")[0]
            if run.isdecimal() and run not in kept:
                os.unlink(file.path)

    async def close(self) -> None:
        """Cancel what waits in memory; the rows say the rest."""
        actives = [active for found in self._active.values() for active in found.values()]
        tasks = [active.task for active in actives if active.task is not None]
        for active in actives:
            active.cancel_timer()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _unkillable(actual: Failed) -> bool:
    return actual.reason.startswith("still alive")


def _of_due(due: float | None) -> str:
    if due is None:
        return ""
    from datetime import UTC, datetime

    return f", due {datetime.fromtimestamp(due, UTC).strftime('%Y-%m-%d %H:%M:%S')} UTC"


def _size(path: str) -> int | None:
    try:
        return os.path.getsize(path) if path else None
    except OSError:
        return None
