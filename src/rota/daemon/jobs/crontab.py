"""The clock of jobs and scheduled restarts: sleep to the next due time, let the planner decide, hand over what is due.

One line per app that has a schedule. All lines hang in one heap; one timer sleeps, never longer than LONGEST_SLEEP, because
clocks are put forward and machines suspended while it does.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import socket
from typing import TYPE_CHECKING

import msgspec

from rota.clock import local_zone
from rota.errors import RotaError, SpecError
from rota.jobs.plan import Cursor, Plan, Schedule, plan, resume, schedule_of
from rota.jobs.run import Outcome
from rota.jobs.spec import JobSpec
from rota.timing.lease import LONGEST_SLEEP

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from rota.daemon.jobs.runbook import RunBook
    from rota.daemon.world import World
    from rota.process.spec import AppSpec

log = logging.getLogger("rota.crontab")

STEP = 2.0
"""The wall clock has been set when it and the monotonic clock disagree by more than this, seconds."""
TURN = 32
"""Lines handled per turn of the loop, so that a thousand jobs due at one minute do not make the daemon deaf."""
REFUSED = 5.0
"""Seconds until a line whose due times could not be written down is looked at again."""


class Line(msgspec.Struct, eq=False):
    """One app's schedule: of a job, or of a service's restarts (then `job` is None)."""

    name: str
    spec: AppSpec
    job: JobSpec | None
    asked: JobSpec
    schedule: Schedule
    cursor: Cursor
    wake: float | None = None
    """When it is due next."""
    version: int = 0
    """Raised whenever it is hung anew: heap entries of an older version are void."""


class Crontab:
    """Lines by app, and the timer."""

    def __init__(self, world: World, runbook: RunBook, zone: Callable[[], str] = local_zone) -> None:
        self._world, self._runbook = world, runbook
        self._lines: dict[str, Line] = {}
        self._heap: list[tuple[float, int, int, Line]] = []
        self._count = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._host = socket.gethostname()
        self._ask_zone, self._zone, self._zone_asked = zone, zone(), world.clock.monotonic()
        self._skew = self._wall_minus_monotonic()
        self._running = False
        self.last_tick = world.clock.monotonic()
        """When it last looked, monotonic: silence of more than two of the longest sleeps means that the loop hangs."""
        runbook.pause_changed = self._pause_changed

    def load(self) -> None:
        """Make every schedule known, without anything falling due yet."""
        names = list(self._world.supervisor.by_name)
        for name in names:
            self.refresh(name)
        self._runbook.forget_others(
            {name for name in names if self._world.supervisor.named(name)[0].spec.job is not None}
        )

    def start(self) -> None:
        """From now on things fall due; first what fell due while no daemon was there."""
        self._running = True
        now = self._world.clock.now()
        for line in self._lines.values():
            self._hang(line, now)
        self._sleep()

    def stop(self) -> None:
        """Nothing falls due any more."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()

    def next_due(self, name: str) -> float | None:
        """When an app is due next."""
        line = self._lines.get(name)
        if line is None or self._runbook.is_paused(name):
            return None
        return line.wake

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
        if spec is None or (old is not None and old.job is not None and spec.job is None):
            self._runbook.forget(name)
        if spec is not None:
            self._add(name, spec)

    def _add(self, name: str, spec: AppSpec) -> None:
        job = spec.job
        asked = job if job is not None else _restarts(spec)
        schedule: Schedule | None = None
        try:
            schedule = schedule_of(asked, name, self._host, self._zone) if asked is not None else None
        except SpecError as error:
            log.error("%s: its schedule cannot be used: %s", name, error)
        cursor = self._runbook.register(name, job, schedule, self._zone) if job is not None else Cursor()
        if schedule is None or asked is None:
            return
        line = self._lines[name] = Line(name, spec, job, asked, schedule, cursor)
        now = self._world.clock.now()
        line.wake = schedule.next_start(now)
        if self._running:
            self._look_safely(line)
            self._sleep()

    def _pause_changed(self, name: str) -> None:
        """A resumed job does not catch up: what passed meanwhile is summed up in one row."""
        line = self._lines.get(name)
        if line is None or line.job is None:
            return
        now = self._world.clock.now()
        if not self._runbook.is_paused(name):
            self._go_on(line, now)
        self._hang(line, line.wake)
        self._sleep()

    def _go_on(self, line: Line, now: float) -> None:
        decided = resume(line.schedule, line.cursor, now)
        self._runbook.note_absence(line.name, line.schedule, decided.absence, Outcome.SKIPPED, "the job was paused")
        line.cursor, line.wake = decided.cursor, decided.wake
        last = decided.cursor.last
        self._runbook.store.set_cursor(
            "", line.name, now if last is None else last, line.cursor.horizon, line.cursor.relived
        )

    # --- sleeping and waking ---------------------------------------------------------------------------------------

    def _wall_minus_monotonic(self) -> float:
        return self._world.clock.now() - self._world.clock.monotonic()

    def _hang(self, line: Line, at: float | None) -> None:
        """Look at a line at an instant; a paused one at none."""
        line.version += 1
        if at is not None and not self._runbook.is_paused(line.name):
            heapq.heappush(self._heap, (at, next(self._count), line.version, line))

    def _sleep(self) -> None:
        """Arm the one timer for the first line, or the longest sleep."""
        if not self._running:
            return
        while self._heap and self._heap[0][2] != self._heap[0][3].version:
            heapq.heappop(self._heap)
        first = self._heap[0][0] if self._heap else float("inf")
        if self._timer is not None:
            if first >= self._timer_at:
                return  # it wakes early enough as it is
            self._timer.cancel()
        delay = min(max(first - self._world.clock.now(), 0.0), LONGEST_SLEEP)
        self._timer_at = first
        self._timer = self._world.loop.call_later(delay, self.tick)

    def tick(self) -> None:
        """Look at what is due by now; and at the clock and the zone, which other people change."""
        self._timer, self._timer_at = None, float("inf")
        self.last_tick = self._world.clock.monotonic()
        self._look_at_clock()
        self._look_at_zone()
        now = self._world.clock.now()
        for _ in range(TURN):
            while self._heap and self._heap[0][2] != self._heap[0][3].version:
                heapq.heappop(self._heap)
            if not self._heap or self._heap[0][0] > now:
                break
            self._look_safely(heapq.heappop(self._heap)[3])
        self._sleep()

    def _look_at_clock(self) -> None:
        skew = self._wall_minus_monotonic()
        if abs(skew - self._skew) <= STEP:
            return
        log.warning("the clock was set by %+.0f s; every schedule is looked at anew", skew - self._skew)
        self._skew = skew
        now = self._world.clock.now()
        for line in self._lines.values():
            self._hang(line, now)

    def _look_at_zone(self) -> None:
        """The host's zone was changed: schedules without one of their own are made anew."""
        if self.last_tick - self._zone_asked < LONGEST_SLEEP:
            return
        self._zone_asked = self.last_tick
        zone = self._ask_zone()
        if zone == self._zone:
            return
        log.warning("the time zone was changed from %s to %s", self._zone, zone)
        self._zone = zone
        for line in [line for line in self._lines.values() if line.asked.cron and not line.asked.tz]:
            line.version += 1
            del self._lines[line.name]
            self._add(line.name, line.spec)

    def _look_safely(self, line: Line) -> None:
        """A line that cannot be dealt with is tried again; it never stops the others."""
        before = line.cursor
        try:
            self._look(line)
        except RotaError as error:
            log.error("%s: its due times cannot be written down: %s", line.name, error.message)
            line.cursor = before
            self._hang(line, self._world.clock.now() + REFUSED)

    def _look(self, line: Line) -> None:
        """Let the planner decide about one line, and do it."""
        if self._runbook.is_paused(line.name):
            self._hang(line, None)
            return
        decided = plan(line.schedule, line.cursor, self._world.clock.now())
        line.cursor, line.wake = decided.cursor, decided.wake
        self._hang(line, decided.wake)
        if line.job is not None:
            self._runbook.due(line.name, line.spec, line.job, line.schedule, decided)
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
