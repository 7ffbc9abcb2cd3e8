"""The clock of jobs and scheduled restarts: sleep to the next due time, let the planner decide, hand over what is due.

One line per app that has a schedule. All lines hang in one heap; one timer sleeps, never longer than LONGEST_SLEEP, because
clocks are put forward and machines suspended while it does.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota.clock import local_zone
from rota.errors import SpecError
from rota.jobs.plan import Cursor, Plan, Schedule, plan, schedule_of
from rota.jobs.spec import JobSpec

if TYPE_CHECKING:
    import asyncio

    from rota.daemon.runbook import RunBook
    from rota.daemon.world import World
    from rota.process.spec import AppSpec

log = logging.getLogger("rota.crontab")

LONGEST_SLEEP = 30.0
STEP = 2.0
"""The wall clock has been set when it and the monotonic clock disagree by more than this, seconds."""
TURN = 32
"""Lines handled per turn of the loop, so that a thousand jobs due at one minute do not make the daemon deaf."""


@dataclass(slots=True, eq=False)
class Line:
    """One app's schedule: of a job, or of a service's restarts (then `job` is None)."""

    name: str
    spec: AppSpec
    job: JobSpec | None
    schedule: Schedule
    cursor: Cursor
    wake: float | None = None
    version: int = 0
    """Raised whenever `wake` changes: heap entries of an older version are void."""


class Crontab:
    """Lines by app, and the timer."""

    def __init__(self, world: World, runbook: RunBook) -> None:
        self._world, self._runbook = world, runbook
        self._lines: dict[str, Line] = {}
        self._heap: list[tuple[float, int, int, Line]] = []
        self._count = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._host = socket.gethostname()
        self._zone = local_zone()
        self._skew = self._wall_minus_monotonic()
        self._running = False

    def load(self) -> None:
        """Make every schedule known, without anything falling due yet."""
        for name in list(self._world.supervisor.by_name):
            self.refresh(name)

    def start(self) -> None:
        """From now on things fall due; first what fell due while no daemon was there."""
        self._running = True
        for line in list(self._lines.values()):
            self._look(line)
        self._sleep()

    def stop(self) -> None:
        """Nothing falls due any more."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()

    def next_due(self, name: str) -> float | None:
        """When an app is due next, seconds since the epoch."""
        line = self._lines.get(name)
        if line is None or self._runbook.is_paused(name):
            return None
        return line.wake

    def period(self, name: str) -> float | None:
        """Seconds from the next due time to the one after it."""
        line = self._lines.get(name)
        if line is None or line.wake is None:
            return None
        following = line.schedule.next_start(line.wake)
        return None if following is None else following - line.wake

    def refresh(self, name: str) -> None:
        """An app appeared, changed or went: its line follows."""
        entries = self._world.supervisor.by_name.get(name)
        spec = next(iter(entries.values())).spec if entries else None
        line = self._lines.get(name)
        if line is not None and spec is line.spec:
            return
        old = self._lines.pop(name, None)
        if old is not None:
            old.version += 1
        if spec is None:
            self._runbook.forget(name)
        else:
            self._add(name, spec)

    def _add(self, name: str, spec: AppSpec) -> None:
        job = spec.job
        asked = job if job is not None else _restarts(spec)
        schedule: Schedule | None = None
        try:
            schedule = schedule_of(asked, name, self._host, self._zone) if asked is not None else None
        except SpecError as error:
            log.error("%s: its schedule cannot be used: %s", name, error)
        cursor = self._runbook.register(name, spec, schedule, self._zone) if job is not None else Cursor()
        if schedule is None:
            return
        line = self._lines[name] = Line(name, spec, job, schedule, cursor)
        if self._running:
            self._look(line)
            self._sleep()
        else:
            line.wake = schedule.next_start(self._world.clock.now())

    # --- sleeping and waking ---------------------------------------------------------------------------------------

    def _wall_minus_monotonic(self) -> float:
        return self._world.clock.now() - self._world.clock.monotonic()

    def _hang(self, line: Line, wake: float | None) -> None:
        line.version += 1
        line.wake = wake
        if wake is not None:
            heapq.heappush(self._heap, (wake, next(self._count), line.version, line))

    def _sleep(self) -> None:
        """Arm the one timer for the first line, or the longest sleep."""
        if not self._running:
            return
        while self._heap and self._heap[0][2] != self._heap[0][3].version:
            heapq.heappop(self._heap)
        first = self._heap[0][0] if self._heap else float("inf")
        delay = min(max(first - self._world.clock.now(), 0.0), LONGEST_SLEEP)
        loop = self._world.loop
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(delay, self._wake)

    def _wake(self) -> None:
        self._timer = None
        skew = self._wall_minus_monotonic()
        if abs(skew - self._skew) > STEP:
            log.warning("the clock was set by %+.0f s; every schedule is looked at anew", skew - self._skew)
            self._skew = skew
            for line in list(self._lines.values()):
                self._hang(line, self._world.clock.now())
        now = self._world.clock.now()
        for _ in range(TURN):
            if not self._heap or self._heap[0][0] > now:
                break
            _, _, version, line = heapq.heappop(self._heap)
            if version == line.version:
                self._look(line)
        self._sleep()

    def _look(self, line: Line) -> None:
        """Let the planner decide about one line, and do it."""
        decided = plan(line.schedule, line.cursor, self._world.clock.now())
        line.cursor = decided.cursor
        self._hang(line, decided.wake)
        if line.job is not None:
            self._runbook.due(line.name, line.spec, line.job, decided)
        elif decided.due is not None:
            self._restart(line, decided)

    def _restart(self, line: Line, decided: Plan) -> None:
        """A scheduled restart of a service. One that passed while nobody was there is not made up for."""
        if decided.due is None or decided.due.caught_up:
            return
        ids = list(self._world.supervisor.by_name.get(line.name, {}))
        self._world.supervisor.want(ids, "restart", f"scheduled restart ({line.spec.cron_restart})")


def _restarts(spec: AppSpec) -> JobSpec | None:
    if not spec.cron_restart or spec.cron_restart == "0":
        return None
    return JobSpec(cron=spec.cron_restart, tz=spec.cron_tz, missed="none")
